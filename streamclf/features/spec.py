"""What a pack says of its features: the schema of `[features]` in pack.toml."""

from typing import Literal

import msgspec


class LogMel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="logmel", tag_field="kind"):
    """Log-mel spectrogram: periodic window, FFT, mel bank, log. All lengths in samples, frequencies in Hz."""

    frame_length: int
    frame_shift: int
    fft_size: int
    bands: int
    low_hz: float
    high_hz: float
    mel_scale: Literal["htk", "slaney"]
    mel_slopes: Literal["hz", "mel"] = "hz"
    """Unit in which the triangles' sides are straight: `hz` as in librosa and torchaudio, `mel` as in TensorFlow."""
    mel_norm: Literal["none", "slaney"] = "none"
    spectrum: Literal["magnitude", "power"] = "power"
    window: Literal["hann", "hamming"] = "hann"
    log: Literal["ln", "log10", "db"] = "ln"
    log_offset: float = 0.0
    """Added before the logarithm."""
    log_floor: float = 0.0
    """Values below are raised to it before the logarithm (0: none)."""
    mean: float = 0.0
    scale: float = 1.0
    """The model gets (value - mean) / scale."""


class Fbank(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fbank", tag_field="kind"):
    """Kaldi filter-bank features, snip_edges, no dither. Lengths in samples, frequencies in Hz."""

    frame_length: int
    frame_shift: int
    bands: int
    low_hz: float = 20.0
    high_hz: float = 0.0
    """0 is half the rate; a negative value is an offset from it, as in Kaldi."""
    window: Literal["povey", "hanning", "hamming"] = "povey"
    preemphasis: float = 0.97
    remove_dc_offset: bool = True
    use_energy: bool = False
    htk_compat: bool = False
    sample_scale: float = 1.0
    """Samples are multiplied by it first: 32768 for models trained on int16 values."""
    mean: float = 0.0
    scale: float = 1.0
    """The model gets (value - mean) / scale."""
    mean_vector: tuple[float, ...] = ()
    scale_vector: tuple[float, ...] = ()
    """Per band, where given, in place of `mean` and `scale` (what cmvn.ark holds)."""


class Waveform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="waveform", tag_field="kind"):
    """The samples themselves, float32 in [-1, 1]."""

    normalise: Literal["none", "window"] = "none"
    """`window`: zero mean and unit variance over each window, as Wav2Vec2's feature extractor does."""


class Encoded(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="encoded", tag_field="kind"):
    """Rows of a graph of its own, `encoder.onnx`: (n, frame_length) samples to (n, bands), each from its frame alone.

    Wav2Vec2's convolutional encoder is such a graph where it normalises by layer (400 samples every 320): a frame is
    then encoded once, and windows only go through the rest of the model.
    """

    frame_length: int
    frame_shift: int
    bands: int
    input: str
    output: str
    statistics: str = ""
    """Where rows also rest on what was heard before them: the graph's second input, (n, 1 + taps, taps) float64, as
    `features/statistics.py` makes it. It and the next three are stated together or not at all."""
    taps: int = 0
    stride: int = 0
    span: int = 0
    """Statistics of `taps` neighbouring samples, every `stride` samples, over the last `span` frames."""
    decay: float = 1.0
    """What a frame weighs in them, where the next one weighs 1."""

    @property
    def reach(self) -> int:
        """Samples before a frame that can change its row."""
        return max(0, self.span - 1) * self.frame_shift


Features = LogMel | Fbank | Waveform | Encoded
