"""What `hello` tells about streams and packs. The daemon hands it in and may change the mutable parts."""

from dataclasses import dataclass, field

from streamclf.clock import StreamClock
from streamclf.protocol import wire
from streamclf.sensitivity import Sensitivity
from streamclf.types import Label, Shape, StreamState


@dataclass(slots=True)
class StreamInfo:
    """One stream. `state` and `detail` follow the statuses that the hub publishes; `rate` is of its samples (Hz)."""

    name: str
    rate: int
    clock: StreamClock
    source: str
    demo: bool = False
    push: bool = False
    test: bool = False
    priority: int = 0
    packs: list[str] = field(default_factory=list)
    state: StreamState = StreamState.LIVE
    detail: str = ""

    def entry(self) -> wire.StreamEntry:
        """As in `hello`."""
        return wire.StreamEntry(
            name=self.name,
            rate=self.rate,
            epoch_ns=self.clock.epoch_ns if self.clock.started else 0,
            source=self.source,
            state=self.state,
            detail=self.detail,
            demo=self.demo,
            priority=self.priority,
            packs=list(self.packs),
            push=self.push,
            test=self.test,
        )


@dataclass(slots=True)
class PackInfo:
    """One pack as it runs here. Times in ms. `hop_ms` may change while the daemon runs.

    receptive_field_ms: None where recurrent state makes it unbounded. latency_ms: deadline of the final revision of
    window-frames packs, None where each row comes once. problem: why it does not score, "" where it does; it
    follows the statuses that the hub publishes.
    """

    name: str
    version: str
    digest: str
    shape: Shape
    labels: tuple[Label, ...]
    exclusive: bool
    window_ms: float
    look_ahead_ms: float
    algorithmic_latency_ms: float
    receptive_field_ms: float | None
    hop_ms: int
    provider: str
    latency_ms: int | None = None
    problem: str = ""
    sensitivity: Sensitivity = Sensitivity.NORMAL

    def entry(self) -> wire.PackEntry:
        """As in `hello`."""
        return wire.PackEntry(
            name=self.name,
            version=self.version,
            digest=self.digest,
            shape=self.shape,
            labels=[
                wire.LabelEntry(id=label.id, name=label.name, group=label.group, hidden=label.hidden, enter=label.enter)
                for label in self.labels
            ],
            exclusive=self.exclusive,
            window_ms=self.window_ms,
            look_ahead_ms=self.look_ahead_ms,
            algorithmic_latency_ms=self.algorithmic_latency_ms,
            receptive_field_ms=self.receptive_field_ms,
            hop_ms=self.hop_ms,
            provider=self.provider,
            latency_ms=self.latency_ms,
            problem=self.problem,
        )
