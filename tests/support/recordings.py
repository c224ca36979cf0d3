"""Small labelled data sets of sounds made here: tones that can be told apart at once, speech-like turns, damage."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from streamclf.train.data.annotations import Recording
from streamclf.types import F32

RATE = 16_000


def tone(hz: float, seconds: float, *, seed: int = 0, rate: int = RATE) -> F32:
    """A tone with overtones over faint noise, (samples, ) float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * hz * order * time + rng.uniform(0, 6)) / order for order in (1, 2, 3))
    return (0.2 * wave + 0.005 * rng.standard_normal(len(time))).astype(np.float32)


def bursts(path: Path, onsets_s: list[float], *, seconds: float, length_s: float = 0.6) -> Path:
    """Silence with tones of half of full scale at known times."""
    samples = np.zeros(int(seconds * RATE), dtype=np.float32)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(length_s * RATE)) / RATE)
    for onset_s in onsets_s:
        at = int(onset_s * RATE)
        samples[at : at + len(tone)] = tone
    soundfile.write(path, samples, RATE)
    return path


def tone_clips(folder: Path, *, count: int = 8, seconds: float = 1.2, classes: Sequence[str] = ("low", "high")) -> Path:
    """A folder per class with `count` clips in it; class i sounds at 300 Hz * 4 ** i."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for at in range(count):
            hz = 300.0 * 4**number * rng.uniform(0.9, 1.1)
            soundfile.write(folder / name / f"{at}.wav", tone(hz, seconds, seed=at), RATE)
    return folder


def turns(folder: Path, *, count: int = 6, labels: Sequence[str] = ("low", "high")) -> Path:
    """Recordings of 4 s in which tones take turns with silence between them, and annotations.csv with folds 1 and 2."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    rows = []
    for number in range(count):
        audio = (0.005 * rng.standard_normal(4 * RATE)).astype(np.float32)
        at = 0.3
        while at < 3.2:
            label = int(rng.integers(len(labels)))
            seconds = float(rng.uniform(0.3, 0.7))
            sound = tone(300.0 * 4**label * rng.uniform(0.9, 1.1), seconds, seed=number)
            first = round(at * RATE)
            audio[first : first + len(sound)] += sound
            fold = 1 + number % 2
            rows.append([f"{number}.wav", f"{at:.3f}", f"{at + seconds:.3f}", labels[label], fold])
            at += seconds + float(rng.uniform(0.2, 0.4))
        soundfile.write(folder / f"{number}.wav", audio, RATE)
    with (folder / "annotations.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "onset", "offset", "label", "fold"], *rows])
    return folder


def clip(name: str, *labels: str, source: str = "", fold: int | None = None) -> Recording:
    """A recording that is only named: no file is there."""
    return Recording(Path(name), source or name, tuple(sorted(labels)), None, fold)
