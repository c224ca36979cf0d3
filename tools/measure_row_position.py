"""Where in its window does a row of a window-row pack belong? Measures it from sounds whose onset is known.

    python tools/measure_row_position.py PACK DATA [--classes FOLDER=label,label ...] [--per-class N]

PACK is the name or folder of a window-row pack, DATA a folder with folders of recordings of sudden sounds (ESC-10's
by default). How it is measured is told in streamclf/engine/rowposition.py, which `streamclf models complete --sounds`
uses as well; this prints what each class and threshold says of it.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streamclf.audio.onsets import read, sudden
from streamclf.clock import hop_of
from streamclf.engine.rowposition import THRESHOLDS, Position, Sound, measure
from streamclf.errors import StreamclfError
from streamclf.model.library import find_pack
from streamclf.model.pack import Manifest, Pack

CLASSES = [
    "dog_bark=dog,bark,bow_wow,yip",
    "rooster=crowing_cock_a_doodle_doo,chicken_rooster,fowl",
    "person_sneeze=sneeze",
]


def main() -> None:
    """Measure and print one line a class and the position for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack")
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", nargs="+", default=CLASSES, metavar="FOLDER=label,label")
    parser.add_argument("--per-class", type=int, default=32)
    given = parser.parse_args()
    pack = find_pack(given.pack)
    report(measure(pack, sounds(pack, given.data, given.classes, given.per_class)), pack.manifest)


def sounds(pack: Pack, data: Path, classes: list[str], per_class: int) -> Iterator[Sound]:
    """The sudden sounds of the first recordings of each class."""
    ids = [label.id for label in pack.labels]
    for entry in classes:
        folder, _, names = entry.partition("=")
        columns = tuple(ids.index(name) for name in names.split(","))
        files = sorted(path for path in (data / folder).iterdir() if path.suffix in (".ogg", ".wav", ".flac"))
        for path in files[:per_class]:
            cut = sudden(read(path, pack.manifest.rate), pack.manifest.rate)
            if cut is not None:
                yield Sound(folder, columns, cut)


def report(found: Position, manifest: Manifest) -> None:
    """Print the measured leads in frames and the position that they ask for."""
    hop = hop_of(manifest.rate)
    for (folder, threshold), leads in sorted(found.leads.items()):
        low, middle, high = np.quantile(leads, [0.25, 0.5, 0.75])
        print(f"{folder:16} at {threshold}: {len(leads):3} clips, lead {middle:.0f} frames ({low:.0f} to {high:.0f})")
    for threshold in THRESHOLDS:
        together = [lead for (_, used), each in found.leads.items() if used == threshold for lead in each]
        if together:
            middle = np.median(together)
            print(f"all at {threshold}: {len(together)} of {found.tried} clips, median lead {middle:.0f} frames")
    errors = [abs(lead - found.frame) * 1000 * hop // manifest.rate for each in found.leads.values() for lead in each]
    print(
        f"position: frame {found.frame} of the window (row_at {found.frame * hop}, "
        f"look_ahead {manifest.window - (found.frame + 1) * hop}); "
        f"onset error then: median {np.median(errors):.0f} ms, 90 % under {np.quantile(errors, 0.9):.0f} ms"
    )


if __name__ == "__main__":
    try:
        main()
    except StreamclfError as error:
        sys.exit(f"error: {error}")
