"""The default model against what was asked of it: every row of the table, through the engine that runs live.

    python tools/evaluate_default.py --data RECORDINGS [--work .run/default] [--pack default]
        [--reference yamnet] [--reference silero-vad] [--hours 1] [--only clips,birds,speech,onsets,false,cost]
        [--json FILE]
    python tools/evaluate_default.py --only cost --pack default

RECORDINGS is the data folder, of which fold 4 of `esc10` is read; WORK is the folder that `tools/train_default` has
filled. All else comes from the test split of its corpus: speakers, birds, clips and backgrounds that the weights of
`default` were not trained or chosen on. Of a pack of version 3 or before, which has learnt from them, only the cost can
be judged. References are packs that are judged on the same recordings. Needs the extra `train`.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
from models.default.recipe.corpus import load
from models.default.recipe.judge import Judge, table
from streamclf.errors import StreamclfError

_ROWS = "clips,birds,speech,onsets,false,cost"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="for all rows but cost")
    parser.add_argument("--work", type=Path, default=Path(".run/default"))
    parser.add_argument("--pack", default="default", help="name or folder")
    parser.add_argument("--reference", action="append", default=[], help="another pack, may be repeated")
    parser.add_argument("--hours", type=float, default=1.0, help="of backgrounds, for false events")
    parser.add_argument("--only", default=_ROWS, help="which rows")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    wanted = given.only.split(",")
    if unknown := sorted(set(wanted) - set(_ROWS.split(","))):
        parser.error(f"--only names {unknown[0]}; expected some of {_ROWS}")
    heard = set(wanted) - {"cost"}
    if heard and not given.data:
        parser.error("--data is missing; give the folder of recordings, or --only cost")
    if heard and not (given.work / "corpus.json").is_file():
        parser.error(f"{given.work} has no corpus; run tools/train_default first, or give its folder as --work")
    try:
        judge = Judge([given.pack, *given.reference])
        if heard and judge.has_heard_the_test:
            parser.error(f"{given.pack} has learnt from the recordings of the test; give --only cost or another pack")
        test = [clip for clip in load(given.work) if clip.split == "test"] if heard else []
        folder = given.work / "test"
        rows = {
            "clips": lambda: judge.clips(given.data),
            "birds": lambda: judge.birds(test, folder / "clips"),
            "speech": lambda: judge.speech(test, folder / "dialogues"),
            "onsets": lambda: judge.onsets(test, folder / "mixed"),
            "false": lambda: judge.false(test, folder / "backgrounds", given.hours),
            "cost": judge.cost,
        }
        for name in wanted:
            rows[name]()
            print(f"{name}: done", file=sys.stderr, flush=True)
    except StreamclfError as fault:
        sys.exit(f"error: {fault}")
    print(table(judge))
    if given.json:
        report = {"rows": [{**asdict(row), "good": row.met} for row in judge.rows], "details": judge.details}
        given.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
