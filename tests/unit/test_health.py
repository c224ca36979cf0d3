"""What `v1/status` says: problems in words, trouble of many streams at once, and what is for whom."""

from typing import Any

import msgspec
import pytest

from streamclf.config import Config
from streamclf.daemon.diagnosis import STUCK_S, DaemonProblems, PartProblems
from streamclf.daemon.health import Health
from streamclf.daemon.hearing import Hearing
from streamclf.protocol.status import DaemonStatus
from streamclf.serve.http.route import Query
from streamclf.serve.hub import Hub
from streamclf.serve.roles import Role
from streamclf.types import Gap, StreamState
from streamclf.types import Status as Said
from tests.support.serving import make_hub, publish, scores

NO_PARTS = PartProblems(writer=None, selftest=None, alerts=None)


def told(hub: Hub, role: Role = Role.ADMIN) -> DaemonStatus:
    health = Health(hub, [], Config(), Hearing(hub, []), DaemonProblems(hub, NO_PARTS), needs_token=True)
    return msgspec.json.decode(health.answer(Query({}, role)).body, type=DaemonStatus)


def test_what_is_not_measured_is_null_and_what_was_counted_is_there() -> None:
    hub = make_hub(streams=("status-a", "status-b"))
    publish(hub, scores(0, [0.1] * 4, [0.2] * 4, stream="status-a"), Gap("status-a", 640, 959, "xrun"))

    status = told(hub)

    first, second = status.streams
    assert (first.name, first.rows, first.gaps, first.lost_samples) == ("status-a", {"big": 2, "vad": 0}, 1, 320)
    assert (second.rows, second.gaps) == ({"big": 0, "vad": 0}, 0)
    assert (first.rms_dbfs, first.drift_ppm, first.backlog_ms, first.xruns) == (None, None, None, None)
    assert [pack.run_ms_p50 for pack in status.packs] == [None, None]
    assert (status.store, status.alerts, status.selftest) == (None, None, None)
    assert status.server is not None
    assert status.server.needs_token


def test_an_answer_holds_until_a_problem_comes_or_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    hub = make_hub(streams=("held",))
    health = Health(hub, [], Config(), Hearing(hub, []), DaemonProblems(hub, NO_PARTS), needs_token=True)

    def told_now() -> DaemonStatus:
        return msgspec.json.decode(health.answer(Query({}, Role.ADMIN)).body, type=DaemonStatus)

    first = told_now()
    assert told_now() == first
    publish(hub, Gap("held", 640, 959, "xrun"), Said("held", StreamState.LOST, "unplugged"))
    lost = told_now()
    assert [problem.what for problem in lost.problems] == ["held is lost: unplugged"]
    assert (lost.condition, lost.streams[0].state, lost.streams[0].lost_samples) == ("down", StreamState.LOST, 320)
    assert told_now() == lost
    publish(hub, Said("held", StreamState.LIVE, ""))
    assert told_now().problems == []


@pytest.mark.parametrize("role", [Role.LABELS, Role.AUDIO])
def test_other_roles_than_admin_see_streams_and_problems_only(role: Role) -> None:
    hub = make_hub()
    publish(hub, Said("yard", StreamState.LOST, "unplugged"))

    status = told(hub, role)

    assert [stream.name for stream in status.streams] == ["mic", "yard"]
    assert len(status.problems) == 1
    assert (status.server, status.store, status.alerts, status.selftest, status.process) == (None,) * 5


@pytest.mark.parametrize(
    ("states", "what"),
    [
        ({"a": "live", "b": "waiting", "c": "ended"}, []),
        ({"a": "lost"}, ["a is lost: why"]),
        ({"a": "paused", "b": "lost"}, ["b is lost: why", "a is paused: why"]),
        ({"a": "problem"}, ["a is in trouble: why"]),
        ({"a": "paused", "b": "paused", "c": "paused"}, ["a, b and c are paused: why"]),
        (dict.fromkeys("abcdefgh", "paused"), ["a, b, c, d, e and 3 more are paused: why"]),
    ],
)
def test_streams_in_trouble_are_named_together_with_what_to_do(states: dict[str, str], what: list[str]) -> None:
    hub = make_hub(streams=tuple(states))
    publish(hub, *(Said(name, StreamState(state), "why") for name, state in states.items()))

    problems = told(hub).problems

    assert [problem.what for problem in problems] == what
    assert all(problem.to_do for problem in problems)
    assert sorted(name for problem in problems for name in problem.streams) == sorted(states if what else [])


def test_a_pack_has_a_problem_from_its_status_until_it_is_back() -> None:
    hub = make_hub()
    before = hub.hello().streams

    publish(hub, Said("", StreamState.PACK_PROBLEM, "big hangs since 5 s", pack="big"))
    assert [pack.problem for pack in hub.hello().packs] == ["big hangs since 5 s", ""]
    publish(hub, Said("", StreamState.PACK_PROBLEM, "", pack="vad"), Said("", StreamState.PACK_BACK, "", pack="big"))
    big, vad = (pack.problem for pack in hub.hello().packs)

    assert (big, bool(vad)) == ("", True), "a problem without a sentence is still one"
    assert hub.hello().streams == before


def test_a_daemon_whose_model_thread_has_stopped_for_long_is_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = DaemonProblems(make_hub(), NO_PARTS)
    assert problems.stuck() == ""
    problems.follow(lambda: 100.0)
    monkeypatch.setattr("time.monotonic", lambda: 100.0 + STUCK_S - 1)
    assert problems.stuck() == ""
    monkeypatch.setattr("time.monotonic", lambda: 100.0 + STUCK_S)
    assert problems.stuck() == "the model thread has not come on for over 30 s"


def test_a_problem_of_the_daemon_keeps_the_time_at_which_it_was_first_seen() -> None:
    class Broken:
        problem = "self-test: bird did not reach a subscriber"

    broken: Any = Broken()
    parts = PartProblems(writer=None, selftest=broken, alerts=None)
    problems = DaemonProblems(make_hub(), parts)
    problems.note(5_000_000)
    problems.note(9_000_000)

    assert parts.sentences() == [Broken.problem]
    (problem,) = problems.found()
    assert (problem.what, problem.since_ms, problem.streams) == (Broken.problem, 5, [])
    broken.problem = ""
    problems.note(11_000_000)
    broken.problem = Broken.problem
    problems.note(12_000_000)
    assert [problem.since_ms for problem in problems.found()] == [12]
