"""The bird example: is there a bird in it? A spectrogram ConvNet with one label a clip, in one command.

    python tools/train_birds.py --data RECORDINGS --out PACK [--more ANIMALS] [--test-fold 4]

RECORDINGS holds the folders esc10, ambience, clips and animal_song, as they were collected for this project; `--more`
is a folder in which `birds` holds birds and everything else none, as in stamps/animals of Debian's package
tuxpaint-stamps-default. What is a bird is written in this file: cocks and finches are, a summer night (crickets) and
deer mice are not.

Recordings are dealt out to four folds by their source; three of them teach, and the figures are those of the fourth.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

# waiting threads must sleep, or a shared core is spent on waiting
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from streamclf.audio.sources.recording import readable
from streamclf.commands.evaluation import say_left_out
from streamclf.errors import StreamclfError, UsageError
from streamclf.train.data.annotations import Recording, split_by_source
from streamclf.train.data.augment import KINDS
from streamclf.train.fit.job import Options, train
from streamclf.train.fit.training import FitSettings
from tools.lab.training import EpochLines, say, tell

BIRD, OTHER = "bird", "other"
BIRDS = (
    "esc10/rooster/*",
    "ambience/birds.*",
    "animal_song/birds_10s.*",
    "animal_song/bl26lb16.*",
    "animal_song/samba.*",
    "animal_song/WhiLbl*",
    "birds/*",
)
# outdoors, nobody has said whether birds are in the background; `simple` is a drawn test signal, `_desc` a spoken name
LEFT_OUT = ("ambience/summer-night.*", "ambience/city.*", "ambience/boat.*", "animal_song/simple.*", "*_desc*")
FOLDERS = ("esc10", "ambience", "clips", "animal_song")
FOLDS = 4


def main() -> None:
    """Lay the recordings out, train, judge; print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--more", type=Path, action="append", default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arch", default="convnet", choices=("convnet", "resnet", "convnext", "vit"))
    parser.add_argument("--test-fold", type=int, default=FOLDS, choices=range(1, FOLDS + 1))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    work = given.out.with_name(given.out.name + ".run")
    counts = lay_out(list(recordings([*(given.data / name for name in FOLDERS), *given.more])), work / "clips")
    print(", ".join(f"{label}: {clips} recordings of {sources} sources" for label, (clips, sources) in counts.items()))
    options = Options(
        arch=given.arch,
        mode="sequence",
        augment=KINDS,
        balance=True,
        validation=0.0,
        test_folds=(given.test_fold,),
        settings=FitSettings(epochs=given.epochs, threads=given.threads, seed=given.seed),
    )
    result = train(
        work / "clips",
        given.out,
        work,
        options,
        replace=True,
        watch=EpochLines(5),
        say=say,
        left_out=say_left_out,
    )
    tell(result, what="held-out recordings")


def recordings(folders: list[Path]) -> Iterator[Recording]:
    """Everything whose label is sure, with its source."""
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder} is not there; expected a folder of recordings")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in readable() or not path.is_file():
                continue
            # as the lists above write it, from the folder's own name or from what is in it
            names = (f"{folder.name}/{path.relative_to(folder).as_posix()}", path.relative_to(folder).as_posix())
            if any(fnmatch(name, pattern) for name in names for pattern in LEFT_OUT):
                continue
            bird = any(fnmatch(name, pattern) for name in names for pattern in BIRDS)
            # ESC-10's names carry the recording that a clip was cut from; pig and pig_golden may well be one elsewhere
            parts = path.stem.split("-")
            source = parts[1] if folder.name == "esc10" and len(parts) == 3 else names[0].split("_")[0]
            yield Recording(path, source, (BIRD if bird else OTHER,))


def lay_out(everything: list[Recording], folder: Path) -> dict[str, tuple[int, int]]:
    """A folder per class with links named FOLD-SOURCE-TAKE. Returns label -> (recordings, sources)."""
    numbers = {source: at for at, source in enumerate(sorted({recording.source for recording in everything}), 1)}
    counts: dict[str, tuple[int, int]] = {}
    for fold, part in enumerate(split_by_source(everything, [1.0] * FOLDS), start=1):
        takes: dict[str, int] = {}
        for recording in part:
            take = takes[recording.source] = takes.get(recording.source, -1) + 1
            name = f"{fold}-{numbers[recording.source]}-{chr(ord('A') + take % 26)}-{take}{recording.path.suffix}"
            link = folder / recording.labels[0] / name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(recording.path.resolve())
    for label in (BIRD, OTHER):
        own = [recording for recording in everything if recording.labels == (label,)]
        counts[label] = (len(own), len({recording.source for recording in own}))
    return counts


if __name__ == "__main__":
    try:
        main()
    except StreamclfError as error:
        sys.exit(f"error: {error}")
