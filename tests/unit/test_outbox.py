"""The outbox's rows: what is due when, in which order, and how it ends."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace

from streamclf.alerts import outbox
from streamclf.alerts.alert import TEST, Gate, Reason, Tally, own_alert
from streamclf.alerts.audit import alerts_of, rules_on
from streamclf.clock import NS_PER_SECOND
from streamclf.store.database import Store
from streamclf.store.events import put_events, set_clip
from tests.support.alerts import AT_NS, make_alert
from tests.support.storing import stored


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store")
    yield opened
    opened.close()


def put(store: Store, *numbers: int, rule: str = "birds", sinks: tuple[str, ...] = ("here",)) -> None:
    with store.transaction() as tx:
        outbox.put(tx, [make_alert(number, rule=rule, sinks=sinks) for number in numbers], now_ns=AT_NS)


def heads(store: Store, sink: str = "here") -> list[str]:
    return [head.alert.event.id.rpartition("/")[2] for head in outbox.heads(store.connection, sink)]


def test_an_alert_comes_out_as_it_went_in_once_for_each_sink(store: Store) -> None:
    put(store, 1, sinks=("here", "there"))
    put(store, 1, sinks=("here", "there"))

    found = [outbox.heads(store.connection, sink) for sink in ("here", "there", "nowhere")]
    assert [[head.alert for head in some] for some in found] == [
        [make_alert(1, sinks=("here", "there"))],
        [make_alert(1, sinks=("here", "there"))],
        [],
    ]


def test_an_alert_names_the_clips_that_are_written_when_it_is_decided(store: Store) -> None:
    alert = make_alert(1)
    best = stored(7)
    alert = replace(alert, digest=(Tally("robin", 2, best, best.onset_ns, best.onset_ns),))
    with store.transaction() as tx:
        put_events(tx, [alert.event, best])
        set_clip(tx, alert.event.id, "a.flac")
        set_clip(tx, best.id, "b.flac")
        outbox.put(tx, [alert], now_ns=AT_NS)
        set_clip(tx, best.id, "")  # what retention deletes later does not change what was told

    (head,) = outbox.heads(store.connection, "here")
    assert (head.alert.event.clip, head.alert.digest[0].best.clip) == ("a.flac", "b.flac")


def test_the_oldest_of_each_rule_goes_first_and_holds_up_the_later_ones(store: Store) -> None:
    put(store, 3, 1, 2)
    put(store, 9, 8, rule="owls")
    assert heads(store) == ["50", "400"]
    first = outbox.heads(store.connection, "here")[0]
    with store.transaction() as tx:
        outbox.failed(tx, first, "no", now_ns=AT_NS)
    assert heads(store) == ["400", "50"]  # it waits, and nothing of its rule overtakes it
    with store.transaction() as tx:
        outbox.sent(tx, first, now_ns=AT_NS)
    assert heads(store) == ["100", "400"]


def test_waits_double_to_a_quarter_of_an_hour_and_end_after_three_days(store: Store) -> None:
    put(store, 1)
    now_ns, waits = AT_NS, []
    while found := outbox.heads(store.connection, "here"):
        now_ns = found[0].next_ns
        with store.transaction() as tx:
            outbox.failed(tx, found[0], "connection refused", now_ns=now_ns)
        waits.append(now_ns - AT_NS)
    seconds = [(b - a) // NS_PER_SECOND for a, b in pairwise(waits)]

    assert seconds[:11] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]
    assert set(seconds[10:]) == {900}
    assert 71.5 * 3600 < waits[-1] / NS_PER_SECOND <= 72 * 3600
    (entry,) = outbox.entries(store.connection, states=["dead"])
    assert (entry.state, entry.attempts, entry.last_error) == ("dead", len(waits), "connection refused")


def test_a_receiver_that_wants_to_be_left_alone_is(store: Store) -> None:
    put(store, 1)
    with store.transaction() as tx:
        outbox.failed(tx, outbox.heads(tx, "here")[0], "busy", now_ns=AT_NS, after_s=120)
    assert outbox.heads(store.connection, "here")[0].next_ns == AT_NS + 120 * NS_PER_SECOND


def test_a_dead_letter_can_be_sent_again_and_a_sent_one_cannot(store: Store) -> None:
    put(store, 1, 2)
    for end in (outbox.sent, outbox.refused):
        with store.transaction() as tx:
            head = outbox.heads(tx, "here")[0]
            outbox.sent(tx, head, now_ns=5) if end is outbox.sent else outbox.refused(tx, head, "gone")
    assert heads(store) == []
    assert outbox.waiting(store.connection) == {"here": {"dead": 1}}
    ids = [make_alert(number).id for number in (1, 2)]
    with store.transaction() as tx:
        assert outbox.send_again(tx, ids, sink="there", now_ns=AT_NS + 7) == 0
        assert outbox.send_again(tx, ids, sink=None, now_ns=AT_NS + 7) == 1
    assert heads(store) == ["100"]
    assert [(e.state, e.sent_ns) for e in outbox.entries(store.connection)] == [("sent", 5), ("pending", None)]


def test_ten_thousand_that_wait_cost_little_to_look_at(store: Store) -> None:
    put(store, *range(10_000))
    steps = []
    store.connection.set_progress_handler(lambda: steps.append(100), 100)  # every 100 instructions of SQLite
    assert heads(store) == ["0"]
    assert sum(steps) < 10_000, "not one for each that waits"


def test_what_is_wrong_is_known_until_it_is_taken_back(store: Store) -> None:
    def tell(stage: str, stream: str, at_ns: int) -> None:
        alert = own_alert(
            "watch", f"{stream} {stage}", at_ns=at_ns, sinks=("here",), stage=stage, label="s", stream=stream
        )
        with store.transaction() as tx:
            outbox.put(tx, [alert], now_ns=at_ns)

    put(store, 1)
    for at_ns, (stage, stream) in enumerate([("problem", "a"), ("problem", "b"), ("well", "a"), ("problem", "c")]):
        tell(stage, stream, at_ns)
    assert [alert.message for alert in outbox.not_taken_back(store.connection)] == ["b problem", "c problem"]
    assert [alert.stage for alert in outbox.alerts_between(store.connection, since_ns=0, until_ns=1 << 62)] == ["open"]


def test_a_test_waits_behind_nothing_and_is_never_tried_again(store: Store) -> None:
    put(store, 1)
    alert = own_alert("birds", "TEST", at_ns=AT_NS, sinks=("here",), stage=TEST, stream="x", test=True)
    with store.transaction() as tx:
        outbox.put(tx, [alert], now_ns=AT_NS)
    found = {head.alert.id: head for head in outbox.heads(store.connection, "here")}
    assert len(found) == 2
    with store.transaction() as tx:
        outbox.failed(tx, found[alert.id], "no answer", now_ns=AT_NS)
    assert outbox.answers(store.connection, alert.id) == {"here": ("dead", "no answer")}


def test_what_another_site_tells_is_taken_out_with_the_reason(store: Store) -> None:
    alert, gate = make_alert(1, sinks=("here", "there")), Gate("shared", False, "told by barn", "1 min", "told by barn")
    with store.transaction() as tx:
        put_events(tx, [alert.event])
        outbox.put(tx, [alert, make_alert(2)], now_ns=AT_NS)
        outbox.put_reasons(tx, [Reason(alert.event.id, "birds", alert.at_ns, True, alert.gates)])
        outbox.leave(tx, alert, gate)
        outbox.leave(tx, alert, gate)  # for the other sink

    (said,) = rules_on(store.connection, alert.event, ())
    assert (said.passed, said.gates) == (False, (*alert.gates, gate))
    assert [entry.alert for entry in outbox.entries(store.connection)] == [make_alert(2)]
    assert not alerts_of(store.connection, alert.event.id)
    with store.transaction() as tx:
        assert not outbox.send_again(tx, [alert.id], sink=None, now_ns=AT_NS)


def test_what_one_sink_had_before_another_site_told_stays_told(store: Store) -> None:
    alert = make_alert(1, sinks=("here", "there"))
    with store.transaction() as tx:
        put_events(tx, [alert.event])
        outbox.put(tx, [alert], now_ns=AT_NS)
        outbox.put_reasons(tx, [Reason(alert.event.id, "birds", alert.at_ns, True, alert.gates)])
        (delivery,) = outbox.heads(tx, "here")
        outbox.sent(tx, delivery, now_ns=AT_NS)
        outbox.leave(tx, alert, Gate("shared", False, "told by barn", "1 min", "told by barn"))

    (said,) = rules_on(store.connection, alert.event, ())
    assert said.passed
    assert [entry.state for entry in outbox.entries(store.connection)] == ["sent"]
