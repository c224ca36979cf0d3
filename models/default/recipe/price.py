"""Thresholds and durations of the pack that ships, from recordings that its weights have never heard.

Of the folder `more` those recordings are used that no weights learnt from, and fold 4 of ESC-10. Each class gets the
threshold that is worth most at a price of a mistake, as the classes of `everyday` do: of normal, low and high
sensitivity. What it costs is told with thresholds that were chosen without the recording's fold of sources. The weights
are then moved so that every class is told from a score of 0.5 on.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from models.default.recipe import more
from models.everyday.recipe import fit
from models.everyday.recipe.classes import EverydayClass, EverydayClip, classes, named
from models.everyday.recipe.scores import logits
from streamclf.clock import FRAME_MS, frames_of_ms
from streamclf.engine.batch import PackRunner
from streamclf.engine.deciding import default_decision
from streamclf.engine.engine import Engine
from streamclf.model.pack import Pack
from streamclf.model.session import Session
from streamclf.sensitivity import Sensitivity
from streamclf.types import Label, Provider
from tools.evaluate_everyday.listen import Listener, read_samples

PRICES = {Sensitivity.LOW: 0.02, Sensitivity.NORMAL: 0.0075, Sensitivity.HIGH: 0.003}
"""The share of a class's recordings that one wrong recording more an hour must bring."""
BEHIND = 20.0
"""A background in which a class is told wrongly counts as so many recordings: it goes on longer, and few are kept."""
FACTOR = 0.7
"""Of all logits: of maxima of 0.9 or more four in five are right; at 1 seven in ten, at 0.4, which hardly tells silence
from doubt, nine.
"""
LEAST_SOURCES = 5
"""Of a class that fewer sources in `more` hold nobody can say how much of it is told."""
_ESC10_FOLD = "4-"


@dataclass(frozen=True, slots=True)
class PricedLabel:
    """One label with its thresholds. level: what the class's logits are lessened by.

    told, false: share of the recordings of the class that are told, NaN where there are too few sources, and wrong
    recordings an hour among other sounds, each judged without its fold of sources.
    """

    label: Label
    level: float
    sources: int
    told: float
    false: float


def unlearnt(data: Path) -> list[EverydayClip]:
    """The recordings of `more` in the data folder that no weights have learnt from, of each voice one, and ESC-10's."""
    sources = set(more.held_out(data / "more", more.UNLEARNT))
    voices: set[str] = set()
    found = []
    for one in named(data):
        if one.label == "ESC-10" and one.path.rpartition("/")[2].startswith(_ESC10_FOLD):
            found.append(one)
        if not one.path.startswith("more/") or one.source not in sources or one.source in voices:
            continue
        if one.label == "speech":
            voices.add(one.source)
        found.append(one)
    return found


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


def choose(pack: Pack, those: Sequence[EverydayClip], data: Path, work: Path) -> list[PricedLabel]:
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
    every = of.hours > 0
    levels = {each: fit.thresholds(values, of, price, every, BEHIND) for each, price in PRICES.items()}
    normal = levels[Sensitivity.NORMAL]
    told = fit.left_out(values, of, PRICES[Sensitivity.NORMAL], BEHIND)
    out = []
    for column, (one, label) in enumerate(zip(known, pack.labels, strict=True)):
        right, wrong = of.right[:, column], of.wrong[:, column] & ~of.background
        found = told[right, column].mean() if of.sources[column] >= LEAST_SOURCES else math.nan
        false = told[wrong, column].sum() / of.hours[wrong].sum() if wrong.any() else math.nan
        lasting = replace(label, min_on_ms=one.min_on_ms, min_off_ms=one.min_off_ms)
        if label.hidden:
            # it holds where nothing else does, and is never told
            out.append(PricedLabel(lasting, 0.0, of.sources[column], math.nan, math.nan))
            continue
        level = float(normal[column])
        low, high = (_written(FACTOR * (levels[each][column] - level)) for each in (Sensitivity.LOW, Sensitivity.HIGH))
        new = replace(lasting, enter_low=low, enter_high=high)
        out.append(PricedLabel(new, level, of.sources[column], float(found), float(false)))
    return out


def _written(level: float) -> float:
    """A logit as a threshold with three digits that an event can reach and leave."""
    return min(0.97, max(0.1, round(1 / (1 + math.exp(-level)), 3)))


def table(chosen: Sequence[PricedLabel]) -> str:
    """Of the card, with the sums below it."""
    lines = [
        "| label | what | enter, low / high | lasts | sources | told | false an hour |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in chosen:
        label = one.label
        lasts = f"{(label.min_on_ms or 100) / 1000:g} s; {(label.min_off_ms or 300) / 1000:g} s"
        found = "too few" if math.isnan(one.told) else f"{one.told:.0%}"
        wrong = "" if math.isnan(one.false) else f"{one.false:.1f}"
        enters = "" if label.enter_low is None else f"{label.enter_low:g} / {label.enter_high:g}"
        lines.append(f"| `{label.id}` | {label.name} | {enters} | {lasts} | {one.sources} | {found} | {wrong} |")
    judged = [one for one in chosen if not (math.isnan(one.told) or one.label.hidden)]
    told, false = np.mean([one.told for one in judged]), np.mean([one.false for one in judged])
    return "\n".join(
        [*lines, "", f"Means of the {len(judged)} with sources enough: told {told:.2f} at {false:.1f} false an hour."]
    )
