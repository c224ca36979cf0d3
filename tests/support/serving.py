"""A hub with two packs on two streams, and a sink that keeps what it is given."""

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from streamclf.clock import StreamClock
from streamclf.protocol import wire
from streamclf.serve.hub import Hub, PackInfo, StreamInfo
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.subscription import Channel
from streamclf.types import Event, FrameScores, Label, Output, Shape, Stage

RATE = 16000
HOP = 320
EPOCH_NS = 1_700_000_000_000_000_000
LABELS = (
    Label("speech", "Speech", "voice"),
    Label("dog", "Dog", "animal"),
    Label("bird", "Bird", "animal", enter=0.4),
    Label("inside", "Inside, small room", hidden=True),
)


def stream_info(name: str, **more: Any) -> StreamInfo:
    clock = StreamClock(RATE)
    clock.start(first_sample=0, wall_ns=EPOCH_NS)
    return StreamInfo(name, RATE, clock, f"file:{name}.wav", packs=["big", "vad"], **more)


def pack_info(name: str, labels: Sequence[Label]) -> PackInfo:
    return PackInfo(
        name=name,
        version="1",
        digest="00",
        shape=Shape.STATEFUL,
        labels=tuple(labels),
        exclusive=False,
        window_ms=32.0,
        look_ahead_ms=0.0,
        algorithmic_latency_ms=32.0,
        receptive_field_ms=None,
        hop_ms=20,
        provider="CPU",
    )


def make_hub(*, labels: Sequence[Label] = LABELS, streams: Sequence[str] = ("mic", "yard"), **more: Any) -> Hub:
    """Streams `mic` and `yard` at 16 kHz from EPOCH_NS on; packs `big` (LABELS) and `vad` (one label, speech)."""
    packs = [pack_info("big", labels), pack_info("vad", [Label("speech", "Speech")])]
    return Hub(streams=[stream_info(name) for name in streams], packs=packs, instance="here", **more)


def scores(
    frame: int, *rows: Sequence[float], stream: str = "mic", pack: str = "big", final: bool = True
) -> FrameScores:
    """Rows of frames from `frame` on, resting on audio up to the end of the last one. No rows: one of zeros."""
    values = np.array(rows or [[0.0] * (4 if pack == "big" else 1)], dtype=np.float32)
    return FrameScores(stream, pack, frame, values, final, (frame + len(values)) * HOP)


def event(
    number: int, *, label: str = "dog", stage: Stage = Stage.OPEN, stream: str = "mic", pack: str = "big"
) -> Event:
    offset = 50 if stage is Stage.CLOSE else None
    return Event(stream, pack, f"e{number}", label, stage, 10, offset, 0.9, 0.7, offset or 15)


class Collector:
    """A sink. `messages` holds the JSON of text frames and the bytes of binary ones."""

    def __init__(self) -> None:
        self.outgoing: list[Outgoing] = []
        self.shown: list[bytes] = []
        self.told: list[wire.Message] = []

    def deliver(self, message: Outgoing) -> None:
        self.outgoing.append(message)

    def show(self, frame: bytes) -> bool:
        self.shown.append(parsed(frame))
        return True

    def control(self, message: wire.Message) -> None:
        self.told.append(message)

    def moved(self, channel: Channel, answer: wire.Subscribed) -> None:
        self.told.append(answer)

    @property
    def messages(self) -> list[Any]:
        return [parsed(message.frame) for message in self.outgoing]

    def of(self, kind: str) -> list[Any]:
        return [message for message in self.messages if isinstance(message, dict) and message["type"] == kind]


def parsed(frame: bytes) -> Any:
    """Payload of one unmasked websocket frame: JSON for text, bytes for binary."""
    opcode, length = frame[0] & 0x0F, frame[1]
    at = 2
    if length == 126:
        (length,), at = struct.unpack_from("!H", frame, 2), 4
    elif length == 127:
        (length,), at = struct.unpack_from("!Q", frame, 2), 10
    payload = frame[at:]
    assert len(payload) == length
    return json.loads(payload) if opcode == 1 else payload


def publish(hub: Hub, *outputs: Output, decided_ns: int = EPOCH_NS + 1, sent_ns: int = EPOCH_NS + 2) -> None:
    hub.publish(outputs, decided_ns=decided_ns, sent_ns=sent_ns)
