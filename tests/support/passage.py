"""A passage of a stream as pictures show it: a tone, one event, one gap, all at known places."""

from typing import Any

import numpy as np

from streamclf.draw.passage import Break, EventBar, Lane, Passage
from streamclf.features.spectrum import BANDS, Spectrogram, steps

RATE = 16_000
HOP = RATE // 50
FIRST, FRAMES = 5000, 500
EPOCH_NS = 1_777_609_867_120_000_000  # 2026-05-01T04:31:07.120Z
TONE = (FIRST + 300, FIRST + 350, 2000.0)
EVENT = (FIRST + 100, FIRST + 180)
GAP = (FIRST + 400, FIRST + 450)


def columns() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(FRAMES, 2 + BANDS): faint noise, and the tone."""
    samples = np.random.default_rng(0).normal(size=FRAMES * HOP).astype(np.float32) * np.float32(1e-4)
    first, end = ((frame - FIRST) * HOP for frame in TONE[:2])
    at = np.arange(first, end)
    samples[at] += 0.5 * np.sin(2 * np.pi * TONE[2] * at / RATE).astype(np.float32)
    frames = samples.reshape(FRAMES, HOP)
    levels = steps((frames**2).mean(axis=1)), steps(np.abs(frames).max(axis=1) ** 2)
    return np.column_stack([*levels, Spectrogram(RATE).push(frames)])


def lane(name: str = "Dog", *, bars: tuple[EventBar, ...] = (EventBar(*EVENT, 0.9),), **fields: Any) -> Lane:
    """Low, but 0.9 in the event."""
    values = np.full(FRAMES, 0.05, dtype=np.float32)
    values[EVENT[0] - FIRST : EVENT[1] - FIRST] = 0.9
    given: dict[str, Any] = {"name": name, "pack": "big", "enter": 0.5, "values": values, "bars": bars}
    return Lane(**given | fields)


def passage(**fields: Any) -> Passage:
    """Ten seconds from frame FIRST on."""
    values: dict[str, Any] = {
        "stream": "garden",
        "packs": ("big 1.0",),
        "product": "streamclf",
        "first_frame": FIRST,
        "epoch_ns": EPOCH_NS,
        "high_hz": RATE / 2,
        "columns": columns(),
        "drawn": np.ones(FRAMES, dtype=np.bool_),
        "lanes": (lane(),),
        "breaks": (Break(*GAP, "overrun"),),
    }
    assert values["columns"].shape[1] == BANDS + 2
    return Passage(**values | fields)
