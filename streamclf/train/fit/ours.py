"""The project's own nets as learners: their geometry, and how they become packs."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor, nn
from torch.nn.utils import fusion

from streamclf.audio.resample import TRANSITION
from streamclf.clock import FRAME_MS, hop_of
from streamclf.errors import UsageError
from streamclf.model.geometry import frame_of_row
from streamclf.model.pack import Fbank, LogMel, Manifest, Segmentation, StateTensor
from streamclf.train.data.tasks import Mode, Task, pack_labels
from streamclf.train.export.certificate import ExportReport
from streamclf.train.export.packing import Say, write_torch_pack
from streamclf.train.families.family import middle_look_ahead
from streamclf.train.fit.cached import CachedTransformer, Chunk
from streamclf.train.fit.nets import FRAMES_PER_ROW, CausalCRNN, CausalNet, CausalTCN, ConvNet
from streamclf.types import Shape

UNSTATED = "not stated by its trainer"
ARCHS: dict[str, Mode] = {"convnet": "sequence", "crnn": "frame", "tcn": "frame", "transformer": "frame"}
"""Architecture -> the only mode it has."""

DEFAULT_RATE = 16_000
_WIDTHS = {"convnet": "width", "crnn": "units", "tcn": "channels", "transformer": "dim"}
DEFAULT_WINDOW_S = {"convnet": 2.0, "crnn": 4.0, "tcn": 4.0, "transformer": 4.0}
"""Length of a window, and of the stretches that a causal net is trained on."""
DEFAULT_CHUNK_MS = {"transformer": 100}
"""Time between two runs, where it is not 20 ms. Five rows of a transformer share one pass over weights and cache."""
_LOW_HZ = 50.0
# power of a frame below it is treated alike: about what 16-bit rounding leaves
_LOG_OFFSET = 1e-6


@dataclass(frozen=True, slots=True)
class Shaping:
    """What a user may say of a net's geometry. look_ahead_ms: how much later than its frame a row may come;
    None is nothing for causal nets, half a window for others, whose row then belongs to the middle of its window.
    width: 0 takes the architecture's own. chunk_ms: time between two runs of a causal net.
    """

    rate: int = DEFAULT_RATE
    bands: int = 64
    high_hz: float = 0.0
    look_ahead_ms: int | None = None
    width: int = 0
    chunk_ms: int = FRAME_MS


class OwnNet:
    """A `training.Learner` of `ARCHS`."""

    def __init__(self, arch: str, task: Task, *, window_s: float, shaping: Shaping) -> None:
        self.arch = arch
        hop = hop_of(shaping.rate)
        self.net = _net(arch, len(task.labels), shaping)
        stateful = isinstance(self.net, CausalNet)
        rows = _rows_together(shaping, stateful=stateful)
        window = round(window_s * 1000 / FRAME_MS) * hop
        window = -(-window // (rows * hop)) * rows * hop
        look_ahead = _look_ahead(shaping, window, window_s, hop, stateful=stateful)
        self.stretch = window
        """Samples of one training example."""
        self.delay = look_ahead if stateful else 0
        """Samples by which the net's rows come after the frames that they tell of."""
        self.manifest = Manifest(
            format=1,
            name=arch,
            version="1",
            title=", ".join(task.labels)[:200],
            licence=UNSTATED,
            source=f"trained with streamclf train --arch {arch}",
            rate=shaping.rate,
            shape=Shape.STATEFUL if stateful else Shape.WINDOW_ROW,
            window=(rows + 1) * hop if stateful else window,
            step=rows * hop if stateful else 0,
            rows_per_window=rows,
            # what is waited for a chunk to be whole comes on top of what the net itself waits for
            look_ahead=look_ahead + (rows - 1) * hop,
            features=log_mel(shaping),
            input="features",
            input_layout="time-bands" if stateful else "channel-time-bands",
            output="scores",
            activation="softmax" if task.exclusive else "sigmoid",
            exclusive=task.exclusive,
            state=_states(self.net),
            segmentation=Segmentation(min_on_ms=100, min_off_ms=200),
            files={},
        )
        if not stateful:
            self.manifest = _placed(self.manifest, hop)

    def normalise(self, measure: Callable[[LogMel | Fbank, int, int], tuple[float, float]]) -> None:
        """Let the features have mean 0 and spread 1. measure: of features at a rate and in windows of that length."""
        features = self.manifest.features
        assert isinstance(features, LogMel)
        mean, scale = measure(features, self.manifest.rate, self.stretch)
        self.manifest = msgspec.structs.replace(
            self.manifest, features=msgspec.structs.replace(features, mean=mean, scale=scale)
        )

    def logits(self, x: Tensor) -> Tensor:
        """(B, classes), or (B, rows, classes) of fresh streams."""
        if isinstance(self.net, CausalNet):
            return self.net.logits(x)
        rows: Tensor = self.net(x)
        return rows

    def is_encoder(self, name: str) -> bool:
        """Nothing in these nets was trained before."""
        return False

    def for_export(self) -> nn.Module:
        """The net as the pack runs it: a row, not a sequence of one, and no normalisation where it can be folded."""
        net = copy.deepcopy(self.net).eval()
        return Chunk(_folded(net), self.manifest.rows_per_window) if isinstance(net, CausalNet) else net

    def export(self, out: Path, task: Task, *, name: str, licence: str, card: str, say: Say) -> ExportReport:
        """Write the pack into the folder `out`, in place of one that is there."""
        manifest = msgspec.structs.replace(self.manifest, name=name, licence=licence or UNSTATED)
        labels = pack_labels(task)
        return write_torch_pack(
            self.for_export(), manifest=manifest, labels=labels, out=out, card=card, replace=True, say=say
        )


