"""From a guess of how features were made (likeness.py) to features of a pack, proved on the recording."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np

from streamclf.clock import hop_of
from streamclf.errors import UsageError
from streamclf.features.frontend import make_frontend
from streamclf.features.image import picture_shape
from streamclf.features.mel import htk_hz, htk_mel, slaney_hz, slaney_mel
from streamclf.features.spec import Fbank, Features, Image, LogMel
from streamclf.features.taper import periodic_taper
from streamclf.model.adopt.likeness import Guess, Search, line, weights
from streamclf.types import F32, F64

_HOLDS = 1e-3  # of the spread, root mean square
_USUAL = (1e-10, 1e-16, 1e-12, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 2.0**-24, 1.1920929e-07)
_GAIN = 32_768.0  # of samples that were whole numbers
_LITTLE = 1e-6  # of the spread: less decides nothing
_SAME = 1e-3  # relative: two figures of this likeness are one
_BEL = 1.0 / np.log(10.0)
_WORDS = {"fft_size": "n_fft", "frame_length": "win_length", "frame_shift": "hop_length", "bands": "n_mels",
          "low_hz": "fmin", "high_hz": "fmax", "mel_norm": "norm"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Likeness:
    """features: those found. worst: the largest difference of a value; share: their root mean square over the spread.

    where: what fits least, in words. frames, first: of how many frames, and how many of them the recording would have.
    """

    features: Features
    worst: float
    share: float
    where: str
    frames: int
    possible: int

    @property
    def holds(self) -> bool:
        """Whether they are the same but for rounding."""
        return self.share <= _HOLDS


@dataclass(frozen=True, slots=True)
class _Levels:
    """Y = slope * ln(max(P + offset, floor)) + height. missed: root mean square."""

    norm: Literal["none", "slaney"]
    offset: float
    floor: float
    slope: float
    height: float
    missed: float
    highest: float


def like(samples: F32, rate: int, given: F32) -> Likeness:
    """How `given` was made of `samples`, (n, ) at `rate`. given: (frames, bands), (bands, frames), ones before it.

    Raises `UsageError` where it is no such array.
    """
    found: list[Likeness] = []
    for rows in _turned(given):
        guess = Search(samples, rate, rows).run()
        found += (_compared(features, samples, rate, rows) for features in _features(guess, samples, rate, rows))
        if any(one.holds for one in found):
            break
    if not found:
        raise UsageError(
            f"no log-mel of {len(samples) / rate:.3g} s at {rate} Hz has {' x '.join(map(str, given.shape))} values; "
            "give the features of the whole recording, and the --rate that they were made at"
        )
    least = 2 * min(one.share for one in found) + _LITTLE
    return min((one for one in found if one.share <= least), key=lambda one: len(words(one.features)))


def words(features: Features) -> str:
    """As an option of `models add`, or, of Kaldi's, as lines of pack.toml."""
    kind = "--logmel " if isinstance(features, LogMel) else "--image "
    if isinstance(features, Fbank):
        kind = "[features] kind=fbank,"
    stated = []
    for field in msgspec.structs.fields(features):
        value = getattr(features, field.name)
        known = isinstance(features, Fbank) or field.encode_name in _WORDS
        if value != field.default and (field.required or field.default is not msgspec.NODEFAULT or known):
            key = field.encode_name if isinstance(features, Fbank) else _WORDS.get(field.encode_name, field.encode_name)
            stated.append(f"{key}={_text(value)}")
    return kind + ",".join(stated)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _turned(given: F32) -> list[F64]:
    """(frames, bands), and the other way round where that may be it."""
    if not np.isfinite(given).all():
        raise UsageError("the features hold values that are no numbers; give what the model was given")
    rows = given.astype(np.float64)
    while rows.ndim > 2 and rows.shape[0] == 1:
        rows = rows[0]
    if rows.ndim != 2 or min(rows.shape) < 4 or max(rows.shape) < 16:
        raise UsageError(f"the features have the shape {given.shape}; expected (frames, bands) or (bands, frames), of "
                         "one recording")  # fmt: skip
    if not rows.std() > 0:
        raise UsageError("the features are all the same; give those of a recording with sound in it")
    return [rows, rows.T] if rows.shape[0] >= rows.shape[1] else [rows.T, rows]


def _features(guess: Guess, samples: F32, rate: int, rows: F64) -> Iterator[Features]:
    if not np.isfinite(guess.left):
        return
    if guess.kaldi is not None:
        yield from _of_kaldi(guess.kaldi, samples, rate, rows)
        return
    paddings: tuple[Literal["none", "zeros", "reflect"], ...] = ("none",)
    frames = guess.frames
    centred = (frames.size - frames.length) // 2
    if frames.lead == centred - frames.size // 2:
        paddings = ("zeros", "reflect")
    for padding in paddings:
        picture = _picture(guess, rate, rows.shape[1], padding)
        power = _power(picture, guess, samples, len(rows))
        levels = _levels(guess, rate, rows[: len(power)], power)
        yield _named(picture, guess, levels, rows, rate)


