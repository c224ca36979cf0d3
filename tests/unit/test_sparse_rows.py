"""Rows of large packs: what is next to nothing is left out, and said so."""

import pytest

from streamclf.protocol import packed, wire
from streamclf.serve.hub import Hub
from streamclf.types import Label
from tests.support.serving import Collector, make_hub, publish, scores

MANY = tuple(Label(f"label_{i}", f"Label {i}") for i in range(101))


def listen(hub: Hub, **wish: object) -> Collector:
    sink = Collector()
    hub.subscribe(sink, wire.Subscribe(**wish))  # type: ignore[arg-type]
    return sink


@pytest.mark.parametrize("encoding", ["json", "f16", "u8"])
def test_of_a_large_pack_only_what_is_not_next_to_nothing_comes_unless_all_is_asked_for(encoding: str) -> None:
    hub = make_hub(labels=MANY)
    row = [0.0] * 101
    row[7], row[8], row[100] = 0.0099, 0.0101, 0.9
    plain, whole = (
        listen(hub, tier="frame", encoding=encoding),
        listen(hub, tier="frame", encoding=encoding, min_prob=0),
    )
    few = listen(hub, tier="frame", encoding=encoding, labels=[label.id for label in MANY[:100]])
    best = listen(hub, tier="frame", encoding=encoding, top_k=5)

    publish(hub, scores(0, row))

    assert columns_of(plain) == [8, 100]
    assert columns_of(whole) == list(range(101))
    assert columns_of(few) == list(range(100))
    assert columns_of(best)[:3] == [100, 8, 7]
    assert len(columns_of(best)) == 5


def test_what_is_left_out_of_each_pack_is_told() -> None:
    hub = make_hub(labels=MANY)
    wishes = [wire.Subscribe(), wire.Subscribe(min_prob=0.2), wire.Subscribe(top_k=3), wire.Subscribe(tier="events")]

    told = [hub.subscribe(Collector(), wish).answers[0] for wish in wishes]

    answers = [each for each in told if isinstance(each, wire.Subscribed)]
    assert [{pack.name: pack.min_prob for pack in each.packs} for each in answers] == [
        {"big": 0.01, "vad": 0.0}, {"big": 0.2, "vad": 0.2}, {"big": 0.0, "vad": 0.0}, {"big": 0.0, "vad": 0.0},
    ]  # fmt: skip


def columns_of(sink: Collector) -> list[int]:
    """Numbers of the labels in the one message."""
    (message,) = sink.messages
    if isinstance(message, bytes):
        decoded = packed.decode_binary(message)
        return list(range(decoded.rows.shape[1])) if decoded.columns is None else list(decoded.columns)
    return [int(label.removeprefix("label_")) for label in message["labels"]]
