"""A small set of made-up recordings for the tools of the default model: every split has speech, birds and rain."""

from pathlib import Path

import numpy as np
import soundfile

from models.default.recipe.corpus import RATE, CorpusClip, Kind, Split
from streamclf.types import F32

SPLITS: tuple[Split, ...] = ("train", "choose", "test")


def burst(hz: float, *, first_s: float = 0.5, seconds: float = 0.5, whole_s: float = 2.0, rate: int = RATE) -> F32:
    """A tone from `first_s` on, near silence around it."""
    times = np.arange(round(whole_s * rate)) / rate
    on = (times >= first_s) & (times < first_s + seconds)
    noise = 1e-4 * np.random.default_rng(int(hz)).standard_normal(len(times))
    return np.asarray(0.3 * on * np.sin(2 * np.pi * hz * times) + noise, dtype=np.float32)


def noise(seconds: float = 3.0, *, seed: int = 0) -> F32:
    """White noise."""
    return np.asarray(0.05 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)), dtype=np.float32)


def recording(
    path: Path, samples: F32, label: str | None, split: Split, kind: Kind = "event", **more: object
) -> CorpusClip:
    """Written at `path`, as a clip that is yet to be decoded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, int(str(more.pop("rate", RATE))), subtype="PCM_16")
    return CorpusClip(path, label, kind, path.stem, split, "CC0", "made up", 8000.0, **more)  # type: ignore[arg-type]


def wanted(folder: Path) -> list[CorpusClip]:
    """A few clips of each split; every one a source of its own."""
    clips = []
    for at, split in enumerate(SPLITS):
        own = folder / split
        clips += [
            recording(own / f"speech-{split}-{n}.wav", burst(300 + 50 * n + at), "speech", split, "speech")
            for n in range(3)
        ]
        clips += [
            recording(own / f"bird-{split}.wav", burst(3000 + at), "bird", split),
            recording(own / f"rooster-{split}.wav", burst(1500 + at), "rooster", split),
            recording(own / f"rain-{split}.wav", noise(seed=at), "rain", split),
            recording(own / f"thud-{split}.wav", burst(100 + at), None, split),
            recording(own / f"place-{split}.wav", noise(seed=9 + at), None, split, "background", unsure=("wind",)),
            recording(own / f"forest-{split}.wav", noise(seed=20 + at), None, split, "unlabelled", unsure=("bird",)),
        ]
    return clips
