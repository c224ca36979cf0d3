"""Where in its window a row of a window-row pack belongs, measured from sounds whose onset is known.

Each sound is laid into quiet noise at a known sample and the model is run every 20 ms. The first window whose score of
the sound's classes reaches a threshold begins `lead` frames before the onset. A row at frame `lead` of its window would
have put the onset where it sounded; so the median lead over all sounds and thresholds is the position to state.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from streamclf.clock import hop_of
from streamclf.errors import PackError
from streamclf.features.frontend import make_frontend
from streamclf.model.pack import Pack
from streamclf.model.session import Session
from streamclf.types import F32, Provider

THRESHOLDS = (0.3, 0.4, 0.5)
_BEFORE_S, _AFTER_S = 2, 2
_NOISE = 10 ** (-60 / 20)
_BATCH = 32


@dataclass(frozen=True, slots=True)
class SuddenSound:
    """A sound that begins suddenly, at its first sample. columns: the classes that it should raise."""

    name: str
    columns: tuple[int, ...]
    samples: F32


@dataclass(frozen=True, slots=True)
class Position:
    """leads: (name of the sounds, threshold) -> frames from a window's start to the onset. tried: sounds."""

    leads: dict[tuple[str, float], list[int]]
    tried: int

    @property
    def frame(self) -> int:
        """The frame of the window, from 0, that its row belongs to."""
        return round(float(np.median([lead for each in self.leads.values() for lead in each])))


def measure(pack: Pack, sounds: Iterable[SuddenSound]) -> Position:
    """Measure with the sounds, at the pack's rate. Raises `PackError` where none of them reaches a threshold."""
    rate, hop = pack.manifest.rate, hop_of(pack.manifest.rate)
    session = Session(pack, provider=Provider.CPU)
    random = np.random.default_rng(0)
    leads: dict[tuple[str, float], list[int]] = {}
    tried = 0
    # the first windows have to be without the sound
    onset = max(_BEFORE_S * rate, 2 * pack.manifest.window) // hop * hop
    for sound in sounds:
        tried += 1
        signal = random.normal(scale=_NOISE, size=onset + _AFTER_S * rate + pack.manifest.window).astype(np.float32)
        signal[onset : onset + len(sound.samples)] += sound.samples
        scores = _rows(session, pack, signal, hop)[:, list(sound.columns)].max(axis=1)
        for threshold in THRESHOLDS:
            (first,) = np.nonzero(scores >= threshold)
            if len(first) and first[0] > 0:
                leads.setdefault((sound.name, threshold), []).append(onset // hop - int(first[0]))
    if not leads:
        raise PackError(
            f"none of {tried} sounds raised its class of pack {pack.manifest.name} to {THRESHOLDS[0]:g}; "
            "give recordings of other classes, or state `row_at`"
        )
    return Position(leads, tried)


def _rows(session: Session, pack: Pack, signal: F32, hop: int) -> F32:
    """Scores of every window at a hop of 20 ms: (windows, classes)."""
    window = pack.manifest.window
    frontend = make_frontend(pack.manifest.features, pack.manifest.rate, history=len(signal), encode=session.encode)
    frontend.push(signal)
    found = []
    starts = range(0, len(signal) - window + 1, hop)
    for at in range(0, len(starts), _BATCH):
        chunk = starts[at : at + _BATCH]
        inputs = session.input_rows(len(chunk))
        for row, start in zip(inputs, chunk, strict=True):
            frontend.window(start, window, row)
        found.append(session.run(range(len(chunk)))[:, 0])
    return np.concatenate(found)
