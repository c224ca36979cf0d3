"""The client's parts that need no socket: addresses, delays, decoding, the place to resume from."""

from typing import get_type_hints

import numpy as np
import pytest

from streamclf.client import DEFAULT_URL, Bookmark, Client, Reconnect, Subscription, age_s, parse_url
from streamclf.client.options import Wish
from streamclf.client.reader import Reader
from streamclf.errors import ServeError
from streamclf.protocol import packed, wire
from streamclf.protocol.address import Address
from streamclf.types import Gap, Status, StreamState
from tests.support.serving import Collector, event, make_hub, publish, scores

# Addresses


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1", "ws://127.0.0.1:8765/v1"),
        ("birds.local", "ws://birds.local:8765/v1"),
        ("birds.local:9000", "ws://birds.local:9000/v1"),
        ("birds.local:9000/", "ws://birds.local:9000/v1"),
        ("birds.local/live/v1", "ws://birds.local:8765/live/v1"),
        ("[::1]", "ws://[::1]:8765/v1"),
        ("[::1]:9000", "ws://[::1]:9000/v1"),
        ("ws://127.0.0.1:8765/v1", "ws://127.0.0.1:8765/v1"),
        ("http://127.0.0.1:8765", "ws://127.0.0.1:8765/v1"),
        ("HTTP://Birds.Local:8765/", "ws://birds.local:8765/v1"),
        ("https://birds.example.org", "wss://birds.example.org/v1"),
        ("wss://birds.example.org/garden", "wss://birds.example.org/garden"),
        ("https://birds.example.org/garden/", "wss://birds.example.org/garden/v1"),
    ],
)
def test_an_address_is_taken_as_people_write_it(text: str, url: str) -> None:
    assert parse_url(text) == Address(url, None)


def test_the_token_in_a_pages_address_leaves_it() -> None:
    assert parse_url("http://birds.local:8765/?token=abc%2F-1") == Address("ws://birds.local:8765/v1", "abc/-1")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be used"),
        ("ftp://birds.local", "begins with ftp://"),
        ("birds.local:port", "cannot be used"),
        ("birds.local:99999", "cannot be used"),
        ("two words", "cannot be used"),
        ("birds\x1b[31m.local", "\\x1b[31m"),
        (":8765", "names no host"),
        ("8765", "names no host"),
        ("http://", "names no host"),
        ("http://[::1", "cannot be used"),
        ("ws://me:secret@birds.local", "password"),
        ("ws://birds.local/v1?tier=frame", "one token"),
        ("ws://birds.local/v1?token=a&token=b", "one token"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_in_one_harmless_line(text: str, why: str) -> None:
    with pytest.raises(ServeError) as caught:
        parse_url(text)

    assert why in str(caught.value)
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["with space", "line\nend", "grün"])
def test_a_token_that_no_header_can_carry_is_refused(token: str) -> None:
    with pytest.raises(ServeError, match="token"):
        Client(token=token)


@pytest.mark.parametrize("wish", [{"top_k": 0}, {"min_prob": 1.5}, {"tier": "often"}, {"since": -1}])
def test_a_subscription_that_makes_no_sense_is_refused_before_connecting(wish: dict[str, object]) -> None:
    with pytest.raises(ServeError, match="cannot be subscribed"):
        Client(DEFAULT_URL, **wish)  # type: ignore[arg-type]


# Subscriptions


def test_what_to_subscribe_to_is_given_as_a_value_or_by_names() -> None:
    by_name = Client(labels=["speech"], tier="events")

    assert by_name.subscription == Subscription(labels=("speech",), tier="events")
    assert Client(DEFAULT_URL, by_name.subscription).subscription is by_name.subscription
    with pytest.raises(ServeError, match="give tier as a field of the subscription"):
        Client(DEFAULT_URL, by_name.subscription, tier="frame")


def test_names_and_value_and_message_have_the_same_fields() -> None:
    fields = get_type_hints(Subscription)

    assert fields == get_type_hints(Wish)
    # picture: spectra are fetched, and nothing here decodes them as they come
    assert set(fields) | {"instance", "picture"} == set(wire.Subscribe.__struct_fields__)


