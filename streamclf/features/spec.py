"""What a pack says of its features: the schema of `[features]` in pack.toml."""

from typing import Literal

import msgspec

Normalise = Literal["none", "mean", "peak", "mean-peak", "window"]


class LevelControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A slow gain before the logarithm, for models that quiet sound leaves deaf. Causal, one for each stream.

    The level of a feature frame is its loudest band, in decibels. The level that counts rises with it at once and falls
    by `rate_db_s` a second at most; the gain is what is missing to `target_db`. It begins anew after a gap.
    """

    target_db: float
    """The level that sound is brought to, in decibels of the spectrum's bands before the logarithm."""
    up_db: float
    """Decibels by which it is lifted at most, 0 to 120."""
    down_db: float = 0.0
    """Decibels of the strongest attenuation: 0 for none, negative down to -120."""
    rate_db_s: float = 4.0
    """Decibels a second by which the gain may grow, over 0."""


class MelBands(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sums of a spectrum over triangular bands. Lengths in samples, frequencies in Hz."""

    frame_length: int
    """Samples of the window over a frame (win_length)."""
    frame_shift: int
    """Samples from one frame to the next (hop_length): of `image` any number, of `logmel` one that divides the hop of
    20 ms (stateful: `step` and `window`)."""
    fft_size: int
    """Samples of the FFT (n_fft), at least `frame_length`."""
    bands: int
    """Bands of a frame (n_mels), 1 to 4096."""
    low_hz: float
    """Lower end of the lowest band (fmin)."""
    high_hz: float
    """Upper end of the highest band (fmax), up to half the rate."""
    mel_scale: Literal["htk", "slaney"]
    """Which formula of the mel scale; librosa's default is `slaney`, torchaudio's `htk`."""
    mel_slopes: Literal["hz", "mel"] = "hz"
    """Unit in which triangles have straight sides: `hz` as in librosa and torchaudio, `mel` as in TensorFlow."""
    mel_norm: Literal["none", "slaney"] = "none"
    """`slaney`: each triangle has the same area, as librosa does by default."""
    spectrum: Literal["magnitude", "power"] = "power"
    """What the triangles sum up."""
    window: Literal["hann", "hamming"] = "hann"
    """Shape of the window over a frame."""


class LogMel(MelBands, frozen=True, forbid_unknown_fields=True, tag="logmel", tag_field="kind"):
    """Log-mel spectrogram: periodic window, FFT, mel bank, log. All lengths in samples, frequencies in Hz."""

    log: Literal["ln", "log10", "db"] = "ln"
    """Logarithm: natural, to base 10, or ten times that of the power (`db`)."""
    log_offset: float = 0.0
    """Added before the logarithm."""
    log_floor: float = 0.0
    """Values below are raised to it before the logarithm; 0 for none. Either this or `log_offset` is over 0."""
    mean: float = 0.0
    """The model gets (value - mean) / scale."""
    scale: float = 1.0
    """See `mean`; not 0."""
    level: LevelControl | None = None
    """A slow gain before the logarithm."""


class Fbank(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fbank", tag_field="kind"):
    """Kaldi filter-bank features, snip_edges, no dither. Lengths in samples, frequencies in Hz."""

    frame_length: int
    """Samples of a feature frame."""
    frame_shift: int
    """Samples from one feature frame to the next; divides the hop of 20 ms (stateful: `step` and `window`)."""
    bands: int
    """Bands of a feature frame, 1 to 4096."""
    low_hz: float = 20.0
    """Lower end of the lowest band."""
    high_hz: float = 0.0
    """Upper end of the highest band; 0 is half the rate, a negative value an offset from it, as in Kaldi."""
    window: Literal["povey", "hanning", "hamming"] = "povey"
    """Shape of the window over a frame."""
    preemphasis: float = 0.97
    """Coefficient of the filter y[t] = x[t] - preemphasis * x[t - 1]."""
    remove_dc_offset: bool = True
    """Whether each frame's mean is taken away first."""
    use_energy: bool = False
    """Whether a frame's energy is one more value of it."""
    htk_compat: bool = False
    """Whether the energy stands last, as in HTK."""
    sample_scale: float = 1.0
    """Samples are multiplied by it first: 32768 for models trained on int16 values."""
    mean: float = 0.0
    """The model gets (value - mean) / scale."""
    scale: float = 1.0
    """See `mean`; not 0."""
    mean_vector: tuple[float, ...] = ()
    """A mean for each band, in place of `mean`."""
    scale_vector: tuple[float, ...] = ()
    """A scale for each band, in place of `scale` (what cmvn.ark holds)."""
    arithmetic: Literal["float32", "float64"] = "float32"
    """What is counted in up to the spectrum: `float32` as Kaldi does, `float64` as transformers' extractors do."""


class Waveform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="waveform", tag_field="kind"):
    """The samples themselves, float32 in [-1, 1]."""

    normalise: Normalise = "none"
    """Of each window: `mean` takes its mean away, `peak` divides by its largest value, `mean-peak` does one after the
    other, `window` gives zero mean and unit variance, as Wav2Vec2's feature extractor does."""
    gain: float = 1.0
    """What samples are multiplied by at last: 32768 for models trained on int16 values."""


