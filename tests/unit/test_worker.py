"""Calls into a library that hangs: limits hold, late results are undone, what never began never runs."""

import threading

import pytest

from streamclf.audio.sources.worker import NoAnswerError, Worker


def fail() -> None:
    raise KeyError("x")


def test_results_and_exceptions_come_back() -> None:
    worker = Worker("test")
    assert worker.call(lambda: 41 + 1, limit_s=10) == 42
    with pytest.raises(KeyError, match="x"):
        worker.call(fail, limit_s=10)
    assert worker.call(lambda: worker.call(threading.get_ident, limit_s=10) == threading.get_ident(), limit_s=10)


def test_a_hanging_call_is_left_and_its_late_result_undone() -> None:
    worker = Worker("test")
    thaw, undone = threading.Event(), threading.Event()
    late: list[str] = []

    def undo(result: str) -> None:
        late.append(result)
        undone.set()

    def hang() -> str:
        thaw.wait(30)
        return "stream"

    with pytest.raises(NoAnswerError, match=r"no answer within 0\.01 s"):
        worker.call(hang, limit_s=0.01, undo=undo)
    never: list[int] = []
    with pytest.raises(NoAnswerError):
        worker.call(lambda: never.append(1), limit_s=0.01)
    thaw.set()
    assert undone.wait(10)
    assert worker.call(lambda: "well again", limit_s=10) == "well again"
    assert late == ["stream"]
    assert never == []


def test_a_fault_of_a_submitted_job_is_told_and_does_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    worker = Worker("test")
    worker.submit(fail)
    assert worker.call(lambda: 1, limit_s=10) == 1
    assert [hook.exc_type for hook in told] == [KeyError]
