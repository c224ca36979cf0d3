"""What goes into a graph: the layout of its input, the samples of a window, and the features that fill it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
from onnx import TensorProto

from streamclf.errors import UsageError
from streamclf.features.frontend import window_feature_frames
from streamclf.features.spec import Fbank, Features, Image, LogMel, Waveform
from streamclf.model.adopt.asked import Value
from streamclf.model.adopt.ends import Ends
from streamclf.model.adopt.said import Adoption

_LIKE_THIS = (
    "say how it is made, with --logmel KEY=VALUE or --image KEY=VALUE, such as --image n_fft=1024,hop_length=320, or "
    "have it found with --features-like RECORDING,FEATURES.npy"
)
Spectrum = LogMel | Fbank | Image
"""Features with bands and frames."""


@dataclass(frozen=True, slots=True)
class Fed:
    """features, layout, window, step: as of a manifest. own: sizes of the graph's own input, the batch being 1.

    shape, turn: how the graph's input comes out of the pack's, of `sizes` without the batch; empty for as it is.
    """

    features: Features
    layout: str
    window: int
    step: int
    batch: bool
    kind: int
    own: tuple[int, ...]
    sizes: tuple[int, ...]
    shape: tuple[int, ...] = ()
    turn: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def fit(self, ends: Ends) -> None:
        """Change the graph's input to one of a pack."""
        first: str | int = "batch" if self.batch else 1
        if self.kind != TensorProto.FLOAT:
            ends.cast_input(self.kind, [first, *self.own[1:]] if len(self.own) > 1 else list(self.own))
        if self.shape:
            ends.shape_input(self.shape, [first, *self.sizes])
        if self.turn:
            ends.turn_input(self.turn, [first, *self.sizes])


def feed(source: Value, said: Adoption, *, stateful: bool) -> Fed:
    """How `source` is filled. Raises `UsageError`: what only its user can know was not said."""
    first = source.sizes[0] if source.sizes else 1
    if len(source.sizes) > 1 and first not in (None, 1):
        raise UsageError(
            f"it takes {source.shown}, {first} windows at once; export it with one, or any number, of them"
        )
    if said.features is None or isinstance(said.features, Waveform):
        return _waveform(source, said, said.features or Waveform(), stateful=stateful)
    if not isinstance(said.features, Spectrum):
        raise UsageError("encoded features need a graph of their own; write a pack.toml")
    return _spectrum(source, said, said.features, stateful=stateful)


def _waveform(source: Value, said: Adoption, features: Waveform, *, stateful: bool) -> Fed:
    sizes = source.sizes
    ones = [axis for axis, size in enumerate(sizes) if axis and size == 1]
    samples = [axis for axis in range(1, len(sizes)) if axis not in ones] if len(sizes) > 1 else [0]
    if len(samples) > 1 and said.features is not None and sizes[1] is None:
        samples = samples[-1:]  # a channel axis that was left open
    if len(sizes) > 4 or len(samples) != 1:
        raise UsageError(f"it takes {source.shown}, which is not a waveform: {_LIKE_THIS}")
    (at,) = samples
    window = _window(source, said, sizes[at])
    own = tuple(window if axis == at else 1 for axis in range(len(sizes)))
    shape: tuple[int, ...] = ()
    if len(sizes) == 1:
        shape = (-1,)
    elif len(sizes) > 2:
        shape = (0, *(-1 if axis == at else 1 for axis in range(1, len(sizes))))
    step = _samples("--step-ms", said.step_ms, said.rate) if said.step_ms is not None else window
    if step > window or (said.step_ms is not None and not stateful):
        raise UsageError("--step-ms is for graphs with states, and at most their window; leave it out")
    return Fed(features, "flat", window, step, len(sizes) > 1 and sizes[0] is None, source.kind, own, (window,), shape)


def _window(source: Value, said: Adoption, fixed: int | None) -> int:
    """Samples of a window: those that the graph states, else those that its user does."""
    given = None if said.window_ms is None else _samples("--window-ms", said.window_ms, said.rate)
    if fixed is None and given is None:
        raise UsageError(f"it takes {source.shown}, any number of samples; say how long a window is with --window-ms, "
                         "such as the length that it was trained with")  # fmt: skip
    if fixed is not None and given is not None and given != fixed:
        raise UsageError(f"--window-ms {said.window_ms:g} comes to {given} samples at {said.rate} Hz, and the graph "
                         f"takes {fixed}; leave it out, or mend --rate")  # fmt: skip
    window = fixed if fixed is not None else given
    assert window is not None
    return window


def _samples(option: str, ms: float, rate: int) -> int:
    samples = round(ms * rate / 1000)
    if samples < 1 or abs(samples - ms * rate / 1000) > 1e-6 * samples:
        raise UsageError(f"{option} {ms:g} is no whole number of samples at {rate} Hz; give another")
    return samples