class Image(MelBands, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="image", tag_field="kind"):
    """Picture of a whole window's mel spectrogram, as image classifiers take it: made anew for each window.

    Steps in this order: `samples`, `padding`, FFT and mel bank, logarithm with `ref` and `top_db`, `mean` and `scale`,
    `deltas`, `normalise`, `bytes`, `flip`, `pixels`, `channels`, `channel_mean` and `channel_scale`. As librosa and
    torch do, a frame is `fft_size` long, with the window of `frame_length` in its middle.
    """

    samples: Normalise = "none"
    """What is done to the window's samples first, see `normalise` of `waveform`."""
    padding: Literal["none", "zeros", "reflect"] = "none"
    """What half an FFT of samples before and behind the window is (center=True): librosa's default is `zeros`,
    torch's `reflect`."""
    log: Literal["none", "ln", "log10", "db", "log1p"] = "ln"
    """Logarithm: natural, to base 10, ten times that of the power (`db`), or of 1 + value; `none` for none."""
    log_offset: float = 0.0
    """Added before the logarithm."""
    log_floor: float = 0.0
    """Values below are raised to it before the logarithm (amin); 0 for none."""
    ref: Literal["one", "max"] = "one"
    """`max`: the loudest value of the picture is 0 (power_to_db with ref=np.max)."""
    top_db: float = 0.0
    """With `db`: values are raised to so much under the loudest one; 0 for none."""
    mean: float = 0.0
    """(value - mean) / scale follows."""
    scale: float = 1.0
    """See `mean`; not 0."""
    deltas: bool = False
    """Three channels: the picture, its first and its second differences in time (librosa.feature.delta)."""
    normalise: Literal["none", "min-max", "standard", "standard-min-max"] = "none"
    """Of each channel of each picture: to [0, 1], to zero mean and unit deviation, or one after the other."""
    normalise_eps: float = 0.0
    """Added to what `normalise` divides by."""
    bytes: bool = False
    """The picture goes through whole numbers from 0 to 255, as one that was stored did, and comes out in [0, 1]."""
    flip: bool = False
    """The highest band comes first."""
    pixels: tuple[int, int] | None = None
    """Bands and frames of the picture once it is resized; left out where it is not."""
    resize: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    """How it is resized."""
    antialias: bool = True
    """Whether a smaller picture rests on all of its pixels, as of PIL, and of torchvision by default."""
    channels: int = 1
    """Equal channels, 1 to 3; 3 where there are `deltas`."""
    channel_mean: tuple[float, ...] = ()
    """(value - channel_mean) / channel_scale comes last, with a value for each channel."""
    channel_scale: tuple[float, ...] = ()
    """See `channel_mean`; no 0."""


class Encoded(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="encoded", tag_field="kind"):
    """Rows of a graph of its own, `encoder.onnx`: (n, frame_length) samples to (n, bands), each from its frame alone.

    Wav2Vec2's convolutional encoder is such a graph where it normalises by layer (400 samples every 320): a frame is
    then encoded once, and windows only go through the rest of the model.
    """

    frame_length: int
    """Samples of a feature frame."""
    frame_shift: int
    """Samples from one feature frame to the next; divides the hop of 20 ms (stateful: `step` and `window`)."""
    bands: int
    """Values of an encoded frame, 1 to 4096."""
    input: str
    """Name of the encoder's input, (n, frame_length)."""
    output: str
    """Name of the encoder's output, (n, bands)."""
    statistics: str = ""
    """Where rows also rest on what was heard before them: the graph's second input, (n, 1 + taps, taps) float64, as
    `features/statistics.py` makes it. It and the next three are stated together or not at all."""
    taps: int = 0
    """Neighbouring samples that each of these statistics is of."""
    stride: int = 0
    """Samples from one of these statistics to the next; divides `frame_shift`."""
    span: int = 0
    """Frames over which they are taken, 1 or more."""
    decay: float = 1.0
    """What a frame weighs in them, where the next one weighs 1."""

    @property
    def reach(self) -> int:
        """Samples before a frame that can change its row."""
        return max(0, self.span - 1) * self.frame_shift


Features = LogMel | Fbank | Waveform | Image | Encoded
