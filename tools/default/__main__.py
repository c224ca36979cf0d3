"""The default model from its recordings to its pack, stage by stage; a stage that is done is skipped.

    python -m tools.default --data RECORDINGS --models PACKS [--work .run/default] [--until gather]

RECORDINGS is the folder of recordings (esc10, ambience, clips, digits, animal_song, soundscapes), PACKS the folder that
holds the pack `yamnet`, the teacher. Killed at any moment, it goes on where it was when it is started again.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from streamclf.errors import StreamclfError
from tools.default import corpus, gather


def main() -> None:
    """Run the stages in turn."""
    parser = argparse.ArgumentParser(
        prog="tools/train_default", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".run/default"))
    parser.add_argument("--until", choices=[name for name, _ in STAGES], default=STAGES[-1][0])
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    for name, stage in STAGES:
        print(f"{name}:", flush=True)
        try:
            stage(given)
        except StreamclfError as fault:
            sys.exit(f"error: {fault}")
        if name == given.until:
            break


def _gather(given: argparse.Namespace) -> None:
    if not (given.work / "provenance.json").exists():
        gather.gather(given.data, given.work, given.models)
    print(gather.counts(corpus.load(given.work)))


STAGES: tuple[tuple[str, Callable[[argparse.Namespace], None]], ...] = (("gather", _gather),)


if __name__ == "__main__":
    main()
