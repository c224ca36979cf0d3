"""The hub without sockets: numbering, batches, selection, replay, holes."""

import json

import numpy as np
import pytest

from streamclf import metrics
from streamclf.errors import ServeError
from streamclf.protocol import packed, wire
from streamclf.serve.hub import Hub
from streamclf.types import Gap, Stage, Status, StreamState
from tests.support.serving import EPOCH_NS, HOP, Collector, event, make_hub, publish, scores

MS = 1_000_000


def listen(hub: Hub, **wish: object) -> Collector:
    sink = Collector()
    hub.subscribe(sink, wire.Subscribe(**wish))  # type: ignore[arg-type]
    return sink


def seqs(messages: list[dict[str, int]]) -> list[int]:
    return [message["seq"] for message in messages]


# Numbering and time


def test_everything_published_has_the_next_number_and_a_frame_message_is_one_row() -> None:
    hub = make_hub()
    sink = listen(hub, tier="frame")

    publish(
        hub,
        scores(0, [0.1] * 4, [0.2] * 4),
        event(1),
        Gap("mic", 5, 9, "xrun"),
        Status("mic", StreamState.LOST, "unplugged"),
    )

    assert seqs(sink.messages) == [1, 2, 3, 4, 5]
    assert [m["type"] for m in sink.messages] == ["scores", "scores", "event", "gap", "status"]
    assert [(m["first_frame"], m["count"], m["rows"]) for m in sink.of("scores")] == [
        (0, 1, [[0.1] * 4]),
        (1, 1, [[0.2] * 4]),
    ]


def test_an_earlier_row_of_one_run_was_captured_one_hop_earlier() -> None:
    hub = make_hub()
    sink = listen(hub, tier="frame")

    publish(hub, scores(10, [0.1] * 4, [0.2] * 4), decided_ns=7, sent_ns=8)

    first, second = sink.messages
    assert second["captured_ns"] == EPOCH_NS + 12 * 20 * MS
    assert first["captured_ns"] == second["captured_ns"] - 20 * MS
    assert (second["decided_ns"], second["sent_ns"]) == (7, 8)


def test_an_event_says_when_it_sounded_and_what_it_rests_on() -> None:
    hub = make_hub()
    sink = listen(hub, tier="events")

    publish(hub, scores(60, [0.9] * 4), event(1, stage=Stage.CLOSE))

    (message,) = sink.messages
    assert message["onset_ns"] == EPOCH_NS + 10 * 20 * MS
    assert message["offset_ns"] == EPOCH_NS + 50 * 20 * MS
    assert message["captured_ns"] == EPOCH_NS + 61 * 20 * MS
    assert (message["id"], message["label"], message["stage"], message["offset_frame"]) == ("e1", "dog", "close", 50)


def test_a_status_changes_what_hello_says_of_the_stream() -> None:
    hub = make_hub()

    publish(hub, Status("mic", StreamState.LOST, "unplugged"), Status("mic", StreamState.HOP, "40 ms", pack="big"))
    publish(hub, Status("yard", StreamState.PAUSED, "too slow"), Status("yard", StreamState.RESUMED, "time again"))
    publish(hub, Status("", StreamState.BEHIND, ""))

    assert [(s.state, s.detail) for s in hub.hello().streams] == [("lost", "unplugged"), ("live", "time again")]


