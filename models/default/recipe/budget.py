"""Thresholds and durations of the pack that ships, from recordings that its weights have never heard.

    python -m models.default.recipe.budget --data RECORDINGS [--work .run/default]

RECORDINGS is the data folder; of what is in its `more` those recordings are used that no weights learnt from. Each
class gets the lowest threshold that lets `BUDGET` recordings an hour of other sounds pass, and one of the backgrounds.
What it costs is told with thresholds that were chosen without the recording's fold of sources. Written are labels.csv,
the table of CARD.md and the hashes of pack.toml in models/default. Needs the extra `train`.
"""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from models.default.recipe import more
from models.everyday.recipe import fit
from models.everyday.recipe.classes import EverydayClass, EverydayClip, classes, recordings
from models.everyday.recipe.scores import logits
from streamclf.clock import FRAME_MS, frames_of_ms
from streamclf.engine.batch import PackRunner
from streamclf.engine.deciding import default_decision
from streamclf.engine.engine import Engine
from streamclf.errors import StreamclfError
from streamclf.model.complete import complete
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.model.packwriter import labels_csv
from streamclf.model.session import Session
from streamclf.types import Label, Provider
from tools.evaluate_everyday.listen import Listener, read_samples

BUDGET = 15.0
"""Wrong recordings an hour that a class may be told in."""
LEAST_SOURCES = 5
"""Of a class that fewer sources in `more` hold nobody can say how much of it is told."""
PACK = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- thresholds -->", "<!-- end of thresholds -->"
"""What stands between them in CARD.md is written here."""


@dataclass(frozen=True, slots=True)
class Budgeted:
    """One label's threshold. told, false: share of the recordings of the class that are told, NaN where there are too
    few sources, and wrong recordings an hour among other sounds, each judged without its fold of sources.
    """

    label: Label
    sources: int
    told: float
    false: float


def main() -> None:
    """Ask the pack, choose thresholds, write."""
    parser = argparse.ArgumentParser(
        prog="python -m models.default.recipe.budget",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(".run/default"))
    given = parser.parse_args()
    try:
        pack = load_pack(PACK)
        those = unlearnt(given.data)
        write(choose(pack, those, given.data, given.work))
    except StreamclfError as fault:
        sys.exit(f"error: {fault}")


def unlearnt(data: Path) -> list[EverydayClip]:
    """The recordings of `more` in the data folder that no weights have learnt from."""
    sources = set(more.held_out(data / "more", more.UNLEARNT))
    return [one for one in recordings(data) if one.path.startswith("more/") and one.source in sources]


def of_pack(pack: Pack) -> list[EverydayClass]:
    """The pack's labels as classes: what holds one, out of the classes of `everyday` that it answers for."""
    out = []
    for label in pack.labels:
        parts = [one for one in classes() if one.default == (label.id,)]
        own = next((one for one in parts if one.id == label.id), None)
        out.append(
            EverydayClass(
                id=label.id,
                name=label.name,
                group=label.group,
                yamnet=(),
                default=(label.id,),
                truth=tuple(dict.fromkeys(truth for one in parts for truth in one.truth)),
                also=frozenset(),
                taken_for_it=(),
                min_on_ms=own.min_on_ms if own else None,
                min_off_ms=own.min_off_ms if own else None,
            )
        )
    return out


def choose(pack: Pack, those: Sequence[EverydayClip], data: Path, work: Path) -> list[Budgeted]:
    """A threshold for each label. work: where the pack's scores are kept."""
    known = of_pack(pack)
    engine = Engine([PackRunner(pack, Session(pack, provider=Provider.CPU))])
    listener = Listener(pack.manifest.name, engine, cache=work / "scores", hop_ms=FRAME_MS)
    rows, seconds = [], []
    for heard in listener.hear(read_samples(data / one.path) for one in those):
        rows.append(logits(heard.rows))
        seconds.append(heard.seconds)
    of = fit.truths(known, those, seconds)
    usual = default_decision(pack.manifest).min_on
    frames = [frames_of_ms(one.min_on_ms) if one.min_on_ms else usual for one in known]
    values = np.array([[fit.lasting(row[:, column], count) for column, count in enumerate(frames)] for row in rows])
    levels = fit.thresholds(values, of, BUDGET, of.hours > 0)
    told = fit.left_out(values, of, BUDGET)
    out = []
    for column, (one, label) in enumerate(zip(known, pack.labels, strict=True)):
        right, wrong = of.right[:, column], of.wrong[:, column] & ~of.background
        # written with three digits, and not below what was chosen
        enter = label.enter if label.hidden else math.ceil(1000 / (1 + math.exp(-levels[column]))) / 1000
        found = told[right, column].mean() if of.sources[column] >= LEAST_SOURCES else math.nan
        false = told[wrong, column].sum() / of.hours[wrong].sum() if wrong.any() else math.nan
        new = replace(label, enter=enter, min_on_ms=one.min_on_ms, min_off_ms=one.min_off_ms)
        out.append(Budgeted(new, of.sources[column], float(found), float(false)))
    return out


def table(chosen: Sequence[Budgeted]) -> str:
    """Of CARD.md, with the sums below it."""
    lines = ["| label | what | enter | lasts | sources | told | false an hour |", "|---|---|---|---|---|---|---|"]
    for one in chosen:
        label = one.label
        lasts = f"{(label.min_on_ms or 100) / 1000:g} s; {(label.min_off_ms or 300) / 1000:g} s"
        found = "too few" if math.isnan(one.told) else f"{one.told:.0%}"
        wrong = "" if math.isnan(one.false) else f"{one.false:.1f}"
        lines.append(f"| `{label.id}` | {label.name} | {label.enter:g} | {lasts} | {one.sources} | {found} | {wrong} |")
    judged = [one for one in chosen if not (math.isnan(one.told) or one.label.hidden)]
    told, false = np.mean([one.told for one in judged]), np.mean([one.false for one in judged])
    return "\n".join(
        [*lines, "", f"Means of the {len(judged)} with sources enough: told {told:.2f} at {false:.1f} false an hour."]
    )


def write(chosen: Sequence[Budgeted]) -> None:
    """labels.csv, the table of CARD.md, pack.toml."""
    (PACK / "labels.csv").write_bytes(labels_csv([one.label for one in chosen]))
    card = PACK / "CARD.md"
    before, _, rest = card.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    card.write_text(f"{before}{BEGIN}\n\n{table(chosen)}\n\n{END}{after}", encoding="utf-8")
    done = complete(PACK)
    for name in ("labels.csv", "pack.toml"):
        (PACK / name).write_bytes(done.contents[name])


if __name__ == "__main__":
    main()
