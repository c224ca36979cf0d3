"""What a graph gives as it gives it, before anything makes probabilities of it: for packs that nobody has proved yet.

Raises `PackError` where a pack says that its graph gives probabilities and it does not.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from streamclf.errors import PackError
from streamclf.features.frontend import make_frontend
from streamclf.model.fusion import Head
from streamclf.model.pack import Pack
from streamclf.model.session import Session
from streamclf.types import F32, Provider, Shape

_ROUNDING = 1e-3  # of float16, and of sums of a softmax
_RUNS = 6
_GAINS = tuple(np.float32(gain) for gain in (0.001, 1.0, 3.0))


class RawRows(Head):
    """In place of an activation: rows as the graph gives them."""

    def __init__(self, classes: int) -> None:
        self.width = classes
        self.embedded = None

    def __call__(self, raw: F32, numbers: F32 | None = None) -> F32:
        """raw: (n, F, classes). New memory."""
        return raw.copy()


def raw_rows(pack: Pack, audio: F32, starts: Sequence[int]) -> F32:
    """Rows of the runs that begin at these samples of `audio`, at the pack's rate: (runs, F, classes).

    Of a stateful pack the runs follow each other, whatever `starts` says but for how many there are. What lies beyond
    the ends of `audio` is silence.
    """
    manifest = pack.manifest
    session = Session(pack, provider=Provider.CPU, head=RawRows(len(pack.labels)))
    stateful = manifest.shape is Shape.STATEFUL
    context = manifest.window - manifest.step if stateful else 0
    span = manifest.step if stateful else manifest.window
    begins = [run * manifest.step for run in range(len(starts))] if stateful else list(starts)
    heard = np.concatenate([audio, np.zeros(max(0, max(begins, default=0) + span - len(audio)), dtype=np.float32)])
    # a window may begin anywhere, and feature frames begin with it
    parts = [heard] if stateful else [heard[begin : begin + span] for begin in begins]
    session.reset(0)
    found = []
    for part in parts:
        frontend = make_frontend(
            manifest.features, manifest.rate, history=len(part) + manifest.window, encode=session.encode
        )
        frontend.push(part)
        for at in begins if stateful else [0]:
            frontend.window(at - context, context + span, session.input_rows(1)[0])
            found.append(session.run([0])[0])
    return np.stack(found)


def check_probabilities(pack: Pack) -> None:
    """Raises `PackError` where a graph of the pack is said to give probabilities, and gives other numbers."""
    for own in pack.graphs:
        manifest = own.manifest
        if manifest.activation != "none":
            continue
        span = manifest.step or manifest.window
        random = np.random.default_rng(0)
        noise = random.standard_normal(span * _RUNS).astype(np.float32) * np.float32(0.1)
        raw = raw_rows(own, noise, range(0, span * _RUNS, span))
        low, high = float(raw.min()), float(raw.max())
        if low < -_ROUNDING or high > 1.0 + _ROUNDING:
            raise PackError(
                f'its graph gives values from {low:.3g} to {high:.3g}, and `activation = "none"` says that they are '
                "probabilities; say sigmoid or softmax (--activation)"
            )


def kind_of_numbers(pack: Pack, audio: F32) -> Literal["", "shares", "probabilities", "logarithms"]:
    """What a graph's rows are by themselves, for `audio` as it is, quiet and loud: shares of 1, probabilities,
    logarithms of shares; "" where they may be logits.

    Exports of other tools write a softmax or a sigmoid as its arithmetic, which no name of an operator shows.
    """
    span = pack.manifest.step or pack.manifest.window
    starts = range(0, len(audio), span)[:_RUNS]
    rows = np.concatenate([raw_rows(pack, audio * gain, starts) for gain in _GAINS]).astype(np.float64)
    shares = rows.shape[-1] > 1
    if (rows >= -_ROUNDING).all() and (rows <= 1 + _ROUNDING).all() and np.ptp(rows) > 0:
        return "shares" if shares and np.allclose(rows.sum(-1), 1.0, atol=_ROUNDING) else "probabilities"
    if shares and (rows <= _ROUNDING).all() and np.allclose(np.exp(rows).sum(-1), 1.0, atol=_ROUNDING):
        return "logarithms"
    return ""


def many_at_once(pack: Pack, audio: F32) -> float | None:
    """Of sound, the share of labels over 0.5 at once by a sigmoid; None where a pack has no sigmoid, or two labels.

    Where exactly one label holds, logits stand around 0 and many are over it; of independent labels nearly none are.
    """
    if pack.manifest.activation != "sigmoid" or len(pack.labels) < 3:
        return None
    span = pack.manifest.step or pack.manifest.window
    starts = range(0, len(audio), span)[:_RUNS]
    return float(np.mean(raw_rows(pack, audio, starts) > 0.0))