def test_what_was_published_is_counted() -> None:
    hub = make_hub()
    publish(hub, scores(0, [0.0] * 4, [0.0] * 4), event(1), Gap("mic", 5, 9, "xrun"))

    def value(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(name, labels) or 0.0

    frames = value("streamclf_frames_total", stream="mic", pack="big")
    lost = value("streamclf_lost_samples_total", stream="mic", reason="xrun")
    publish(hub, scores(2), Gap("mic", 20, 21, "xrun"))

    assert value("streamclf_frames_total", stream="mic", pack="big") == frames + 1
    assert value("streamclf_lost_samples_total", stream="mic", reason="xrun") == lost + 2


# Batches


def test_batches_are_five_rows_aligned_to_the_frame_grid() -> None:
    hub = make_hub()
    sink = listen(hub)

    for frame in range(3, 14):
        publish(hub, scores(frame, [frame / 100] * 4))

    assert [(m["first_frame"], m["count"], m["seq"]) for m in sink.messages] == [(3, 2, 2), (5, 5, 7)]
    assert sink.messages[1]["rows"] == [[f / 100] * 4 for f in range(5, 10)]


@pytest.mark.parametrize("cut", [Gap("mic", 0, 1, "xrun"), Status("mic", StreamState.ENDED, "end of file")])
def test_a_batch_is_cut_short_by_a_gap_or_status_of_its_stream_and_stands_before_it(cut: Gap | Status) -> None:
    hub = make_hub()
    sink = listen(hub)

    publish(hub, scores(0), scores(0, pack="vad"), scores(0, stream="yard"), scores(1), cut)

    assert [(m["type"], m.get("pack", ""), m["seq"]) for m in sink.messages][:2] == [
        ("scores", "big", 4),
        ("scores", "vad", 2),
    ]
    assert sink.messages[2]["type"] in ("gap", "status")
    assert len(sink.messages) == 3


def test_a_skipped_frame_cuts_a_batch_and_rows_are_never_glued() -> None:
    hub = make_hub()
    sink = listen(hub)

    publish(hub, scores(0), scores(1), scores(3), scores(4))

    assert [(m["first_frame"], m["count"]) for m in sink.messages] == [(0, 2), (3, 2)]


def test_flush_sends_what_a_batch_has_so_far() -> None:
    hub = make_hub()
    sink = listen(hub)
    publish(hub, scores(0), scores(0, pack="vad"))

    hub.flush()

    assert [(m["pack"], m["count"]) for m in sink.messages] == [("big", 1), ("vad", 1)]


def test_final_and_provisional_rows_of_the_same_frames_are_batched_apart() -> None:
    hub = make_hub()
    sink = listen(hub)

    for frame in range(5):
        publish(hub, scores(frame, [0.5] * 4, final=False), scores(frame, [0.6] * 4, final=True))

    assert [(m["final"], m["rows"][0][0]) for m in sink.messages] == [(False, 0.5), (True, 0.6)]


# Selection


def test_provisional_means_each_row_once_and_as_early_as_it_is_known() -> None:
    hub = make_hub()
    early, settled = (listen(hub, tier="frame", final=wish) for wish in ("provisional", "final"))

    publish(hub, scores(0, final=False), scores(0, final=True), scores(0, pack="vad", final=True))

    assert [(m["pack"], m["final"]) for m in early.messages] == [("big", False), ("vad", True)]
    assert [(m["pack"], m["final"]) for m in settled.messages] == [("big", True), ("vad", True)]


def test_streams_packs_labels_and_groups_select_rows_and_events() -> None:
    hub = make_hub()
    sink = listen(hub, tier="frame", streams=["yard"], labels=["speech", "group:animal"], packs=["big"])

    publish(hub, scores(0), scores(0, [0.1, 0.2, 0.3, 0.4], stream="yard"), scores(0, stream="yard", pack="vad"))
    publish(hub, event(1), event(2, stream="yard"), event(3, stream="yard", label="inside"), Gap("mic", 0, 0, "xrun"))

    (row,) = sink.of("scores")
    assert (row["labels"], row["rows"]) == (["speech", "dog", "bird"], [[0.1, 0.2, 0.3]])
    assert [m["id"] for m in sink.of("event")] == ["e2"]
    assert sink.of("gap") == []


def test_a_label_that_only_one_pack_has_leaves_the_other_pack_out() -> None:
    hub = make_hub()
    sink = listen(hub, tier="frame", labels=["bird"])

    publish(hub, scores(0), scores(0, pack="vad"), event(1, pack="vad", label="speech"))

    assert [m["pack"] for m in sink.messages] == ["big"]


def test_groups_alone_select_too() -> None:
    hub = make_hub()
    sink = listen(hub, tier="frame", groups=["voice"])

    publish(hub, scores(0))

    assert sink.messages[0]["labels"] == ["speech"]


def test_top_k_takes_the_best_over_the_message_and_leaves_hidden_labels_out() -> None:
    hub = make_hub()
    sink = listen(hub, top_k=2, packs=["big"])

    publish(hub, scores(3, [0.1, 0.2, 0.0, 0.9], [0.4, 0.0, 0.3, 0.9]))

    (message,) = sink.messages
    assert message["labels"] == ["speech", "bird"]
    assert message["rows"] == [[0.1, 0.0], [0.4, 0.3]]


def test_top_k_shows_a_hidden_label_that_was_named() -> None:
    hub = make_hub()
    sink = listen(hub, tier="frame", top_k=1, labels=["dog", "inside"])

    publish(hub, scores(0, [0.1, 0.2, 0.3, 0.9]))

    assert sink.messages[0]["labels"] == ["inside"]


def test_min_prob_leaves_labels_out_and_still_sends_an_empty_row() -> None:
    hub = make_hub()
    sink = listen(hub, tier="frame", min_prob=0.5)

    publish(hub, scores(0, [0.1, 0.2, 0.5, 0.9]), scores(1, [0.1] * 4))

    assert [(m["labels"], m["rows"]) for m in sink.messages] == [(["bird", "inside"], [[0.5, 0.9]]), ([], [[]])]


def test_the_events_tier_has_no_rows() -> None:
    hub = make_hub()
    sink = listen(hub, tier="events", top_k=1)

    publish(hub, scores(0), event(1), Gap("mic", 0, 0, "xrun"), Status("", StreamState.BEHIND, "slow"))

    assert [m["type"] for m in sink.messages] == ["event", "gap", "status"]


@pytest.mark.parametrize("encoding", ["f16", "u8"])
def test_binary_rows_name_their_columns_in_hello(encoding: str) -> None:
    hub = make_hub()
    plain = listen(hub, tier="frame", encoding=encoding, labels=["dog", "bird"], streams=["yard"], packs=["big"])
    best = listen(hub, tier="frame", encoding=encoding, top_k=1, packs=["big"])

    publish(hub, scores(4, [0.0, 0.25, 0.75, 1.0], stream="yard"))

    row, top = (packed.decode_binary(sink.messages[0]) for sink in (plain, best))
    hello = hub.hello()
    assert (hello.streams[row.stream].name, hello.packs[row.pack].name, row.first_frame) == ("yard", "big", 4)
    assert row.columns is None
    assert np.allclose(row.rows, [[0.25, 0.75]], atol=0.003)
    assert top.columns == (2,)
    assert hello.packs[top.pack].labels[2].id == "bird"


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"streams": ["mick"]}, "there is no stream 'mick' here; did you mean 'mic'?"),
        ({"labels": ["spech"]}, "there is no label 'spech' here; did you mean 'speech'?"),
        ({"packs": ["bigg"]}, "there is no pack 'bigg' here; did you mean 'big'?"),
        ({"labels": ["group:animals"]}, "there is no group 'animals' here; did you mean 'animal'?"),
        ({"packs": ["vad"], "labels": ["dog"]}, "there is no label 'dog' here; there are speech"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_and_the_former_subscription_stays(
    wish: dict[str, list[str]], sentence: str
) -> None:
    hub = make_hub()
    sink = listen(hub, tier="frame")

    with pytest.raises(ServeError) as refusal:
        hub.subscribe(sink, wire.Subscribe(**wish))  # type: ignore[arg-type]
    publish(hub, scores(0))

    assert str(refusal.value) == sentence
    assert len(sink.messages) == 1


# Channels


def test_clients_with_the_same_wish_get_the_very_same_bytes() -> None:
    hub = make_hub()
    one, two = (listen(hub, tier="frame", labels=["dog"]) for _ in range(2))
    other = listen(hub, tier="frame", labels=["bird"])

    publish(hub, scores(0))

    assert one.outgoing[0].frame is two.outgoing[0].frame
    assert other.outgoing[0].frame is not one.outgoing[0].frame


def test_who_has_left_gets_nothing_more_and_a_new_wish_takes_the_place_of_the_former() -> None:
    hub = make_hub()
    gone, stays = listen(hub, tier="frame"), listen(hub, tier="frame")

    hub.detach(gone)
    hub.subscribe(stays, wire.Subscribe(tier="events"))
    publish(hub, scores(0), event(1))

    assert gone.messages == []
    assert [m["type"] for m in stays.messages] == ["event"]


def test_congestion_lasts_as_long_as_anybody_is_pressed() -> None:
    hub = make_hub()
    one, two = listen(hub), listen(hub)

    hub.press(one, True)
    hub.press(two, True)
    hub.press(one, False)
    pressed = hub.congested
    hub.detach(two)

    assert (pressed, hub.congested) == (True, False)


# Replay


def read_all(hub: Hub, **wish: object) -> list[dict[str, object]]:
    channel, cursor, answers = hub.subscribe(Collector(), wire.Subscribe(**wish))  # type: ignore[arg-type]
    got = [json.loads(wire.encode(message)) for message in answers]
    sink = Collector()
    while cursor is not None:
        portion, cursor = hub.read(channel, cursor, sent_ns=EPOCH_NS + 2, max_messages=3)
        for message in portion:
            sink.deliver(message)
    return got + sink.messages


@pytest.mark.parametrize("tier", ["events", "batch", "frame"])
def test_replay_gives_what_was_live_word_for_word(tier: str) -> None:
    hub = make_hub()
    live = listen(hub, tier=tier)
    for frame in range(23):
        publish(hub, scores(frame, [frame / 50] * 4), scores(frame, pack="vad"))
        if frame % 7 == 3:
            publish(hub, event(frame), Gap("mic", frame * HOP, frame * HOP + 5, "xrun"))

    answer, *replayed = read_all(hub, tier=tier, since=0)

    assert answer["type"] == "subscribed"
    assert replayed == live.messages


def test_an_answer_says_where_replay_begins() -> None:
    hub = make_hub()
    publish(hub, scores(0), scores(1))

    assert read_all(hub, tier="frame", since=1, instance="here")[0]["since"] == 1
    assert [m["seq"] for m in read_all(hub, tier="frame", since=1)[1:]] == [2]
    assert read_all(hub, tier="frame")[0]["since"] is None


def test_rows_that_are_no_longer_held_are_declared_and_events_are_not_lost_with_them() -> None:
    hub = make_hub(replay_seconds=1)
    publish(hub, event(1))
    for frame in range(120):
        publish(hub, scores(frame))

    _, first, second, third, *rest = read_all(hub, tier="frame", since=0)

    assert (first["type"], first["seq"]) == ("event", 1)
    assert second["type"] == "lagged"
    assert second["reason"] == "replay"
    assert second["from_seq"] == 1
    assert third["seq"] == second["to_seq"] + 1  # type: ignore[operator]
    assert 45 <= len(rest) + 1 <= 50
    assert hub.oldest_seq == third["seq"]
    assert hub.hello().oldest_seq == third["seq"]


def test_another_instance_is_declared_as_a_restart_and_gets_all_that_is_held() -> None:
    hub = make_hub()
    publish(hub, scores(0), scores(1))

    for wish in ({"since": 1, "instance": "before"}, {"since": 99}):
        answer, lagged, *rows = read_all(hub, tier="frame", **wish)

        assert answer["since"] == 0
        assert (lagged["reason"], lagged["dropped"]) == ("restart", None), "nobody knows how much that is"
        assert [m["seq"] for m in rows] == [1, 2]


def test_what_was_paused_long_ago_does_not_make_fresh_rows_a_hole() -> None:
    hub = make_hub(replay_seconds=1)
    for frame in range(120):
        publish(hub, scores(frame, stream="yard"))
    for frame in range(30):
        publish(hub, scores(frame))

    messages = read_all(hub, tier="frame", streams=["mic"], since=120)[1:]

    assert [m["seq"] for m in messages] == list(range(121, 151))
