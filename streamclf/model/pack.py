"""The model pack: a folder that states its own geometry. A missing key is an error, never a guess.

    pack.toml     the manifest (`Manifest` below is its schema)
    model.onnx    the graph, loaded from bytes after its hash was checked
    labels.csv    id,name,group,enter,hidden
    encoder.onnx  only with `encoded` features: a second graph that turns frames of samples into rows, each once
    golden.npz    optional: a reference input and every native row that must come out
    CARD.md       what it is, where it comes from, what it must not be used for

Geometry, in samples of the pack's rate, all integers. A *native row* is what one run yields (for window-frames, one of
its F rows). With hop = 20 ms, and frame k covering samples [k * hop, (k + 1) * hop):

* stateful: run n consumes samples [n * step, (n + 1) * step), plus `window - step` samples of context before them
  (zeros at a stream's start). Its row is complete at e = (n + 1) * step. A run may yield F rows, `rows_per_window` (a
  chunk of frames at once, step = F * hop): row j then counts as complete at (n + 1) * step + j * hop, and `look_ahead`
  must hold the wait for the chunk, (F - 1) * hop.
* window-row: run n looks at samples [s, s + window), s a multiple of the hop between runs; complete at e = s + window.
* Row of frame k = the newest native row with e <= (k + 1) * hop + look_ahead. So `look_ahead` alone says where in its
  window a row belongs; `row_at` states the same from the window's start, for people, and the loader checks that the
  two agree.
* window-frames: row j of a run that looks at [s, s + window) belongs to frame s / hop + j; there are `rows_per_window`.
"""

from typing import Literal

import msgspec

from streamclf.features.spec import Encoded as Encoded
from streamclf.features.spec import Fbank as Fbank
from streamclf.features.spec import Features as Features
from streamclf.features.spec import LogMel as LogMel
from streamclf.features.spec import Waveform as Waveform
from streamclf.types import Label, Shape


class StateTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recurrent tensor: graph input, graph output, shape with 0 where the batch stands. Zeroed by a reset.

    One that holds the keys and values of attention says so by `keys` in its input's name.
    """

    input: str
    output: str
    shape: tuple[int, ...]
    dtype: Literal["float32", "float16"] = "float32"

    @property
    def batch_axis(self) -> int:
        """Which axis counts the streams."""
        return self.shape.index(0)


class Constant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A graph input that is the same in every run."""

    name: str
    dtype: Literal["int64", "int32", "float32"]
    value: int | float | list[int | float]


class Segmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Default decisions of a pack; a label's own `enter` and the user's configuration come before it."""

    enter: float = 0.5
    leave: float = 0.35
    min_on_ms: int = 100
    min_off_ms: int = 200
    reach_back_ms: int = 0
    smoothing: Literal["none", "ema", "median"] = "none"
    smoothing_ms: int = 0


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Schema of pack.toml. See the module's text for the geometry."""

    format: Literal[1]
    name: str
    version: str
    title: str
    licence: str
    source: str
    """Where the weights come from, in words."""
    rate: int
    shape: Shape
    window: int
    look_ahead: int
    features: Features
    input: str
    """Name of the graph input that takes the features: (B, window samples) or (B, feature frames, bands)."""
    output: str
    """Name of the graph output: (B, classes), or (B, F, classes) for window-frames."""
    activation: Literal["none", "sigmoid", "softmax"]
    """What turns the graph's output into probabilities; `none` where the graph does so itself."""
    files: dict[str, str]
    """File name -> sha256 (hex) of every file but pack.toml."""
    step: int = 0
    """Stateful only: samples consumed by a run."""
    row_at: int | None = None
    """window-row only: sample offset, from the window's start, of the frame the row belongs to."""
    rows_per_window: int = 1
    """F: rows of a run of window-frames, or of a stateful chunk."""
    input_layout: Literal["flat", "time-bands", "channel-time-bands", "channel-bands-time", "bands-time"] = "flat"
    """How features lie in the input: `flat` for waveforms; `time-bands` is (B, T, bands), `channel-…` (B, 1, …)."""
    exclusive: bool = False
    """Exactly one class holds at a time (softmax); otherwise classes are independent."""
    batch: bool = True
    """False where the graph's batch axis is fixed at 1."""
    state: tuple[StateTensor, ...] = ()
    constants: tuple[Constant, ...] = ()
    segmentation: Segmentation = Segmentation()

    @property
    def framed(self) -> bool:
        """Whether the graph's output has an axis of frames: (B, F, classes) instead of (B, classes)."""
        return self.shape is Shape.WINDOW_FRAMES or self.rows_per_window > 1


class Pack(msgspec.Struct, frozen=True):
    """A pack whose files have been checked: manifest, graph bytes, labels, where it was found, its identity."""

    manifest: Manifest
    labels: tuple[Label, ...]
    model: bytes
    path: str
    digest: str
    """sha256 (hex) over pack.toml, which itself holds the hash of every other file."""
    golden: bytes | None = None
    encoder: bytes | None = None
    """The graph of `encoded` features."""
