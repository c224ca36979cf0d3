"""What a hub says as the daemon stops."""

from streamclf.protocol import wire
from streamclf.types import Stage
from tests.support.serving import Collector, event, make_hub, publish


def test_what_lasts_as_the_daemon_stops_is_closed_and_sent() -> None:
    hub = make_hub()
    sink = Collector()
    hub.subscribe(sink, wire.Subscribe(tier="events"))
    publish(hub, event(1), event(2), event(1, stage=Stage.CLOSE))
    hub.flush()
    hub.flush()

    *_, last = sink.messages
    assert [(m["id"], m["stage"], m["ended_by"]) for m in sink.messages] == [
        ("e1", "open", ""), ("e2", "open", ""), ("e1", "close", ""), ("e2", "close", "stop")
    ]  # fmt: skip
    assert (last["offset_frame"], last["seq"]) == (15, 4)
