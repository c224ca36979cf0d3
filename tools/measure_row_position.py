"""Where in its window does a row of a window-row pack belong? Measures it from sounds whose onset is known.

    python tools/measure_row_position.py PACK DATA [--classes FOLDER=label,label ...] [--per-class N]

PACK is the name or folder of a window-row pack, DATA a folder with folders of recordings of sudden sounds (ESC-10's
by default). Of each recording the first sudden onset is cut out and laid into quiet noise at a known sample; the model
is run every 20 ms; the first window whose score of the class reaches a threshold begins `lead` frames before the
onset. A row at frame `lead` of its window would have put the onset where it sounded, so the median lead over all
clips and thresholds is the position to state.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr

from streamclf.clock import hop_of
from streamclf.errors import StreamclfError
from streamclf.features.frontend import make_frontend
from streamclf.model.library import find_pack
from streamclf.model.pack import Manifest
from streamclf.model.session import Session
from streamclf.types import F32, Provider

CLASSES = [
    "dog_bark=dog,bark,bow_wow,yip",
    "rooster=crowing_cock_a_doodle_doo,chicken_rooster,fowl",
    "person_sneeze=sneeze",
]
THRESHOLDS = (0.3, 0.4, 0.5)
BEFORE_S, AFTER_S = 2.0, 2.0
SHORTEST_S = 0.2
NOISE = 10 ** (-60 / 20)
BATCH = 32


def main() -> None:
    """Measure and print one line a class and the position for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack")
    parser.add_argument("data", type=Path)
    parser.add_argument("--classes", nargs="+", default=CLASSES, metavar="FOLDER=label,label")
    parser.add_argument("--per-class", type=int, default=32)
    given = parser.parse_args()
    pack = find_pack(given.pack)
    manifest, hop = pack.manifest, hop_of(pack.manifest.rate)
    session = Session(pack, provider=Provider.CPU)
    ids = [label.id for label in pack.labels]
    random = np.random.default_rng(0)
    leads: dict[tuple[str, float], list[int]] = {}
    tried = 0
    for entry in given.classes:
        folder, _, names = entry.partition("=")
        columns = [ids.index(name) for name in names.split(",")]
        files = sorted(path for path in (given.data / folder).iterdir() if path.suffix in (".ogg", ".wav", ".flac"))
        for path in files[: given.per_class]:
            sound = onset_of(load(path, manifest.rate), manifest.rate)
            if sound is None:
                continue
            tried += 1
            onset = int(BEFORE_S * manifest.rate)
            line = random.normal(scale=NOISE, size=onset + int(AFTER_S * manifest.rate)).astype(np.float32)
            line[onset : onset + len(sound)] += sound
            scores = rows(session, manifest, line, hop)[:, columns].max(axis=1)
            for threshold in THRESHOLDS:
                (first,) = np.nonzero(scores >= threshold)
                if len(first) and first[0] > 0:
                    leads.setdefault((folder, threshold), []).append(onset // hop - int(first[0]))
    report(leads, tried, manifest.window, hop, manifest.rate)


def load(path: Path, rate: int) -> F32:
    """The file as mono at `rate`."""
    samples, native = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), native, rate), dtype=np.float32)


def onset_of(samples: F32, rate: int) -> F32 | None:
    """Up to two seconds from the first sudden onset on (10 ms that exceed the 100 ms before by 20 dB), or None."""
    block = rate // 100
    level = np.sqrt(np.mean(samples[: len(samples) // block * block].reshape(-1, block) ** 2, axis=1)) + 1e-5
    loud = level > 0.2 * level.max()
    for at in np.flatnonzero(loud):
        before = level[max(0, at - 10) : at]
        if at + int(SHORTEST_S * 100) <= len(level) and (len(before) == 0 or level[at] > 10 * before.mean()):
            return samples[at * block : at * block + int(AFTER_S * rate)]
    return None


def rows(session: Session, manifest: Manifest, line: F32, hop: int) -> F32:
    """Scores of every window at a hop of 20 ms: (windows, classes)."""
    window = manifest.window
    frontend = make_frontend(manifest.features, manifest.rate, history=len(line))
    frontend.push(line)
    found = []
    starts = range(0, len(line) - window + 1, hop)
    for at in range(0, len(starts), BATCH):
        chunk = starts[at : at + BATCH]
        inputs = session.input_rows(len(chunk))
        for row, start in zip(inputs, chunk, strict=True):
            frontend.window(start, window, row)
        found.append(session.run(range(len(chunk)))[:, 0])
    return np.concatenate(found)


def report(leads: dict[tuple[str, float], list[int]], tried: int, window: int, hop: int, rate: int) -> None:
    """Print the measured leads in frames and the position that they ask for."""
    if not leads:
        sys.exit("no clip's score reached a threshold; name other classes")
    for (folder, threshold), found in sorted(leads.items()):
        low, middle, high = np.quantile(found, [0.25, 0.5, 0.75])
        print(f"{folder:16} at {threshold}: {len(found):3} clips, lead {middle:.0f} frames ({low:.0f} to {high:.0f})")
    for threshold in THRESHOLDS:
        found = [lead for (_, used), each in leads.items() if used == threshold for lead in each]
        if found:
            print(f"all at {threshold}: {len(found)} of {tried} clips, median lead {np.median(found):.0f} frames")
    everything = [lead for each in leads.values() for lead in each]
    frame = round(float(np.median(everything)))
    errors = [abs(lead - frame) * 1000 * hop // rate for lead in everything]
    print(
        f"position: frame {frame} of the window (row_at {frame * hop}, look_ahead {window - (frame + 1) * hop}); "
        f"onset error then: median {np.median(errors):.0f} ms, 90 % under {np.quantile(errors, 0.9):.0f} ms"
    )


if __name__ == "__main__":
    try:
        main()
    except StreamclfError as error:
        sys.exit(f"error: {error}")
