"""A relay sends what the daemon's hub sends: the same bytes under the same numbers, and a hole for what is missing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from streamclf.engine.segment import Ending
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.serve.fanout.bundles import (
    MAX_ROW_BYTES,
    AnyEntry,
    Facts,
    NumberedRows,
    entries_of,
    pack_bundle,
    pack_entry,
    sent_pack,
    sent_stream,
    unpack_bundle,
)
from streamclf.serve.fanout.relay import Relay
from streamclf.serve.hub import Hub
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.published import place_of
from streamclf.serve.subscription import Channel
from streamclf.types import Event, FrameScores, Gap, Label, OtherLabels, Output, Stage, Status, StreamState
from tests.support.serving import HOP, make_hub, scores

NOW_NS = 1_700_000_100_000_000_000


@dataclass(eq=False)
class Ear:
    """A recipient that keeps the frames it is given."""

    frames: list[bytes] = field(default_factory=list)
    told: list[wire.Message] = field(default_factory=list)

    def deliver(self, message: Outgoing) -> None:
        self.frames.append(message.frame)

    def show(self, frame: bytes) -> bool:
        return True

    def control(self, message: wire.Message) -> None:
        self.told.append(message)

    def moved(self, channel: Channel, answer: wire.Subscribed) -> None:
        self.told.append(answer)


class Wire:
    """A hub, and the entries that it gives, each through its packed form."""

    def __init__(self) -> None:
        self.hub = make_hub()
        self.entries: list[AnyEntry] = []
        self.hub.on_numbered = self._numbered

    def _numbered(self, seq: int, thing: Output | wire.Marked | wire.Taught | None, decided_ns: int) -> None:
        hub = self.hub
        made = list(
            entries_of(
                seq, thing, decided_ns, streams=hub.streams, packs=hub.packs, captured_ns=hub.overview.captured_ns
            )
        )
        self.entries += unpack_bundle(pack_bundle(hub.instance, [pack_entry(each) for each in made])).entries

    def publish(self, *outputs: Output) -> None:
        self.hub.publish(outputs, decided_ns=NOW_NS - 1000, sent_ns=NOW_NS)

    def facts(self) -> Facts:
        hub = self.hub
        streams = tuple(sent_stream(info) for info in hub.streams.values())
        packs = tuple(sent_pack(info) for info in hub.packs.values())
        data = pack_entry(Facts(hub.seq, 0, 90, streams, packs))
        (found,) = unpack_bundle(pack_bundle(hub.instance, [data])).entries
        assert isinstance(found, Facts)
        return found

    def relay(self) -> Relay:
        return Relay(self.hub.instance, self.facts())


def feed(relay: Relay, entries: Sequence[AnyEntry]) -> None:
    for entry in entries:
        relay.take(entry, sent_ns=NOW_NS)


def event(stage: Stage, **more: Any) -> Event:
    ended = Ending.QUIET if stage is Stage.CLOSE else ""
    return Event("mic", "big", "e1", "dog", stage, 3, 9 if ended else None, 0.9, 0.7, 9, str(ended), **more)


def replayed(hub: Hub, wish: wire.Subscribe) -> list[bytes]:
    channel, cursor, _ = hub.subscribe(Ear(), wish)
    frames: list[bytes] = []
    while cursor is not None:
        portion, cursor = hub.read(channel, cursor, sent_ns=NOW_NS)
        frames += [each.frame for each in portion]
    return frames


def a_while(wire_: Wire) -> None:
    """All kinds of things, on two streams."""
    for frame in range(12):
        wire_.publish(scores(frame, [0.1, 0.2, 0.3, 0.4]), scores(frame, [0.5], pack="vad", stream="yard"))
    wire_.publish(event(Stage.OPEN), Status("mic", StreamState.BEHIND, "slow"), event(Stage.CLOSE))
    wire_.publish(Gap("mic", 12 * HOP, 14 * HOP, "lost"), scores(15, [0.1] * 4), scores(14, [0.3] * 4, final=False))
    wire_.hub.publish_mark("e1", "right", "")
    wire_.publish(scores(16, [0.1] * 4, [0.2] * 4, [0.25] * 4))


@pytest.mark.parametrize("tier", ["frame", "batch", "events"])
def test_the_same_bytes_live_and_replayed(tier: wire.Tier) -> None:
    wired = Wire()
    relay = wired.relay()
    here, there = Ear(), Ear()
    wired.hub.subscribe(here, wire.Subscribe(tier=tier))
    relay.subscribe(there, wire.Subscribe(tier=tier))

    a_while(wired)
    wired.hub.flush()
    feed(relay, wired.entries)

    assert here.frames
    assert here.frames == there.frames
    assert relay.seq == wired.hub.seq
    assert relay.ended
    since = wire.Subscribe(tier=tier, since=3, instance="here")
    assert replayed(relay, since) == replayed(wired.hub, since)


def test_rows_that_are_too_much_for_one_message_are_cut_and_are_the_same_rows() -> None:
    labels = [Label(f"l{number}", f"L{number}") for number in range(1000)]
    wired = Wire()
    wired.hub = make_hub(labels=labels)
    wired.hub.on_numbered = wired._numbered
    relay = wired.relay()
    here, there = Ear(), Ear()
    wish = wire.Subscribe(tier="frame", min_prob=0.0)
    wired.hub.subscribe(here, wish)
    relay.subscribe(there, wish)

    rows = np.random.default_rng(1).random((100, 1000), dtype=np.float32)
    wired.publish(FrameScores("mic", "big", 0, rows, True, 100 * HOP))
    feed(relay, wired.entries)

    assert len(wired.entries) > 1
    assert all(isinstance(each, NumberedRows) and len(each.rows) <= MAX_ROW_BYTES for each in wired.entries)
    assert here.frames == there.frames


def test_what_is_missing_is_a_hole_live_and_replayed_and_it_goes_on_at_the_next_facts() -> None:
    wired = Wire()
    relay = wired.relay()
    ear = Ear()
    relay.subscribe(ear, wire.Subscribe(tier="frame"))
    wired.publish(*(scores(frame, [0.1] * 4) for frame in range(5)))
    feed(relay, wired.entries)
    wired.publish(*(scores(frame, [0.1] * 4) for frame in range(5, 9)))  # lost
    wired.entries.clear()
    wired.publish(scores(9, [0.1] * 4))
    feed(relay, wired.entries)
    assert relay.seq == 5, "behind a hole labels may be others"

    relay.take(wired.facts(), sent_ns=NOW_NS)
    wired.entries.clear()
    wired.publish(scores(10, [0.1] * 4))
    feed(relay, wired.entries)

    live = [json.loads(frame[frame.index(b"{") :]) for frame in ear.frames]
    hole = {"type": "lagged", "seq": 10, "from_seq": 6, "to_seq": 10, "dropped": 5, "reason": "replay"}
    assert [message["seq"] for message in live] == [1, 2, 3, 4, 5, 10, 11]
    assert live[5] == hole
    again = replayed(relay, wire.Subscribe(tier="frame", since=4, instance="here"))
    assert [json.loads(frame[frame.index(b"{") :])["seq"] for frame in again] == [5, 10, 11]


def test_what_lies_before_the_beginning_is_declared() -> None:
    wired = Wire()
    wired.publish(*(scores(frame, [0.1] * 4) for frame in range(7)))
    relay = wired.relay()

    (hole,) = replayed(relay, wire.Subscribe(tier="frame", since=2, instance="here"))

    assert json.loads(hole[hole.index(b"{") :]) | {"sent_ns": 0} == {
        "type": "lagged", "seq": 7, "from_seq": 3, "to_seq": 7, "dropped": 5, "reason": "replay", "sent_ns": 0,
    }  # fmt: skip
    assert relay.hello().oldest_seq == 8


def test_a_client_that_is_ahead_waits_at_its_place() -> None:
    wired = Wire()
    relay = wired.relay()
    wired.publish(*(scores(frame, [0.1] * 4) for frame in range(6)))
    feed(relay, wired.entries[:3])

    channel, cursor, answers = relay.subscribe(Ear(), wire.Subscribe(tier="frame", since=5, instance="here"))

    assert cursor == place_of(5)
    assert [type(each) for each in answers] == [wire.Subscribed]
    assert relay.read(channel, cursor, sent_ns=NOW_NS) == ([], cursor)
    feed(relay, wired.entries[3:])
    portion, rest = relay.read(channel, cursor, sent_ns=NOW_NS)
    assert [each.place for each in portion] == [place_of(6)]
    assert rest is None


def test_other_labels_travel_and_a_pack_that_was_not_there_does() -> None:
    wired = Wire()
    relay = wired.relay()
    labels = (Label("speech", "Speech"), Label("kettle", "Kettle"))
    wired.publish(scores(0, [0.5], pack="vad"), OtherLabels("vad", "11", labels, ()))
    wired.publish(scores(1, [0.5, 0.6], pack="vad"))

    feed(relay, wired.entries)

    assert relay.hello().packs == wired.hub.hello().packs
    wish = wire.Subscribe(tier="frame", since=0, instance="here")
    assert replayed(relay, wish) == replayed(wired.hub, wish)
    assert relay.fits(wired.facts())
    assert not wired.relay().fits(Wire().facts())


def test_what_does_not_fit_is_refused_in_a_sentence() -> None:
    wired, other = Wire(), Wire()
    other.hub = make_hub(streams=("attic",))
    other.hub.on_numbered = other._numbered
    relay = wired.relay()
    other.publish(scores(0, [0.1] * 4, stream="attic"))
    wired.publish(scores(0, [0.1] * 4))
    other.publish(scores(1, [0.1] * 4, stream="attic"))

    with pytest.raises(ServeError, match="does not fit"):
        feed(relay, other.entries)
    feed(relay, wired.entries)

    assert relay.seq == 1


def test_what_is_no_bundle_is_refused_in_a_sentence() -> None:
    for data in (b"", b"\x93\x01", b"rubbish", pack_bundle("here", [b"\x91\xa5Facts"])):
        with pytest.raises(ServeError, match="no bundle of a daemon of this version"):
            unpack_bundle(data)
