"""Each row of the table of measures: what was asked, what the pack gives, what others give on the same recordings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import le
from pathlib import Path

import numpy as np

from models.default.recipe import costs, testset
from models.default.recipe.classes import BY_ESC10, CLASSES, LABELS
from models.default.recipe.corpus import HEARD_ALL, HELD_OUT, CorpusClip
from streamclf.config import Config
from streamclf.engine.engine import Engine
from streamclf.errors import StreamclfError
from streamclf.model.labels import slug
from streamclf.train.data.annotations import Recording, read_data
from streamclf.train.evaluate import inputs
from streamclf.train.evaluate.evaluation import EvaluationSettings, PackResult, evaluate
from streamclf.train.evaluate.merit import ClipMetrics

GAINS = {1.0: 0.0, 0.1: 3.0, 0.02: 8.0}
"""Factor on every sample -> points of accuracy that it may cost."""
NOISE_DB = 10.0
_FOLD = frozenset({4})
_EVENTS = frozenset(LABELS[:-1])
DIALOGUES, MIXED = 20, 120
YAMNET = "yamnet"


@dataclass(slots=True)
class Measure:
    """One measure. by_pack: name -> figure, the judged pack first. good: whether a figure is what was asked, None where
    nothing was. unit: %, ms, /h, x or none.
    """

    what: str
    target: str
    by_pack: Mapping[str, float | None]
    good: Callable[[float], bool] | None = None
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """None where nothing was asked, or there is no figure."""
        first = next(iter(self.by_pack.values()))
        return None if self.good is None or first is None else self.good(first)


class Judge:
    """rows: what was measured so far. details: what is more than a row, by its title. has_heard_the_test: whether the
    judged pack has learnt from the recordings that it would be judged on.
    """

    def __init__(self, packs: Sequence[str]) -> None:
        """packs: names or folders, the judged one first. Raises PackError where one is not there."""
        engines, names = inputs.make_engines(packs, Config())
        self.engines: dict[str, Engine] = dict(zip(names, engines, strict=True))
        self.name = names[0]
        source = engines[0].runners[0].pack.manifest.source
        self.has_heard_the_test = source.startswith(HEARD_ALL) and not source.startswith(HELD_OUT)
        self.rows: list[Measure] = []
        self.details: dict[str, object] = {}

    def clips(self, data: Path) -> None:
        """ESC-10, a fold that nothing was trained or chosen on: as it is, quieter, and in noise."""
        recordings = inputs.of_folds(read_data(data / "esc10")[0], _FOLD)
        plain = 0.0
        for gain, points in GAINS.items():
            figures = self._accuracy(recordings, EvaluationSettings(gain=gain))
            if gain == 1.0:
                plain = figures[self.name] or 0.0
                what, target, least = "ESC-10 fold 4, ten-way clip accuracy", ">= 88 %", 88.0
            else:
                what, target, least = f"the same at gain x{gain:g}", f"within {points:g} points", plain - points
            self.rows.append(Measure(what, target, figures, partial(le, least), "%"))
        figures = self._accuracy(recordings, EvaluationSettings(noise_db=NOISE_DB))
        self.rows.append(Measure(f"the same in white noise at {NOISE_DB:g} dB", "costs little", figures, None, "%"))

    def birds(self, test: Sequence[CorpusClip], folder: Path) -> None:
        """Bird clips against all others, and every class against the rest."""
        recordings = testset.clips(test, folder)
        # a cock that crows is a bird as well, but it is the other birds that are asked for
        songs = [r for r in recordings if "rooster" not in r.labels]
        figures = {}
        for name in self.engines:
            per_class = {score.label: score.auc for score in _clip(self._ask(name, songs)).per_class}
            figures[name] = per_class.get("bird")
        scores = _clip(self._ask(self.name, recordings)).per_class
        self.details["AUC by class, clips (and how many have it)"] = {s.label: [s.auc, s.positives] for s in scores}
        count = sum("bird" in r.labels for r in songs)
        what = f"bird ({count} clips) against {len(songs) - count} others, recordings never heard, AUC"
        self.rows.append(Measure(what, ">= 0.97", figures, lambda v: v >= 0.97))

    def speech(self, test: Sequence[CorpusClip], folder: Path) -> None:
        """Frames of dialogues of unseen speakers in weather, engines and noise."""
        recordings = testset.dialogues(test, folder, DIALOGUES)
        figures: dict[str, float | None] = {}
        for name in self.engines:
            frame = self._ask(name, recordings).frame
            figures[name] = frame.per_class[0].auc if frame else None
        what = "speech frames (20 ms), dialogues of unseen speakers in noise, AUC"
        self.rows.append(Measure(what, ">= 0.94", figures, lambda v: v >= 0.94))

    def onsets(self, test: Sequence[CorpusClip], folder: Path) -> None:
        """Events of all classes at known times."""
        recordings = testset.mixed(test, folder, MIXED)
        own = self._ask(self.name, recordings)
        if not (own.events and own.frame and own.onsets):
            raise StreamclfError(f"{self.name} has no class that is in the mixed scenes; give a pack with such classes")
        median, p95 = own.onsets.median_ms, own.onsets.p95_ms
        self.rows += [
            Measure("onset error on mixed scenes, median", "<= 60 ms", {self.name: median}, lambda v: v <= 60, "ms"),
            Measure("onset error on mixed scenes, p95", "<= 250 ms", {self.name: p95}, lambda v: v <= 250, "ms"),
            Measure("event F1 on mixed scenes (200 ms)", "", {self.name: own.events.event.f1}),
            Measure("segment F1 on mixed scenes (1 s)", "", {self.name: own.events.segment.f1}),
        ]
        self.details["frame AUC by class, mixed scenes"] = {s.label: s.auc for s in own.frame.per_class}
        self.details["event F1 by class, mixed scenes"] = {k: v.f1 for k, v in own.events.event_per_class.items()}
        self.details["segment F1 by class, mixed scenes"] = {k: v.f1 for k, v in own.events.segment_per_class.items()}
        self.details["events found and missed, mixed scenes"] = [own.onsets.found, own.onsets.missed]

    def false(self, test: Sequence[CorpusClip], folder: Path, hours: float) -> None:
        """Events where nothing of the class is to be heard, at the thresholds the pack comes with."""
        made = testset.backgrounds(test, folder, hours)
        counts = {k: v for k, v in self._ask(self.name, made.recordings).false_events.items() if k in _EVENTS}
        rates = {own: false.per_hour or 0.0 for own, false in counts.items()}
        what = f"false events an hour, worst class ({hours:g} h of backgrounds, {made.real_s / 60:.0f} min recorded)"
        self.rows += [
            Measure(what, "<= 1", {self.name: max(rates.values(), default=None)}, lambda v: v <= 1, "/h"),
            Measure(
                f"classes with more than one an hour, of {len(rates)}",
                "0",
                {self.name: float(sum(rate > 1 for rate in rates.values()))},
                lambda v: v == 0,
            ),
        ]
        self.details["false events and the hours without the class"] = {
            own: [false.count, round(false.hours, 2)] for own, false in counts.items()
        }

    def cost(self) -> None:
        """CPU of one stream, features and engine included; the packs in turn in one run."""
        taken = np.array(costs.per_frame_ms(list(self.engines.values())))
        figures: dict[str, float | None] = dict(zip(self.engines, np.median(taken, axis=0).tolist(), strict=True))
        self.rows.append(
            Measure("one stream, one thread, CPU per 20 ms", "<= 0.3 ms", figures, lambda v: v <= 0.3, "ms")
        )
        if YAMNET in figures:
            ratio = float(np.median(taken[:, list(figures).index(YAMNET)] / taken[:, 0]))
            what = "YAMNet at a 20 ms hop costs, in the same run"
            self.rows.append(Measure(what, ">= 15 times", {self.name: ratio}, lambda v: v >= 15, "x"))

    def _accuracy(self, recordings: Sequence[Recording], settings: EvaluationSettings) -> dict[str, float | None]:
        shares = {name: _clip(self._ask(name, recordings, settings)).accuracy for name in self.engines}
        return {name: None if share is None else 100 * share for name, share in shares.items()}

    def _ask(
        self, name: str, recordings: Sequence[Recording], settings: EvaluationSettings | None = None
    ) -> PackResult:
        engine = self.engines[name]
        labels = sorted({label for recording in recordings for label in recording.labels})
        known = {key for label in engine.runners[0].pack.labels for key in (label.id, slug(label.name))}
        given = {label: tuple(word for word in _words(label) if word in known) for label in labels}
        maps = inputs.label_maps([engine], [name], labels, given, recordings)
        return evaluate([engine], maps, recordings, settings or EvaluationSettings()).packs[0]


def _words(label: str) -> list[str]:
    """What a pack may call a label of the data: the class itself, or as YAMNet names it."""
    own = BY_ESC10.get(label, label)
    return next(([one.label, *map(slug, one.yamnet)] for one in CLASSES if one.label == own), [])


def _clip(result: PackResult) -> ClipMetrics:
    if result.clip is None:
        raise StreamclfError(f"{result.pack.manifest.name} has none of the classes of these clips; give another pack")
    return result.clip


def table(judge: Judge) -> str:
    """The rows as Markdown, then the details."""
    names = list(judge.engines)
    lines = [f"| what | target | {' | '.join(names)} | met |", f"|---|---|{'---|' * len(names)}---|"]
    for row in judge.rows:
        cells = [_cell(row.by_pack.get(name), row.unit) for name in names]
        met = {True: "yes", False: "no", None: ""}[row.met]
        lines.append(f"| {row.what} | {row.target} | {' | '.join(cells)} | {met} |")
    for title, content in judge.details.items():
        lines += ["", f"{title}: {_plain(content)}"]
    return "\n".join(lines)


def _cell(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    digits = {"%": 1, "/h": 1, "x": 1}.get(unit, 0 if value >= 10 or value == int(value) else 3)
    return f"{value:.{digits}f} {unit}".rstrip()


def _plain(content: object) -> str:
    if isinstance(content, dict):
        return ", ".join(f"{key} {_plain(value)}" for key, value in content.items())
    if isinstance(content, list):
        return "/".join(_plain(value) for value in content)
    return f"{content:.3f}" if isinstance(content, float) else str(content)
