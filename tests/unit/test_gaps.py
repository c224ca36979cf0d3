"""Gaps are kept with their times, joined where one goes on, and no more of them than the bound."""

from contextlib import closing
from pathlib import Path

import pytest

from streamclf.clock import NS_PER_SECOND, StreamClock
from streamclf.store import alive
from streamclf.store import gaps as gaps_module
from streamclf.store.database import Store, reader
from streamclf.store.gaps import GapsWaiting, StoredGap, overlapping_gaps
from streamclf.types import Gap, Output, Stage, Status, StreamState
from tests.support.storing import heard
from tests.support.writing import LIMIT_S, writing

RATE = 16_000
START_NS = 1_000 * NS_PER_SECOND


def gap(from_s: float, to_s: float, reason: str = "paused", stream: str = "mic") -> Gap:
    return Gap(stream, round(from_s * RATE), round(to_s * RATE) - 1, reason)


def kept(folder: Path, *outputs: Output, each: bool = False) -> list[tuple[float, float, str]]:
    clock = StreamClock(RATE, epoch_ns=START_NS)
    waiting = GapsWaiting()
    with closing(Store.open(folder)) as store:
        for some in [[output] for output in outputs] if each else [outputs]:
            waiting.take(some, {"mic": clock}, now_ns=START_NS)
            clock.epoch_ns += 2_000_000  # corrected, as it may be at any time
            with store.transaction() as tx:
                waiting.write(tx)
            waiting.written()
        assert not waiting
        return [
            (
                round((g.since_ns - START_NS) / NS_PER_SECOND, 1),
                round((g.until_ns - START_NS) / NS_PER_SECOND, 1),
                g.reason,
            )
            for g in overlapping_gaps(store.connection, since_ns=0, until_ns=1 << 62)
        ]


@pytest.mark.parametrize("each", [False, True])
def test_a_pause_that_is_told_in_parts_is_one_gap(tmp_path: Path, each: bool) -> None:
    outputs = [gap(5, 10), gap(10, 15), gap(15, 16.5), gap(16.5, 17, "xrun"), gap(30, 31), gap(1, 2, stream="gone")]
    assert kept(tmp_path, *outputs, each=each) == [(5, 16.5, "paused"), (16.5, 17, "xrun"), (30, 31, "paused")]


def test_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps_module, "MAX_KEPT", 3)
    found = kept(tmp_path, *(gap(n, n + 0.5) for n in range(6)), each=True)
    assert [since for since, _, _ in found] == [3, 4, 5]


def test_what_the_disk_does_not_take_is_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gaps_module, "MAX_WAITING", 3)
    assert [since for since, _, _ in kept(tmp_path, *(gap(n, n + 0.5) for n in range(6)))] == [3, 4, 5]


def behind(detail: str) -> Status:
    return Status("", StreamState.BEHIND, detail)


def test_times_in_which_less_was_done_are_kept_while_they_last_and_belong_to_every_stream(tmp_path: Path) -> None:
    waiting, now_s = GapsWaiting(), 0.0
    with closing(Store.open(tmp_path)) as store:

        def told(*outputs: Output, after_s: float) -> list[tuple[float, float, str]]:
            nonlocal now_s
            now_s += after_s
            waiting.take(outputs, {}, now_ns=START_NS + round(now_s * NS_PER_SECOND))
            with store.transaction() as tx:
                waiting.write(tx)
            waiting.written()
            found = overlapping_gaps(store.connection, since_ns=0, until_ns=1 << 62, stream="mic")
            assert {g.stream for g in found} <= {""}
            since = START_NS / NS_PER_SECOND
            return [(round(g.since_ns / 1e9 - since, 1), round(g.until_ns / 1e9 - since, 1), g.reason) for g in found]

        assert told(Status("mic", StreamState.LIVE, ""), heard(Stage.OPEN), after_s=1) == []
        assert told(behind("half"), after_s=1) == [(2, 2, "half")]
        assert told(after_s=10) == [(2, 12, "half")]
        assert told(behind("a quarter"), after_s=1) == [(2, 13, "half"), (13, 13, "a quarter")]
        assert told(Status("", StreamState.LIVE, "all"), after_s=2) == [(2, 13, "half"), (13, 15, "a quarter")]
        assert told(after_s=60) == [(2, 13, "half"), (13, 15, "a quarter")]


def test_the_writer_keeps_them(tmp_path: Path) -> None:
    with writing(tmp_path) as (inbox, committed, _):
        inbox.put([gap(5, 10)])
        inbox.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        with closing(reader(tmp_path)) as connection:
            found = overlapping_gaps(connection, since_ns=9 * NS_PER_SECOND, until_ns=20 * NS_PER_SECOND, stream="mic")
            assert found == [StoredGap("mic", 5 * NS_PER_SECOND, 10 * NS_PER_SECOND, "paused")]
            assert not overlapping_gaps(connection, since_ns=0, until_ns=1 << 62, stream="yard")
            assert not overlapping_gaps(connection, since_ns=10 * NS_PER_SECOND, until_ns=1 << 62)


def test_the_time_without_a_daemon_is_a_gap_of_each_stream(tmp_path: Path) -> None:
    with writing(tmp_path):
        pass
    began_ns = alive.last_ns(tmp_path)
    assert began_ns is not None
    assert alive.missed(tmp_path, began_ns + NS_PER_SECOND // 2) is None
    missed = alive.missed(tmp_path, began_ns + 5 * NS_PER_SECOND)
    with writing(tmp_path, missed=missed):
        pass
    with closing(reader(tmp_path)) as connection:
        assert overlapping_gaps(connection, since_ns=0, until_ns=1 << 62) == [
            StoredGap("mic", began_ns, began_ns + 5 * NS_PER_SECOND, "no daemon ran")
        ]