def test_a_place_to_go_on_from_travels_with_its_instance() -> None:
    message = Subscription(since=Bookmark(7, "here")).message(None)

    assert (message.since, message.instance) == (7, "here")
    assert Subscription(since=7).message(Bookmark(9, "there")).since == 9
    assert Subscription(since=0).bookmark == (0, None)


def test_one_name_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(ServeError, match=r"labels is the text 'bird'; expected a list of names, such as \['bird'\]"):
        Subscription(labels="bird")


# Delays


def test_a_lost_connection_is_tried_again_after_a_fifth_of_a_second_up_to_ten_less_up_to_a_half() -> None:
    delays = [Reconnect().delay_s(failures, chance=0.0) for failures in range(8)]

    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
    assert 0.8 < Reconnect().delay_s(3, chance=0.999) < 0.81


@pytest.mark.parametrize(("first_s", "most_s"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_delays_that_make_no_sense_are_refused(first_s: float, most_s: float) -> None:
    with pytest.raises(ServeError, match="expected seconds above 0"):
        Reconnect(first_s=first_s, most_s=most_s)


# Decoding


def connected_reader(hub_seq: int = 0, **wish: object) -> tuple[Reader, wire.Subscribed]:
    """A reader after `hello` and `subscribed` of a hub with the packs of `make_hub`."""
    hub = make_hub()
    hub.seq = hub_seq
    reader = Reader()
    reader.connected()
    reader.take(wire.encode(hub.hello()).decode())
    answer = hub.subscribe(Collector(), wire.Subscribe(**wish)).answers[0]  # type: ignore[arg-type]
    taken = reader.take(wire.encode(answer).decode())
    assert isinstance(taken, wire.Subscribed)
    return reader, taken


def binary(**changes: object) -> packed.BinaryScores:
    given: dict[str, object] = {
        "stream": 1,
        "pack": 0,
        "channel": 1,
        "seq": 7,
        "first_frame": 40,
        "final": True,
        "captured_ns": 3,
        "decided_ns": 4,
        "sent_ns": 5,
        "rows": np.array([[0.25, 0.5], [1.0, 0.0]], np.float32),
    }
    return packed.BinaryScores(**(given | changes))  # type: ignore[arg-type]


def test_binary_rows_become_the_message_that_json_would_have_been() -> None:
    reader, _ = connected_reader(labels=["dog", "bird"])

    taken = reader.take(packed.encode_binary(binary(), "f16"))

    assert taken == wire.Scores(
        stream="yard",
        pack="big",
        seq=7,
        first_frame=40,
        count=2,
        labels=["dog", "bird"],
        rows=[[0.25, 0.5], [1.0, 0.0]],
        final=True,
        captured_ns=3,
        decided_ns=4,
        sent_ns=5,
    )


def test_binary_columns_are_named_by_their_place_in_the_pack() -> None:
    reader, _ = connected_reader(top_k=2)

    taken = reader.take(packed.encode_binary(binary(columns=(2, 0)), "u8"))

    assert isinstance(taken, wire.Scores)
    assert taken.labels == ["bird", "speech"]
    assert taken.rows[1] == [1.0, 0.0]


@pytest.mark.parametrize("changes", [{"stream": 9}, {"pack": 9}, {"columns": (0, 900)}, {"columns": None}])
def test_binary_rows_that_fit_no_pack_are_refused(changes: dict[str, object]) -> None:
    reader, _ = connected_reader()

    with pytest.raises(ServeError, match="do not fit"):
        reader.take(packed.encode_binary(binary(**changes), "u8"))


def test_a_server_that_does_not_begin_with_hello_is_none_of_ours() -> None:
    reader = Reader()
    reader.connected()

    with pytest.raises(ServeError, match="hello"):
        reader.take(b'{"type":"status","stream":"","pack":"","state":"x","detail":"","seq":1}'.decode())


def test_a_refused_subscription_says_why_in_one_harmless_line() -> None:
    reader, _ = connected_reader()

    with pytest.raises(ServeError) as caught:
        reader.take(wire.encode(wire.Error(code="bad-subscription", message="no label '\x1b[31m'\n here")).decode())

    assert str(caught.value).endswith("no label '\\x1b[31m' here")


# The place to resume from


def test_without_since_the_place_is_the_one_that_the_daemon_named() -> None:
    reader, _ = connected_reader(hub_seq=41)

    assert reader.bookmark == (41, "here")


def test_the_place_is_the_largest_number_that_came() -> None:
    reader, _ = connected_reader()
    hub = make_hub()
    sink = Collector()
    hub.subscribe(sink, wire.Subscribe(tier="batch"))
    publish(
        hub,
        scores(0, *[[0.1] * 4] * 5),
        event(1),
        Gap("mic", 5, 9, "xrun"),
        Status("mic", StreamState.LOST, "unplugged"),
    )

    places = []
    for outgoing in sink.outgoing:
        reader.take(payload(outgoing.frame))
        places.append(reader.bookmark and reader.bookmark.seq)

    assert places == [5, 6, 7, 8]


def test_rows_that_come_again_on_resuming_are_left_out() -> None:
    """A group that a gap closed early has a smaller number than what came before it was sent."""
    hub = make_hub()
    first, again = Collector(), Collector()
    hub.subscribe(first, wire.Subscribe(tier="batch"))
    publish(hub, scores(0, [0.1] * 4), scores(0, pack="vad"), Gap("mic", 320, 400, "xrun"))
    reader, _ = connected_reader()
    kept = [payload(outgoing.frame) for outgoing in first.outgoing]
    # the connection is lost behind the first message that the gap set free
    assert [message.seq for message in map(wire.decode_server, kept)] == [1, 2, 3]  # type: ignore[union-attr]
    reader.take(kept[1])
    reader.take(kept[0])
    assert reader.bookmark == (2, "here")
    grant = hub.subscribe(again, wire.Subscribe(tier="batch", since=2, instance="here"))
    assert grant.cursor is not None

    resent, _ = hub.read(grant.channel, grant.cursor, sent_ns=0)
    reader.connected()
    reader.take(wire.encode(hub.hello()).decode())
    reader.take(wire.encode(grant.answers[0]).decode())
    taken = [reader.take(payload(outgoing.frame)) for outgoing in resent]

    assert [type(message) for message in taken] == [type(None), type(None), wire.Gap]


def test_a_restarted_daemon_begins_a_new_count() -> None:
    reader, _ = connected_reader(hub_seq=1000)
    reader.connected()
    hello = make_hub().hello()
    hello.instance = "another"
    reader.take(wire.encode(hello).decode())

    assert reader.bookmark == (1000, "here"), "the old place has to be named until it is refused"

    restart = wire.Lagged(seq=0, from_seq=0, to_seq=0, dropped=None, reason="restart")
    taken = reader.take(wire.encode(restart).decode())
    assert taken == restart
    assert reader.bookmark == (0, "another")


def test_what_a_slow_reader_lost_is_declared_and_not_asked_for_again() -> None:
    reader, _ = connected_reader()
    lagged = wire.Lagged(seq=60, from_seq=11, to_seq=60, dropped=25, reason="mailbox")

    assert reader.take(wire.encode(lagged).decode()) == lagged
    assert reader.bookmark == (60, "here")


def payload(frame: bytes) -> str:
    """Text of one unmasked websocket frame."""
    at = {126: 4, 127: 10}.get(frame[1], 2)
    return frame[at:].decode()


def test_the_age_of_a_message_is_from_its_newest_sample_to_now() -> None:
    captured = wire.Scores(
        stream="mic", pack="p", seq=1, first_frame=0, count=1, labels=["a"], rows=[[0.1]], final=True,
        captured_ns=1_000_000_000, decided_ns=2, sent_ns=3,
    )  # fmt: skip
    assert age_s(captured, now_ns=1_250_000_000) == 0.25
    assert age_s(captured) > 1e9
