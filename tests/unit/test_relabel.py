"""A pack has other labels while subscribers listen: who is told, what rows they get, and what comes of rows held."""

from typing import Any

import numpy as np

from streamclf.protocol import wire
from streamclf.serve.hub import Hub
from streamclf.serve.subscription import Channel
from streamclf.types import F32, FrameScores, Label, OtherLabels
from tests.support.serving import Collector, make_hub, pack_info, publish

KETTLE, GATE = Label("kettle", "Kettle", "taught", 0.5), Label("gate", "Gate", "taught", 0.5)


class Seat(Collector):
    """A sink that notes what it alone is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[wire.Message] = []
        self.channel: Channel | None = None

    def control(self, message: wire.Message) -> None:
        self.told.append(message)

    def moved(self, channel: Channel, answer: wire.Subscribed) -> None:
        self.channel = channel
        self.told.append(answer)

    def scored(self) -> list[tuple[list[str], list[list[float]]]]:
        return [(one["labels"], one["rows"]) for one in self.of("scores") if one["pack"] == "taught"]


def hub_with(*seats: tuple[Seat, wire.Subscribe]) -> Hub:
    hub = make_hub()
    hub.overview.coming["taught"] = pack_info("taught", [])
    for seat, wish in seats:
        hub.subscribe(seat, wish)
    return hub


def other(*labels: Label) -> OtherLabels:
    return OtherLabels("taught", f"digest of {len(labels)}", labels, tuple(None for _ in labels))


def rows(first: int, *values: list[float]) -> FrameScores:
    array: F32 = np.array(values, dtype=np.float32)
    return FrameScores("mic", "taught", first, array, True, 0)


def entry(seat: Seat) -> dict[str, Any]:
    (last,) = [one for one in seat.told if isinstance(one, wire.Relabelled)][-1:]
    return {"name": last.entry.name, "labels": [label.id for label in last.entry.labels]}


def test_a_new_pack_stands_at_the_end_and_who_wants_all_gets_its_rows() -> None:
    everything, own = Seat(), Seat()
    hub = hub_with((everything, wire.Subscribe(tier="frame")), (own, wire.Subscribe(tier="frame", packs=["big"])))

    publish(hub, other(KETTLE), rows(0, [0.9]))

    assert [pack.name for pack in hub.hello().packs][-1] == "taught"
    assert entry(everything) == entry(own) == {"name": "taught", "labels": ["kettle"]}
    assert everything.scored() == [(["kettle"], [[0.9]])]
    assert own.scored() == []
    assert own.channel is None, "its subscription is the one that it was"
    assert everything.channel is not None
    answer = everything.told[-1]
    assert isinstance(answer, wire.Subscribed)
    assert answer.channel == everything.channel.number
    assert [pack.labels for pack in answer.packs if pack.name == "taught"] == [["kettle"]]


def test_rows_before_and_behind_have_their_own_labels() -> None:
    seat = Seat()
    hub = hub_with((seat, wire.Subscribe(tier="frame")))

    publish(hub, other(KETTLE), rows(0, [0.9]), other(KETTLE, GATE), rows(1, [0.8, 0.1]), other(GATE), rows(2, [0.2]))

    assert seat.scored() == [(["kettle"], [[0.9]]), (["kettle", "gate"], [[0.8, 0.1]]), (["gate"], [[0.2]])]


def test_a_batch_that_was_open_goes_out_with_the_labels_it_was_made_with() -> None:
    seat = Seat()
    hub = hub_with((seat, wire.Subscribe(tier="batch")))

    publish(hub, other(KETTLE), rows(0, [0.9], [0.8]), other(KETTLE, GATE), rows(2, [0.7, 0.1], [0.6, 0.2], [0.5, 0.3]))

    assert [(labels, len(values)) for labels, values in seat.scored()] == [(["kettle"], 2), (["kettle", "gate"], 3)]


def test_rows_that_are_held_follow_and_a_new_class_is_nothing_in_them() -> None:
    hub = hub_with()
    publish(hub, other(KETTLE), rows(0, [0.9], [0.8], [0.7], [0.6], [0.5]), other(GATE, KETTLE))
    late = Seat()
    grant = hub.subscribe(late, wire.Subscribe(since=0, instance=hub.instance))
    assert grant.cursor is not None

    told, _ = hub.read(grant.channel, grant.cursor, sent_ns=1)
    for message in told:
        late.deliver(message)

    ((labels, values),) = late.scored()
    assert labels == ["gate", "kettle"]
    np.testing.assert_allclose(values, [[0, 0.9], [0, 0.8], [0, 0.7], [0, 0.6], [0, 0.5]], atol=1e-6)


def test_a_label_that_somebody_asked_for_by_name_may_go_and_come_back() -> None:
    seat, all_of = Seat(), Seat()
    hub = hub_with()
    publish(hub, other(KETTLE, GATE))
    hub.subscribe(seat, wire.Subscribe(tier="frame", labels=["kettle"]))
    hub.subscribe(all_of, wire.Subscribe(tier="frame", groups=["taught"]))

    publish(hub, other(GATE), rows(0, [0.3]), other(GATE, KETTLE), rows(1, [0.2, 0.9]))

    assert seat.scored() == [(["kettle"], [[0.9]])]
    assert all_of.scored() == [(["gate"], [[0.3]]), (["gate", "kettle"], [[0.2, 0.9]])]


def test_who_has_left_is_told_nothing() -> None:
    seat = Seat()
    hub = hub_with((seat, wire.Subscribe(tier="frame")))
    hub.detach(seat)

    publish(hub, other(KETTLE), rows(0, [0.9]))

    assert (seat.told, seat.scored()) == ([], [])