def _spectrum(source: Value, said: Adoption, features: Spectrum, *, stateful: bool) -> Fed:
    sizes = source.sizes
    notes: list[str] = []
    if len(sizes) not in (3, 4):
        raise UsageError(f"it takes {source.shown}, which is not a spectrogram; leave --logmel and --image out")
    last = len(sizes) == 4 and sizes[3] in (1, 3) and sizes[1] not in (1, 3)  # channels behind, as in TensorFlow
    sides = sizes[1:3] if last or len(sizes) == 3 else sizes[2:]
    channels = 1 if len(sizes) == 3 else sizes[3 if last else 1]
    if channels is None:
        channels = features.channels if isinstance(features, Image) else 1
    features = _with_channels(features, channels, notes)
    window, layout = _laid_out(source, sides, said, features)
    pixels = features.pixels if isinstance(features, Image) else None
    across = window_feature_frames(features, window)
    high, wide = (features.bands, across) if pixels is None else pixels
    ordered = (high, wide) if layout == "bands-time" else (wide, high)
    step = across * features.frame_shift if stateful else window
    if said.step_ms is not None:
        step = _samples("--step-ms", said.step_ms, said.rate)
    fed = Fed(
        features=features,
        layout=layout if len(sizes) == 3 else f"channel-{layout}",
        window=window,
        step=step,
        batch=sizes[0] is None,
        kind=source.kind,
        own=(1, *ordered) if len(sizes) == 3 else (1, *ordered, channels) if last else (1, channels, *ordered),
        sizes=ordered if len(sizes) == 3 else (channels, *ordered),
        notes=tuple(notes),
    )
    return replace(fed, turn=(0, 2, 3, 1)) if last else fed


def _with_channels(features: Spectrum, channels: int, notes: list[str]) -> Spectrum:
    own = (3 if features.deltas else features.channels) if isinstance(features, Image) else 1
    if own == channels:
        return features
    if isinstance(features, Image) and own == 1 and channels <= 3:
        notes.append(f"its {channels} channels get the same picture (--image deltas=true for differences in time)")
        mean, scale = ((entry * channels if len(entry) == 1 else entry) for entry in
                       (features.channel_mean, features.channel_scale))  # fmt: skip
        return msgspec.structs.replace(features, channels=channels, channel_mean=mean, channel_scale=scale)
    raise UsageError(f"it takes {channels} channels, and its features have {own}; state a picture with --image, with "
                     f"channels={channels} or deltas=true")  # fmt: skip


def _laid_out(source: Value, sides: Sequence[int | None], said: Adoption, features: Spectrum) -> tuple[int, str]:
    """Samples of a window, and which side is which. Raises `UsageError` where that is open, or nothing fits."""
    wanted = [said.layout] if said.layout else ["bands-time", "time-bands"]
    pixels = features.pixels if isinstance(features, Image) else None
    high = pixels[0] if pixels else features.bands
    fits: list[tuple[int, str]] = []
    for layout in wanted:
        bands, frames = (sides[0], sides[1]) if layout == "bands-time" else (sides[1], sides[0])
        if bands in (None, high) and (pixels is None or frames in (None, pixels[1])):
            window = _spectrum_window(said, features, None if pixels else frames, source)
            got = pixels[1] if pixels else window_feature_frames(features, window)
            if frames in (None, got):
                fits.append((window, layout))
            elif said.window_ms is not None and len(wanted) == 1:
                raise UsageError(f"a window of {said.window_ms:g} ms makes {got} frames, and it takes {source.shown}; "
                                 "mend --window-ms, hop_length or center")  # fmt: skip
    if len(fits) == 1 or (fits and pixels and pixels[0] == pixels[1] and sides[0] == sides[1]):
        return fits[0]
    if fits:
        raise UsageError(f"it takes {source.shown}, and nothing says which side is the bands; add --layout bands-time "
                         "(the first of the two) or --layout time-bands")  # fmt: skip
    if isinstance(features, Image) and pixels is None and None not in sides:
        size = f"{sides[0]}x{sides[1]}"
        raise UsageError(f"it takes {source.shown}, and a picture of {high} bands does not fit; add --image "
                         f"size={size} if it is resized, or mend n_mels, hop_length or --window-ms")  # fmt: skip
    raise UsageError(f"it takes {source.shown}, and {high} bands do not fit; mend n_mels, hop_length or --window-ms")


def _spectrum_window(said: Adoption, features: Spectrum, frames: int | None, source: Value) -> int:
    if said.window_ms is not None:
        return _samples("--window-ms", said.window_ms, said.rate)
    if frames is None:
        raise UsageError(f"it takes {source.shown}, which does not say how long a window is; add --window-ms")
    if not isinstance(features, Image):
        return (frames - 1) * features.frame_shift + features.frame_length
    if features.padding == "none":
        return (frames - 1) * features.frame_shift + features.fft_size
    shortest = (frames - 1) * features.frame_shift + features.fft_size - 2 * (features.fft_size // 2)
    longest = shortest + features.frame_shift - 1
    raise UsageError(
        f"its {frames} frames are of {1000 * shortest / said.rate:.4g} to {1000 * longest / said.rate:.4g} ms; say how "
        "long a window is with --window-ms"
    )
