"""`/metrics`: is stream X fine, from the first moment on, under any name that a stream may have."""

import re
from pathlib import Path

import numpy as np
import pytest

from streamclf import metrics
from streamclf.daemon.diagnosis import DaemonProblems, PartProblems
from streamclf.daemon.gauges import Gauges
from streamclf.daemon.hearing import Hearing
from streamclf.daemon.samples import LastMinute
from streamclf.serve.http.route import Query
from streamclf.serve.hub import Hub
from streamclf.serve.roles import Role
from streamclf.types import Status, StreamState
from tests.support.serving import EPOCH_NS, make_hub, publish, scores

SECOND = 1_000_000_000
ROOT = Path(metrics.__file__).parent


def gauges(hub: Hub, monkeypatch: pytest.MonkeyPatch, *, now_ns: int = EPOCH_NS) -> Gauges:
    monkeypatch.setattr("time.time_ns", lambda: now_ns)
    problems = DaemonProblems(hub, PartProblems(writer=None, selftest=None, alerts=None), Hearing(hub, []))
    return Gauges(hub, [], problems, LastMinute([]))


def series(found: Gauges) -> dict[str, float]:
    lines = found.answer(Query({}, Role.ADMIN)).body.decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def test_a_stream_is_up_while_it_is_heard_and_a_problem_where_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = make_hub(streams=("g-live", "g-lost", "g-waits"))
    publish(hub, Status("g-lost", StreamState.LOST, "unplugged"), Status("g-waits", StreamState.WAITING, ""))
    found = series(gauges(hub, monkeypatch))

    assert [found[f'streamclf_stream_up{{stream="{n}"}}'] for n in hub.streams] == [1, 0, 0]
    assert [found[f'streamclf_stream_problem{{stream="{n}"}}'] for n in hub.streams] == [0, 1, 0]
    grades = [found[f'streamclf_problems{{grade="{grade}"}}'] for grade in ("down", "degraded", "advice")]
    assert grades == [1, 0, 0], "as many as the one list of problems has"


def test_ages_grow_while_nothing_comes_and_begin_with_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = make_hub(streams=("g-aged",))
    aged = gauges(hub, monkeypatch)
    row = 'streamclf_stream_last_row_age_seconds{pack="big",stream="g-aged"}'
    monkeypatch.setattr("time.time_ns", lambda: EPOCH_NS + 5 * SECOND)
    found = series(aged)
    assert found[row] == 5
    assert found['streamclf_stream_last_sample_age_seconds{stream="g-aged"}'] == 5

    publish(hub, scores(149, stream="g-aged"))  # rests on the sound up to 3 s
    assert series(aged)[row] == 2


def test_every_series_is_there_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = make_hub(streams=("g-fresh",))
    found = series(gauges(hub, monkeypatch))
    for name in (
        'streamclf_frames_total{pack="big",stream="g-fresh"}', 'streamclf_xruns_total{stream="g-fresh"}',
        'streamclf_events_total{pack="vad",stage="open",stream="g-fresh"}', 'streamclf_pauses_total{stream="g-fresh"}',
        'streamclf_gaps_total{reason="lost",stream="g-fresh"}', 'streamclf_pack_failures_total{kind="hung",pack="big"}',
        'streamclf_stream_backlog_seconds{stream="g-fresh"}', 'streamclf_subscribers_cut_off_total{reason="silent"}',
        'streamclf_requests_refused_total{reason="origin"}', "process_cpu_seconds_total", "process_open_fds",
        "process_resident_memory_bytes",
    ):  # fmt: skip
        assert name in found
    assert np.isnan(found['streamclf_pack_rtf{pack="big"}']), "what is not measured is no number"


def test_reasons_that_the_code_gives_are_known_from_the_start() -> None:
    found = set()
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        found |= {("cut_off", reason) for reason in re.findall(r'\.cut\(\s*"([a-z-]+)"', text)}
        given = re.findall(r'(?:REFUSED\.labels\(|_refuse\(HTTPStatus\.[A-Z_]+, )"([a-z]+)"', text)
        found |= {("refused", reason) for reason in given}
    known = {("cut_off", s.labels["reason"]) for f in metrics.CUT_OFF.collect() for s in f.samples}
    known |= {("refused", s.labels["reason"]) for f in metrics.REFUSED.collect() for s in f.samples}
    assert len(found) > 10
    assert found <= known


@pytest.mark.parametrize("name", ['say "hi"', "back\\slash", "two\nlines", "naïve 🐦"])
def test_any_name_is_escaped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = gauges(make_hub(streams=(name,)), monkeypatch).answer(Query({}, Role.ADMIN)).body.decode()
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert f'streamclf_stream_up{{stream="{escaped}"}} 1.0\n' in told


@pytest.mark.parametrize("state", [state for state in StreamState if state.of_stream])
def test_metrics_and_the_list_of_problems_never_say_different_things(
    state: StreamState, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = make_hub(streams=("g-state",))
    publish(hub, Status("g-state", state, "why"))
    found = series(gauges(hub, monkeypatch))
    assert found['streamclf_stream_problem{stream="g-state"}'] == found['streamclf_problems{grade="down"}']
    assert found['streamclf_stream_up{stream="g-state"}'] + found['streamclf_stream_problem{stream="g-state"}'] < 2
