"""Laws of resuming: wherever a subscriber was cut off, `since` brings exactly what it had not had."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamclf.protocol import wire
from streamclf.serve.hub import Hub
from streamclf.types import Gap, Status, StreamState
from tests.support.serving import EPOCH_NS, Collector, event, make_hub, publish, scores

steps = st.lists(
    st.sampled_from(["mic big", "mic big", "mic vad", "yard big", "skip", "event", "gap", "status"]), max_size=60
)
tiers = st.sampled_from(["events", "batch", "frame"])


def play(hub: Hub, script: list[str]) -> None:
    frames: dict[str, int] = {}
    for number, step in enumerate(script):
        if step == "event":
            publish(hub, event(number))
        elif step == "gap":
            publish(hub, Gap("mic", number, number, "xrun"))
        elif step == "status":
            publish(hub, Status("yard", StreamState.LOST, "unplugged"))
        elif step == "skip":
            frames["mic big"] = frames.get("mic big", 0) + 2
        else:
            stream, pack = step.split()
            frame = frames.get(step, 0)
            frames[step] = frame + 1
            publish(hub, scores(frame, stream=stream, pack=pack))


def resume(hub: Hub, tier: Any, since: int, portion: int) -> list[Any]:
    channel, cursor, _ = hub.subscribe(Collector(), wire.Subscribe(tier=tier, since=since, instance="here"))
    sink = Collector()
    while cursor is not None:
        messages, cursor = hub.read(channel, cursor, sent_ns=EPOCH_NS + 2, max_messages=portion)
        for message in messages:
            sink.deliver(message)
    return sink.messages


@given(script=steps, tier=tiers, portion=st.integers(1, 5), data=st.data())
def test_a_resumed_subscriber_misses_nothing_and_gets_nothing_twice(
    script: list[str], tier: Any, portion: int, data: st.DataObject
) -> None:
    hub = make_hub()
    sink = Collector()
    hub.subscribe(sink, wire.Subscribe(tier=tier))
    play(hub, script)
    live = sink.messages
    had = data.draw(st.integers(0, len(live)))
    since = max((message["seq"] for message in live[:had]), default=0)

    resumed = resume(hub, tier, since, portion)

    # Batches that one gap cut short stand before it and have older numbers: a reader cut off between them and the gap
    # gets them again, never nothing.
    again = len(resumed) - (len(live) - had)
    assert resumed == live[had - again :]
    assert all(message["type"] == "scores" and message["count"] < 5 for message in live[had - again : had])
    assert tier == "batch" or again == 0


@given(before=steps, after=steps, tier=tiers)
def test_replay_and_live_join_without_a_seam(before: list[str], after: list[str], tier: Any) -> None:
    hub = make_hub()
    whole, late = Collector(), Collector()
    hub.subscribe(whole, wire.Subscribe(tier=tier))
    play(hub, before)
    channel, cursor, _ = hub.subscribe(late, wire.Subscribe(tier=tier, since=0))
    while cursor is not None:
        messages, cursor = hub.read(channel, cursor, sent_ns=EPOCH_NS + 2)
        late.outgoing += messages
    play(hub, after)

    assert late.messages == whole.messages


@given(script=steps, tier=tiers)
def test_every_published_row_reaches_a_batch_exactly_once(script: list[str], tier: Any) -> None:
    hub = make_hub()
    batches, rows = Collector(), Collector()
    hub.subscribe(batches, wire.Subscribe(tier="batch"))
    hub.subscribe(rows, wire.Subscribe(tier="frame"))
    play(hub, script)
    hub.flush()

    batched = [(m["stream"], m["pack"], m["first_frame"] + i) for m in batches.of("scores") for i in range(m["count"])]
    single = [(m["stream"], m["pack"], m["first_frame"]) for m in rows.of("scores")]
    assert sorted(batched) == sorted(single)
    assert all(m["first_frame"] // 5 == (m["first_frame"] + m["count"] - 1) // 5 for m in batches.of("scores"))