def _picture(guess: Guess, rate: int, bands: int, padding: Any) -> Image:
    frames, triangles = guess.frames, guess.triangles
    return Image(
        frame_length=frames.length,
        frame_shift=frames.hop,
        fft_size=frames.size,
        bands=bands,
        low_hz=triangles.low,
        high_hz=triangles.high,
        mel_scale=triangles.scale,
        mel_slopes=triangles.slopes,
        spectrum=triangles.spectrum,
        window=frames.window,
        padding=padding,
        log="none",
    )


def _power(picture: Image, guess: Guess, samples: F32, count: int) -> F64:
    """What the frames hold: (frames, bins), at most `count`."""
    frames, half = guess.frames, picture.fft_size // 2
    lead = frames.lead
    if picture.padding != "none":
        samples = np.pad(samples, half, mode="constant" if picture.padding == "zeros" else "reflect")
        lead += half
    fitting = max(0, (len(samples) - lead - frames.length) // frames.hop + 1)
    starts = lead + frames.hop * np.arange(min(count, fitting))
    cut = samples[starts[:, None] + np.arange(frames.length)]
    spectrum = np.fft.rfft(cut * periodic_taper(frames.window, frames.length), frames.size)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(power if picture.spectrum == "power" else np.sqrt(power))


def _levels(guess: Guess, rate: int, rows: F64, bins: F64) -> _Levels:
    """What makes values of what the triangles sum up: the offset or the floor, the norm and the line that fit best."""
    every = np.ones(rows.shape, bool)
    found: list[_Levels] = []
    triangles = weights(guess.triangles, guess.frames.size, rate, rows.shape[1])
    norms: tuple[Literal["none", "slaney"], ...] = ("none", "slaney")
    for norm in norms:
        sums = bins @ (triangles * (_areas(guess, rows.shape[1]) if norm == "slaney" else 1.0))
        for offset, floor in _bottoms(sums, rows):
            logs = np.log(np.maximum(sums + offset, max(floor, 1e-30)))
            slope, heights, missed = line(logs, rows, every, common=True)
            cost = float(np.sqrt((missed**2).mean()))
            found.append(_Levels(norm, offset, floor, slope, float(heights[0]), cost, float(logs.max())))
    least = _LITTLE * rows.std() + 1.05 * min(one.missed for one in found)
    return next(one for one in found if one.missed <= least)


def _areas(guess: Guess, bands: int) -> F64:
    triangles = guess.triangles
    to_mel, to_hz = (htk_mel, htk_hz) if triangles.scale == "htk" else (slaney_mel, slaney_hz)
    low, high = to_mel(np.array([triangles.low, triangles.high]))
    corners = to_hz(low + (high - low) * np.arange(bands + 2) / (bands + 1))
    return np.asarray(2.0 / (corners[2:] - corners[:-2]))


def _bottoms(sums: F64, rows: F64) -> Iterator[tuple[float, float]]:
    """(offset, floor) that are tried: usual ones, and the floor that the values themselves show. The first that fits is
    taken: where a recording holds nothing so quiet that it would tell, that is the floor of librosa and torchaudio."""
    for gain in (1.0, _GAIN, _GAIN**2):
        for value in _USUAL:
            yield 0.0, value / gain
        for value in _USUAL:
            yield value / gain, 0.0
    lowest = rows.min()
    flat = rows <= lowest + 1e-6 * rows.std()
    if flat.mean() > 1e-3:  # many that are lowest lie on a floor
        slope, heights, _ = line(np.log(np.maximum(sums, 1e-30)), rows, ~flat & (sums > 0), common=True)
        if slope > 0:
            yield 0.0, float(np.exp(np.clip((lowest - heights[0]) / slope, -60, 20)))
    for exponent in np.arange(-12.0, 1.01, 0.5):
        yield 10.0**exponent, 0.0


def _named(picture: Image, guess: Guess, levels: _Levels, rows: F64, rate: int) -> Features:
    """The values in words: a unit where there is one, else a mean and a scale."""
    unit, log = _unit(levels.slope, magnitude=picture.spectrum == "magnitude")
    own: dict[str, Any] = {"mel_norm": levels.norm, "log": log, "log_offset": levels.offset, "log_floor": levels.floor}
    decibel = 10 * _BEL * (2 if picture.spectrum == "magnitude" else 1)
    below = decibel * (levels.highest - np.log(levels.floor)) if levels.floor else 0.0
    if levels.floor and not _near(levels.floor, _USUAL) and _near(below, np.arange(20.0, 161.0, 5.0)):
        unit, log = decibel, "db"
        own |= {"log": "db", "log_floor": 1e-10, "top_db": float(round(below))}
    scale, mean = unit / levels.slope, -levels.height * unit / levels.slope
    if abs(rows.min()) < 1e-6 and abs(rows.max() - 1) < 1e-6:
        own |= {"normalise": "min-max"}
    elif abs(rows.mean()) < 1e-4 and abs(rows.std() - 1) < 1e-3:
        own |= {"normalise": "standard"}
    else:
        if abs(rows.max()) < 1e-4 and log == "db" and abs(scale - 1) < _SAME:
            own |= {"ref": "max"}
            mean = 0.0
        own |= {"mean": _rounded(mean, 1e-4 * unit), "scale": _rounded(scale, 0.0) if abs(scale - 1) > _SAME else 1.0}
    frames = guess.frames
    made = msgspec.structs.replace(picture, **own)
    streams = picture.padding == "none" and frames.lead == 0 and hop_of(rate) % frames.hop == 0
    alone = {"ref", "top_db", "normalise"} & set(own)
    if not streams or alone:
        return made
    keys = {field.name for field in msgspec.structs.fields(LogMel)} - {"level"}
    return LogMel(**{key: value for key, value in msgspec.structs.asdict(made).items() if key in keys})


def _unit(slope: float, *, magnitude: bool) -> tuple[float, str]:
    for unit, log in ((1.0, "ln"), (_BEL, "log10"), (10 * _BEL * (2 if magnitude else 1), "db")):
        if abs(slope / unit - 1) < _SAME:
            return unit, log
    return 1.0, "ln"


def _near(value: float, usual: Any) -> bool:
    return bool(np.isclose(value, np.asarray(usual), rtol=1e-4, atol=0).any())


def _rounded(value: float, nothing: float) -> float:
    return 0.0 if abs(value) <= nothing else float(f"{value:.6g}")


def _of_kaldi(found: Fbank, samples: F32, rate: int, rows: F64) -> Iterator[Features]:
    """By what samples were multiplied first cannot be told from a mean, but for its floor; both are tried."""
    for gain in (1.0, _GAIN):
        plain = msgspec.structs.replace(found, sample_scale=gain)
        logs = _made(plain, samples, rate)[: len(rows)].astype(np.float64)
        given = rows[: len(logs)]
        slope, heights, _ = line(logs, given, np.ones(given.shape, bool), common=True)
        scale, mean = 1 / slope, -float(heights[0]) / slope
        same = abs(scale - 1) < _SAME and abs(mean) < 1e-2
        yield plain if same else msgspec.structs.replace(plain, mean=_rounded(mean, 0.0), scale=_rounded(scale, 0.0))
        slopes = _slopes(logs, given)
        means = given.mean(axis=0) / -slopes + logs.mean(axis=0)
        yield msgspec.structs.replace(
            plain,
            mean_vector=tuple(_rounded(float(one), 0.0) for one in means),
            scale_vector=tuple(_rounded(float(1 / one), 0.0) for one in slopes),
        )


def _slopes(logs: F64, rows: F64) -> F64:
    """Of each band."""
    x, y = logs - logs.mean(axis=0), rows - rows.mean(axis=0)
    slopes = (x * y).sum(axis=0) / np.maximum(1e-30, (x * x).sum(axis=0))
    return np.where(np.abs(slopes) > 1e-9, slopes, 1.0)


def _made(features: Features, samples: F32, rate: int) -> F32:
    """By the code that makes them live: (frames, bands)."""
    frontend = make_frontend(features, rate, history=len(samples))
    frontend.push(samples)
    if isinstance(features, Image):
        out = np.empty(picture_shape(features, len(samples)), np.float32)
        frontend.window(0, len(samples), out)
        return np.ascontiguousarray(out[0].T)
    assert isinstance(features, LogMel | Fbank)
    frames = (len(samples) - features.frame_length) // features.frame_shift + 1
    out = np.empty((frames, features.bands), np.float32)
    frontend.window(0, (frames - 1) * features.frame_shift + features.frame_length, out)
    return out


def _compared(features: Features, samples: F32, rate: int, rows: F64) -> Likeness:
    made = _made(features, samples, rate)
    count = min(len(made), len(rows))
    missed = np.abs(made[:count] - rows[:count])
    spread = max(float(rows.std()), 1e-30)
    share = float(np.sqrt((missed**2).mean())) / spread if count else float("inf")
    worst = float(missed.max(initial=0.0))
    return Likeness(features, worst, share, _where(missed, rows[:count]), count, len(made))


def _where(missed: F64, rows: F64) -> str:
    """Which part of the values is far worse than the rest."""
    frames, bands = missed.shape
    edge, third = min(4, frames // 3), bands // 3
    inside = missed[edge : frames - edge]
    parts = {
        "the first and last frames": np.concatenate([missed[:edge], missed[frames - edge :]]),
        "the lowest bands": inside[:, :third],
        "the highest bands": inside[:, bands - third :],
        "quiet values": inside[rows[edge : frames - edge] < np.median(rows)],
        "loud values": inside[rows[edge : frames - edge] > np.quantile(rows, 0.8)],
    }
    size = {name: float(np.sqrt((part**2).mean())) for name, part in parts.items() if part.size}
    name = max(size, key=lambda one: size[one], default="")
    whole = float(np.sqrt((missed**2).mean())) if missed.size else 0.0
    return name if name and size[name] > 1.5 * whole else "all of them"
