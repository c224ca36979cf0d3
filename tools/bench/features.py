"""What the features of one 20 ms hop cost: only what is new, against recomputing 1 s with our code and with librosa.

    python tools/bench/features.py

Thread-CPU medians. Each round runs the three in turn, some times each, so that the ratios hold on a busy machine.
"""

import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
import importlib.util
import time
from collections.abc import Callable

import numpy as np

from streamclf.features.frontend import make_frontend
from streamclf.model.pack import Fbank, Features, LogMel
from streamclf.types import F32

RATE = 16_000
HOP = RATE // 50
ROUNDS, REPEATS = 100, 20
YAMNET = LogMel(
    frame_length=400,
    frame_shift=160,
    fft_size=512,
    bands=64,
    low_hz=125.0,
    high_hz=7500.0,
    mel_scale="htk",
    mel_slopes="mel",
    spectrum="magnitude",
    log_offset=0.001,
)
CASES: dict[str, Features] = {
    "log-mel 64": YAMNET,
    "fbank 80": Fbank(frame_length=400, frame_shift=160, bands=80, sample_scale=32768.0),
    "fbank 128": Fbank(frame_length=400, frame_shift=160, bands=128, window="hanning", htk_compat=True),
}


def main() -> None:
    """Print one line a case: microseconds a hop, and how many times more the others take."""
    signal = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    print(f"{'us a hop':12} {'new frames':>12} {'1 s again':>16} {'1 s by librosa':>18}")
    for name, features in CASES.items():
        ways = [incremental(features, signal), recomputed(features, signal)]
        again = librosa_log_mel(signal) if features is YAMNET else None
        if again is not None:
            ways.append(again)
        first, *others = medians(ways)
        print(f"{name:12} {first:12.1f}", *(f"{us:10.0f} ({us / first:3.0f}x)" for us in others))
    if importlib.util.find_spec("librosa") is None:
        print("librosa is not installed: no figure for it")


def incremental(features: Features, signal: F32) -> Callable[[], None]:
    """One hop pushed into a running frontend."""
    frontend = make_frontend(features, RATE, history=RATE)
    return lambda: frontend.push(signal[:HOP])


def recomputed(features: Features, signal: F32) -> Callable[[], None]:
    """One second computed from nothing."""
    frontend = make_frontend(features, RATE, history=RATE)

    def run() -> None:
        frontend.restart(0)
        frontend.push(signal)

    return run


def librosa_log_mel(signal: F32) -> Callable[[], None] | None:
    """One second by librosa; None where it is not installed."""
    if importlib.util.find_spec("librosa") is None:
        return None
    librosa = importlib.import_module("librosa")

    def run() -> None:
        mel = librosa.feature.melspectrogram(
            y=signal, sr=RATE, n_fft=512, win_length=400, hop_length=160, center=False, power=1.0, n_mels=64
        )
        np.log(mel + 0.001)

    return run


def medians(ways: list[Callable[[], None]]) -> list[float]:
    """Thread-CPU microseconds of each, taken in turn."""
    taken = np.zeros((ROUNDS, len(ways)))
    for row in taken:
        for at, way in enumerate(ways):
            way()
            start = time.thread_time_ns()
            for _ in range(REPEATS):
                way()
            row[at] = time.thread_time_ns() - start
    return [float(value) / 1000 / REPEATS for value in np.median(taken, axis=0)]


if __name__ == "__main__":
    main()
