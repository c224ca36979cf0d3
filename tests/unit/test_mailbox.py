"""The mailbox: newest scores stay, everything else is kept, nothing disappears silently."""

import json

from streamclf.serve.mailbox import (
    MAX_AGE_NS,
    MAX_DOUBTED_BYTES,
    MAX_SCORE_BYTES,
    MAX_VITAL,
    MAX_VITAL_BYTES,
    Mailbox,
    Outgoing,
)
from tests.support.serving import parsed


def row(seq: int, size: int = 100, decided_ns: int = 0) -> Outgoing:
    return Outgoing(b"s" * size, seq, seq, seq, 1, decided_ns)


def vital(seq: int) -> Outgoing:
    return Outgoing(b"v%d" % seq, seq, 0, 0, 0, 0)


def drain(mailbox: Mailbox) -> list[object]:
    out: list[object] = []
    while (message := mailbox.take()) is not None:
        if message.rows:
            out.append(message.seq)
        else:
            out.append(message.frame.decode() if message.frame[:1] == b"v" else parsed(message.frame))
    return out


def test_what_fits_comes_out_in_the_order_of_arrival() -> None:
    mailbox = Mailbox()
    for message in (row(1), vital(2), row(3), vital(4)):
        assert mailbox.put(message)

    assert len(mailbox) == 4
    assert drain(mailbox) == [1, "v2", 3, "v4"]
    assert len(mailbox) == 0


def test_the_oldest_scores_go_first_and_are_declared_where_they_would_have_stood() -> None:
    mailbox = Mailbox()
    big = MAX_SCORE_BYTES // 2
    for message in (row(1, big), vital(2), row(3, big), row(4, big), vital(5), row(6, big)):
        mailbox.put(message)

    first, lagged, *rest = drain(mailbox)

    assert first == "v2"
    assert json.loads(json.dumps(lagged)) == {
        "type": "lagged", "seq": 3, "from_seq": 1, "to_seq": 3, "dropped": 2, "reason": "mailbox",
    }  # fmt: skip
    assert rest == [4, "v5", 6]
    assert mailbox.dropped_rows == 2


def test_scores_older_than_four_seconds_are_dropped_however_small_they_are() -> None:
    mailbox = Mailbox()
    mailbox.put(row(1, decided_ns=0))
    mailbox.put(row(2, decided_ns=MAX_AGE_NS))
    mailbox.put(row(3, decided_ns=MAX_AGE_NS + 1))

    _, *rest = drain(mailbox)

    assert rest == [2, 3]


def test_the_newest_score_stays_even_when_it_alone_is_over_the_bound() -> None:
    mailbox = Mailbox()
    mailbox.put(row(1, 10))
    mailbox.put(row(2, 2 * MAX_SCORE_BYTES))

    assert drain(mailbox)[1:] == [2]


def test_two_holes_are_two_declarations() -> None:
    mailbox = Mailbox()
    big = MAX_SCORE_BYTES // 2
    holes = []
    for start in (1, 11):
        for seq in range(start, start + 4):
            mailbox.put(row(seq, big))
        holes.append(drain(mailbox)[0])

    assert [(h["from_seq"], h["to_seq"], h["dropped"]) for h in holes] == [(1, 2, 2), (11, 12, 2)]  # type: ignore[index]


def test_events_are_refused_rather_than_dropped_when_too_many_wait() -> None:
    mailbox = Mailbox()

    taken = [mailbox.put(vital(seq)) for seq in range(MAX_VITAL + 1)]

    assert taken == [True] * MAX_VITAL + [False]
    assert len(drain(mailbox)) == MAX_VITAL


def test_one_that_names_thousands_of_species_is_taken_and_does_not_shut_out_what_comes_behind_it() -> None:
    mailbox, long = Mailbox(), Outgoing(b"v" * 2 * MAX_VITAL_BYTES, 0, 0, 0, 0, 0)

    assert [mailbox.put(one) for one in (long, vital(1), long, long, vital(2))] == [True] * 5
    assert not mailbox.put(long), "as much as ever comes at once"
    assert len(drain(mailbox)) == 5
    assert mailbox.put(long), "what was taken out does not count"


def test_half_full_is_said_in_time() -> None:
    mailbox = Mailbox()
    mailbox.put(row(1, MAX_SCORE_BYTES // 2))
    before = mailbox.half_full
    mailbox.put(row(2, 10))

    assert (before, mailbox.half_full) == (False, True)


def test_less_waits_for_who_may_not_read_and_what_goes_is_declared() -> None:
    mailbox = Mailbox()
    for seq in range(1, 5):
        mailbox.put(row(seq, MAX_DOUBTED_BYTES // 2))
    mailbox.trust(False)
    lagged, *left = drain(mailbox)

    assert (lagged["type"], lagged["dropped"], left) == ("lagged", 2, [3, 4])  # type: ignore[index]
    assert mailbox.dropped_rows == 2