def _net(arch: str, classes: int, shaping: Shaping) -> nn.Module:
    widths: dict[str, Any] = {_WIDTHS[arch]: shaping.width} if shaping.width else {}
    if arch == "convnet":
        return ConvNet(classes, **widths)
    kinds: dict[str, Any] = {"crnn": CausalCRNN, "tcn": CausalTCN, "transformer": CachedTransformer}
    net: nn.Module = kinds[arch](classes, bands=shaping.bands, **widths)
    return net


def _states(net: nn.Module) -> tuple[StateTensor, ...]:
    states = net.states if isinstance(net, CausalNet) else {}
    return tuple(StateTensor(input=f"{key}_in", output=f"{key}_out", shape=shape) for key, shape in states.items())


def _rows_together(shaping: Shaping, *, stateful: bool) -> int:
    """Rows of one run. Raises UsageError."""
    rows = shaping.chunk_ms // FRAME_MS
    if rows < 1 or shaping.chunk_ms % FRAME_MS or (rows > 1 and not stateful):
        raise UsageError(
            f"--chunk-ms {shaping.chunk_ms} cannot be; expected a multiple of {FRAME_MS}, and {FRAME_MS} itself "
            "for nets that are not causal"
        )
    return rows


def _look_ahead(shaping: Shaping, window: int, window_s: float, hop: int, *, stateful: bool) -> int:
    """In samples. Raises UsageError where it reaches over the window."""
    if shaping.look_ahead_ms is None:
        return 0 if stateful else middle_look_ahead(window, hop)
    look_ahead = shaping.look_ahead_ms // FRAME_MS * hop
    if not stateful and look_ahead >= window:
        raise UsageError(f"--look-ahead-ms {shaping.look_ahead_ms} reaches over the window of {window_s:g} s; lower it")
    return look_ahead


def _folded(net: CausalNet) -> CausalNet:
    """The net with each normalisation made part of the product before it: fewer operations in every run."""
    pairs: list[tuple[Any, str, str]] = []
    if isinstance(net, CausalCRNN | CausalTCN):
        pairs = [(net, f"conv{at}", f"norm{at}") for at in (1, 2, 3)]
    if isinstance(net, CausalTCN):
        pairs += [(block, "taps", "norm") for block in net.blocks]
    for owner, product, norm in pairs:
        before = getattr(owner, product)
        fuse: Any = fusion.fuse_conv_bn_eval if isinstance(before, nn.Conv2d) else fusion.fuse_linear_bn_eval
        setattr(owner, product, fuse(before, getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
    return net


def log_mel(shaping: Shaping) -> LogMel:
    """Spectra of our own nets and of image classes: 30 ms frames every 10 ms, not yet normalised. Raises UsageError."""
    hop = hop_of(shaping.rate)
    shift, odd = divmod(hop, FRAMES_PER_ROW)
    if odd:
        raise UsageError(
            f"--rate {shaping.rate} has no whole number of samples in 10 ms, which the nets' spectra advance by; "
            "use a multiple of 100 Hz, such as 16000 or 32000"
        )
    # three shifts: the newest frame ends where a step does, and nothing that was heard has to wait
    length = 3 * shift
    return LogMel(
        frame_length=length,
        frame_shift=shift,
        fft_size=1 << (2 * length - 1).bit_length(),
        bands=shaping.bands,
        low_hz=_LOW_HZ,
        high_hz=shaping.high_hz or shaping.rate / 2 * (1 - TRANSITION),
        mel_scale="htk",
        log_offset=_LOG_OFFSET,
    )


def _placed(manifest: Manifest, hop: int) -> Manifest:
    return msgspec.structs.replace(manifest, row_at=frame_of_row(manifest, hop))
