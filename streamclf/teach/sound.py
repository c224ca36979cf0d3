"""The sound of an example: its loudest part, what it is to the host, and how it is kept."""

import io
from pathlib import Path

import numpy as np
import soundfile

from streamclf.audio.resample import Resampler, framed_rate
from streamclf.clock import FRAMES_PER_SECOND, hop_of
from streamclf.engine.embed import LEAD_DB, Embedder
from streamclf.errors import SourceError
from streamclf.types import F32

MOST_S = 5.0
"""Of a longer sound the part that has its loudest moment is taken."""
KEPT_RATE = 16_000
_LOUD = 0.7  # of the loudest moment: windows that have nothing so loud are not of the example
_MOST_ROWS = 12
_SILENT = 1e-4  # of full scale: -80 dBFS


def loud_part(samples: F32, rate: int) -> F32:
    """At most `MOST_S` seconds of (n, ) float32, around its loudest moment."""
    most = int(MOST_S * rate)
    if len(samples) <= most:
        return samples
    frame = max(1, rate // FRAMES_PER_SECOND)
    power = np.square(samples[: len(samples) // frame * frame]).reshape(-1, frame).mean(axis=1)
    middle = int(np.argmax(np.convolve(power, np.ones(10), "same"))) * frame
    begin = min(max(0, middle - most // 2), len(samples) - most)
    return samples[begin : begin + most]


def check_heard(samples: F32, rate: int, what: str = "the sound") -> None:
    """Raises `SourceError` where (n, ) float32 at `rate` (Hz) is nothing that an example can be made of."""
    if len(samples) < hop_of(rate):
        raise SourceError(f"{what} is too short to be taken as an example; give at least 20 ms")
    if np.abs(samples).max() < _SILENT:
        raise SourceError(f"{what} is silent all through, so there is nothing to learn; give one with a sound in it")


def numbers_of(embedder: Embedder, samples: F32, rate: int) -> F32:
    """The embeddings of the windows that have the loudest of a sound in them: (n, numbers) float32, n at least 1.

    Live a window goes on over a sound that is shorter than it, and has it at its end, in its middle and at its
    beginning; so such a sound is heard with faint noise behind it.
    """
    samples = heard_out(samples, rate, embedder.graph.manifest.window / embedder.graph.manifest.rate)
    frames, rows = embedder(samples, rate)
    if not len(frames):
        raise SourceError("the sound is too short to be taken as an example; give at least 20 ms")
    hop = hop_of(rate)
    whole = np.concatenate([samples, np.zeros(-len(samples) % hop, dtype=np.float32)])
    rms = np.sqrt(np.square(whole).reshape(-1, hop).mean(axis=1))
    window = embedder.graph.manifest.window * FRAMES_PER_SECOND // embedder.graph.manifest.rate
    loudest = np.array([rms[max(0, frame - window) : frame + 2].max(initial=0.0) for frame in frames.tolist()])
    return spread(rows[loudest >= _LOUD * loudest.max()])


def heard_out(samples: F32, rate: int, window_s: float) -> F32:
    """(n, ) float32 at `rate` (Hz), with faint noise of a window's length behind what is shorter than one."""
    count = int(window_s * rate)
    if len(samples) >= count:
        return samples
    noise = np.random.default_rng(1).standard_normal(count).astype(np.float32) * np.float32(10 ** (LEAD_DB / 20))
    return np.concatenate([samples, noise])


def spread(rows: F32) -> F32:
    """At most a dozen of them, from all over."""
    if len(rows) <= _MOST_ROWS:
        return rows
    some: F32 = rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).astype(int)]
    return some


def encoded(samples: F32, rate: int) -> bytes:
    """As FLAC at 16 kHz, 16 bits, mono."""
    if rate != KEPT_RATE:
        samples = Resampler(rate, KEPT_RATE).push(samples, last=True)
    file = io.BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), KEPT_RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def decoded(content: bytes, what: str = "the sound") -> tuple[F32, int]:
    """Samples as mono (n, ) float32, and their rate (Hz). Raises `SourceError`."""
    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, TypeError, RuntimeError):
        raise SourceError(f"{what} is no sound that can be read; give WAV, FLAC, OGG or MP3") from None
    if not len(samples):
        raise SourceError(f"{what} is empty; give one that has a sound in it")
    mono: F32 = samples.mean(axis=1)
    framed = framed_rate(int(rate))
    return (mono if framed == rate else Resampler(rate, framed).push(mono, last=True)), framed


def read_sound(path: Path) -> tuple[F32, int]:
    """The same of a file."""
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise SourceError(f"{path} cannot be read: {fault.strerror}; check the path") from None
    return decoded(content, str(path))
