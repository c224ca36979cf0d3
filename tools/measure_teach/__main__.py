"""How well sounds are known that somebody has shown three times: `python -m tools.measure_teach --data ../shared/data`.

Of each of forty sounds three clips of three sources are shown, as `streamclf teach NAME --clips` shows them; all clips
of other sources are unseen. What the place sounds like is one half of the ambience; the other half is the test.

A sound counts as heard where three windows, 0.1 s from each other, are over the threshold.

    AUC              unseen clips of the sound against the clips of all other sounds, by the highest logit of each
    found, false     at the threshold that the fit has set: of the unseen clips, and events an hour in the test ambience
    ... after ten    once the ten worst false events of the first half, as far as there are so many, were told as
                     "not this"
    at 1/hour        found at the lowest threshold that has at most one false event an hour in the test ambience
"""

import argparse
import math
import os
import pickle
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from streamclf.audio.resample import Resampler
from streamclf.clock import FRAMES_PER_SECOND
from streamclf.engine.embed import Embedder, hosts_of
from streamclf.model.activation import normalised
from streamclf.model.library import find_pack
from streamclf.teach import fit, sound
from streamclf.types import F32
from tools.measure_teach.cost import measure_cost
from tools.measure_teach.edges import measure_edges
from tools.measure_teach.live import measure_live
from tools.measure_teach.sounds import RATE, clips
from tools.measure_teach.speakers import measure_speakers

SHOWN, TOLD = 3, 10
_STEP_S = 0.1
_MOMENT = 20  # rows of ambience between two that the store would have kept
_MIN_ON, _MIN_OFF = 3, 3  # rows that an event lasts at least, and under the threshold that end it
_HOLDS = {
    "esc10 rain": ("rain", "storm"),
    "esc10 sea_waves": ("waves", "boat"),
    "esc10 fire_crackling": ("fireplace",),
    "more thunder": ("storm", "rain"),
    "more train": ("train",),
    "more water": ("rain", "waves", "boat", "storm"),
}
"""Ambience that is of a sound itself: what is told of there is no false event."""


@dataclass(frozen=True, slots=True)
class HeardClip:
    """A clip as the host hears it: all rows, and those that an example of it has."""

    sound: str
    source: str
    rows: F32
    shown: F32


@dataclass(frozen=True, slots=True)
class Known:
    """How well one sound is known."""

    auc: float
    found: float
    false: float
    found_after: float
    false_after: float
    at_one: float
    seconds: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.measure_teach", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the shared recordings")
    parser.add_argument("--model", default="yamnet", help="the pack on whose embeddings heads rest")
    parser.add_argument("--cache", type=Path, help="keep embeddings in that file, or take them from it")
    parser.add_argument("--trials", type=int, default=3, help="draws of the three clips")
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--cost", action="store_true", help="measure what fifty heads cost on sixteen streams instead")
    parser.add_argument("--speakers", action="store_true", help="measure how well voices are told apart instead")
    parser.add_argument("--live", action="store_true", help="measure how soon a daemon knows a sound instead")
    parser.add_argument("--edges", action="store_true", help="measure where events begin and end instead")
    args = parser.parse_args()
    if args.edges:
        print(measure_edges(args.data, args.model))
        return
    if args.live:
        print(measure_live(args.data, args.model, os.environ["STREAMCLF_MODELS"]))
        return
    if args.speakers:
        print(measure_speakers(args.data, args.model))
        return
    if args.cost:
        print(measure_cost(args.model))
        return
    heard, ambience = _heard(args.data, args.model, args.cache)
    found: dict[str, list[Known]] = defaultdict(list)
    for trial in range(args.first, args.first + args.trials):
        for name in sorted({clip.sound for clip in heard}):
            found[name].append(_know(name, heard, ambience, np.random.default_rng(trial)))
    _print(found)


def _heard(data: Path, model: str, cache: Path | None) -> tuple[list[HeardClip], dict[str, F32]]:
    if cache is not None and cache.is_file():
        with cache.open("rb") as file:  # of our own making, on this machine
            kept: tuple[list[HeardClip], dict[str, F32]] = pickle.load(file)
            return kept
    (host,) = hosts_of([find_pack(model)])[:1]
    embedder = Embedder(host.graph)
    window_s = host.graph.manifest.window / host.graph.manifest.rate
    heard = [
        HeardClip(
            clip.sound,
            clip.source,
            _rows(embedder, sound.heard_out(clip.samples, RATE, window_s)),
            sound.numbers_of(embedder, clip.samples, RATE),
        )
        for clip in clips(data)
    ]
    # the first windows have the faint noise in them that stands before a recording, and its edge: no place sounds so
    first = math.ceil(window_s / _STEP_S)
    ambience = {place: _rows(embedder, samples)[first:] for place, samples in _ambience(data)}
    if cache is not None:
        with cache.open("wb") as file:
            pickle.dump((heard, ambience), file)
    return heard, ambience


def _rows(embedder: Embedder, samples: F32) -> F32:
    """Embeddings every `_STEP_S`."""
    frames, rows = embedder(samples, RATE)
    step = max(1, round(_STEP_S * FRAMES_PER_SECOND / max(1, int(np.diff(frames[:2]).sum()))))
    return rows[step - 1 :: step]


