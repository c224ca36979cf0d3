"""The model pack: a folder that states its own geometry. A missing key is an error, never a guess.

    pack.toml     the manifest (`Manifest` below is its schema)
    model.onnx    the graph, loaded from bytes after its hash was checked
    labels.csv    id,name,group,enter,hidden and, where wanted, enter_low,enter_high,min_on_ms,min_off_ms
    encoder.onnx  only with `encoded` features: a second graph that turns frames of samples into rows, each once
    range.onnx    optional: how likely each label is at a place in a week of the year, see `Pack.range`
    golden.npz    optional: a reference input and every native row that must come out
    CARD.md       what it is, where it comes from, what it must not be used for

A *fused* pack is made of packs. It has no graph of its own, but

    members/NAME/ a whole pack for each of its members
    fusion.csv    label,member,labels,weight: one line a term, see below
    heads.npz     optional: of a member whose windows have an `embedding` an array by its name, see below

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
* fused: row of frame k = what the members' rows of frame k come to, each as above, at the member's own rate; of
  window-frames it is the final one. It is given when every member has its row. `window` and `look_ahead` are the
  longest of the members', at the pack's `rate`, which is the highest of theirs.

A term of fusion.csv adds `weight` times a logit to its label: the largest of the member's `labels` (ids between
spaces), with logit = ln(p / (1 - p)) of a probability p, kept within +-`clip`. A line without member and labels is the
label's bias, a weight added as it is. The probability of a label is sigmoid(bias + all of its terms). A label may have
several terms of one member; a negative weight lets one sound speak against another. A term of weight 0 adds nothing: of
the member `when` it only says when.

A head of heads.npz adds to all labels at once what the member's `embedding` says of them: the numbers of a row, each as
the root of its size with its sign, all of them of length 1 together, times the array's first rows, and its last row.
The array is (numbers + 1, labels).
"""

from typing import Literal

import msgspec

from streamclf.features.spec import Encoded as Encoded
from streamclf.features.spec import Fbank as Fbank
from streamclf.features.spec import Features as Features
from streamclf.features.spec import Image as Image
from streamclf.features.spec import LevelControl as LevelControl
from streamclf.features.spec import LogMel as LogMel
from streamclf.features.spec import Waveform as Waveform
from streamclf.model.fusion import Fusion
from streamclf.types import Label, Shape

OF_GRAPH = ("features", "input", "output", "activation")
"""Keys that every pack needs but a fused one, which has no graph."""


class StateTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recurrent tensor: graph input, graph output, shape with 0 where the batch stands. Zeroed by a reset.

    One that holds the keys and values of attention says so by `keys` in its input's name.
    """

    input: str
    """Name of the graph input that takes it."""
    output: str
    """Name of the graph output that gives it for the next run."""
    shape: tuple[int, ...]
    """Its dimensions, with a 0 where the batch stands."""
    dtype: Literal["float32", "float16"] = "float32"
    """Of its values."""

    @property
    def batch_axis(self) -> int:
        """Which axis counts the streams."""
        return self.shape.index(0)


class Constant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A graph input that is the same in every run."""

    name: str
    """Name of the graph input."""
    dtype: Literal["int64", "int32", "float32"]
    """Of its values."""
    value: int | float | list[int | float]
    """One number, or a list of them."""


class MemberGate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which windows a member runs over: those in which the member that says `when` hears something."""

    labels: tuple[str, ...]
    """Its labels that open the gate."""
    over: float
    """The probability of one of them that opens it, over 0 and under 1."""


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pack that a fused pack is made of."""

    name: str
    """Its folder in `members`, and what fusion.csv calls it: up to 64 of a-z, 0-9, `.`, `_` and `-`, a letter first."""
    sha256: str
    """Of its pack.toml, 64 hex digits."""
    hop_ms: int = 0
    """Window packs: milliseconds between two runs at least, a multiple of 20; 0 for as often as there is time."""
    level: LevelControl | None = None
    """A slow gain in front of its log-mel features, as in `[features.level]`."""
    gate: MemberGate | None = None
    """Window packs: run over some windows only, as in `[members.gate]`; of the others its row is that of silence."""


class Segmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Default decisions of a pack; a label's own `enter` and the user's configuration come before it."""

    enter: float = 0.5
    """An event begins where a probability reaches it."""
    leave: float = 0.35
    """An event ends where probabilities fall below it; at most `enter`."""
    min_on_ms: int = 100
    """Milliseconds that an event has to last before it is told."""
    min_off_ms: int = 200
    """Milliseconds of quiet after which it is closed."""
    reach_back_ms: int = 0
    """Milliseconds by which an onset may be moved back, up to 5000, as far as scores were not under `leave`. Fused
    with `when`: as far as that member's scores were not under its own."""
    lag_ms: int = 0
    """Fused with `when`: milliseconds, up to 5000, that the other members may lag behind the sound, as long windows do.
    An onset is then moved back over pauses of the member that says when, too, and an offset to where it heard last."""
    smoothing: Literal["none", "ema", "median"] = "none"
    """How scores are smoothed first: an exponential mean (`ema`) or a median."""
    smoothing_ms: int = 0
    """Milliseconds that smoothing looks back on."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Schema of pack.toml. See the module's text for the geometry."""

    format: Literal[1]
    """Version of this format."""
    name: str
    """What it is called: up to 64 of a-z, 0-9, `.`, `_` and `-`, a letter first. The folder has the same name."""
    version: str
    """Of the weights: other weights are another version."""
    title: str
    """What it is, for people, on one line."""
    licence: str
    """Under which it may be used, for people."""
    source: str
    """Where the weights come from, in words."""
    rate: int
    """Samples a second, up to 384000; 20 ms have to be a whole number of them."""
    shape: Shape
    """How rows come out of it; see above. Never `derived`, which has no folder."""
    window: int
    """Samples of one model input, up to 120 s of them. Stateful: `step` and the context before it."""
    look_ahead: int
    """Samples behind a frame that its row rests on, up to 120 s; window packs: less than `window`."""
    features: Features
    """What is made of the samples."""
    input: str
    """Name of the graph input that takes the features: (B, samples) or (B, feature frames, bands)."""
    output: str
    """Name of the graph output: (B, classes), or (B, F, classes) where a run yields several rows."""
    activation: Literal["none", "sigmoid", "softmax"]
    """What turns the graph's output into probabilities; `none` where the graph does so itself."""
    files: dict[str, str]
    """File name and sha256 (64 hex digits) of every file but pack.toml."""
    embedding: str = ""
    """Name of the graph output that describes the sound of a row in numbers, (B, D), or (B, F, D) where a run yields
    several rows: what is taught by example rests on it. Empty where there is none."""
    step: int = 0
    """Stateful only: samples that a run consumes, 1 to `window`."""
    row_at: int | None = None
    """window-row only: sample offset, from the window's start, of the frame that the row belongs to."""
    rows_per_window: int = 1
    """Rows of a run (F): of window-frames its 20 ms frames, of a stateful pack the frames of a chunk."""
    input_layout: Literal["flat", "time-bands", "channel-time-bands", "channel-bands-time", "bands-time"] = "flat"
    """How features lie in the input: `flat` for waveforms, `time-bands` for (B, T, bands), `channel-…` (B, 1, …)."""
    exclusive: bool = False
    """Exactly one class holds at a time (softmax); otherwise classes are independent."""
    batch: bool = True
    """False where the graph's batch axis is fixed at 1."""
    state: tuple[StateTensor, ...] = ()
    """Stateful only: the recurrent tensors."""
    constants: tuple[Constant, ...] = ()
    """Inputs of the graph that are the same in every run."""
    members: tuple[Member, ...] = ()
    """Fused only: the packs that it is made of, 1 to 8, none of them fused."""
    when: str = ""
    """Fused only: the member whose own scores say when a sound began; see `reach_back_ms`. Empty: the fused scores."""
    clip: float = 12.0
    """Fused only: the largest logit of a member that counts, over 0 up to 15."""
    segmentation: Segmentation = Segmentation()
    """How events are decided, unless a label's `enter` or the user's configuration says otherwise."""

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
    range: bytes | None = None
    """A graph from `place` (1, 3), latitude and longitude in degrees and the week, 1 to 48 (four a month), to `likely`
    (1, classes): how likely each label is there and then, in [0, 1]. A label that is not a species is as likely
    everywhere."""
    members: tuple["Pack", ...] = ()
    """Of a fused pack, in the order of its manifest, as they run in it: with their level control."""
    fusion: Fusion | None = None
    """What makes one row of theirs."""

    @property
    def graphs(self) -> "tuple[Pack, ...]":
        """The packs whose graphs run: itself, or its members."""
        return self.members or (self,)

    @property
    def revised(self) -> bool:
        """Whether its rows are final only at a latency that a user chooses."""
        return any(pack.manifest.shape is Shape.WINDOW_FRAMES for pack in self.graphs)

    @property
    def graph_bytes(self) -> int:
        """Of all graphs of it and its members."""
        return len(self.model) + len(self.encoder or b"") + sum(member.graph_bytes for member in self.members)