def _ambience(data: Path) -> Iterator[tuple[str, F32]]:
    paths = [*sorted((data / "ambience").glob("*.ogg")), *sorted((data / "soundscapes").glob("*.flac"))]
    for path in [*paths, *sorted((data / "more" / "background").glob("*.opus"))]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True, frames=-1)
        yield path.stem, Resampler(rate, RATE).push(samples.mean(axis=1), last=True)


def _know(name: str, heard: Sequence[HeardClip], ambience: Mapping[str, F32], rng: np.random.Generator) -> Known:
    own = [clip for clip in heard if clip.sound == name]
    others = [clip for clip in heard if clip.sound != name]
    sources = sorted({clip.source for clip in own})
    shown = {sources[at] for at in rng.permutation(len(sources))[:SHOWN]}
    first = [next(clip for clip in own if clip.source == source) for source in sorted(shown)]
    unseen = [clip for clip in own if clip.source not in shown]
    places = [rows for place, rows in sorted(ambience.items()) if place not in _HOLDS.get(name, ())]
    lived, test = ([places[at] for at in half] for half in np.array_split(rng.permutation(len(places)), 2))
    moments = np.concatenate([rows[::_MOMENT] for rows in lived])
    begin = time.perf_counter()
    fitted = fit.fit([clip.shown for clip in first], [], moments)
    seconds = time.perf_counter() - begin
    wrong = _worst(fitted.weights, lived)
    after = fit.fit([clip.shown for clip in first], wrong[:TOLD], moments) if wrong else fitted
    own_peaks = np.array([_logits(clip.rows, fitted.weights).max() for clip in unseen])
    other_peaks = np.array([_logits(clip.rows, fitted.weights).max() for clip in others])
    peaks = np.array([_logits(clip.rows, after.weights).max() for clip in unseen])
    return Known(
        auc=_auc(own_peaks, other_peaks),
        found=float((own_peaks >= 0).mean()),
        false=_false_an_hour(fitted.weights, test, 0.0),
        found_after=float((peaks >= 0).mean()),
        false_after=_false_an_hour(after.weights, test, 0.0),
        at_one=float((peaks >= _threshold(after.weights, test)).mean()),
        seconds=seconds,
    )


def _logits(rows: F32, weights: F32) -> F32:
    """Of every row the lowest of it and the next two: what an event of that length would need."""
    logits = np.pad(normalised(rows) @ weights[:-1] + weights[-1], (0, _MIN_ON - 1), mode="edge")
    lasting: F32 = np.lib.stride_tricks.sliding_window_view(logits, _MIN_ON).min(axis=1)
    return lasting


def _events(logits: F32, threshold: float) -> list[tuple[int, int]]:
    """[first, end) of rows over the threshold; short gaps are part of an event."""
    found: list[tuple[int, int]] = []
    for at in np.flatnonzero(logits >= threshold).tolist():
        if found and at - found[-1][1] < _MIN_OFF:
            found[-1] = found[-1][0], at + 1
        else:
            found.append((at, at + 1))
    return found


def _worst(weights: F32, lived: Sequence[F32]) -> list[F32]:
    """The false events of the ambience that was lived through, those with the highest peaks first."""
    found = []
    for rows in lived:
        logits = _logits(rows, weights)
        found += [(float(logits[a:b].max()), rows[a:b]) for a, b in _events(logits, 0.0)]
    return [sound.spread(rows) for _, rows in sorted(found, key=lambda one: -one[0])[:TOLD]]


def _false_an_hour(weights: F32, test: Sequence[F32], threshold: float) -> float:
    hours = sum(map(len, test)) * _STEP_S / 3600
    return sum(len(_events(_logits(rows, weights), threshold)) for rows in test) / hours


def _threshold(weights: F32, test: Sequence[F32]) -> float:
    for threshold in np.arange(-3.0, 6.0, 0.1):
        if _false_an_hour(weights, test, float(threshold)) <= 1.0:
            return float(threshold)
    return 6.0


def _auc(own: F32, others: F32) -> float:
    others = np.sort(others)
    under = np.searchsorted(others, own, "left") + np.searchsorted(others, own, "right")
    return float(under.mean() / 2 / len(others))


def _print(found: dict[str, list[Known]]) -> None:
    print(f"{'sound':<24} AUC    found  false/h  after ten: found  false/h  at 1/hour  fit s")
    kinds: dict[str, list[Known]] = defaultdict(list)
    for name, known in sorted(found.items()):
        kinds[name.split()[0]] += known
        print(_row(name, known))
    for kind, known in kinds.items():
        print(_row(f"mean of {kind}", known))
    print(_row("mean of all", [one for known in found.values() for one in known]))


def _row(name: str, known: Sequence[Known]) -> str:
    mean = {key: float(np.mean([getattr(one, key) for one in known])) for key in Known.__slots__}
    return (
        f"{name:<24} {mean['auc']:.3f}  {mean['found']:.3f}  {mean['false']:7.1f}  {mean['found_after']:16.3f}  "
        f"{mean['false_after']:7.1f}  {mean['at_one']:9.3f}  {mean['seconds']:.2f}"
    )


if __name__ == "__main__":
    main()
