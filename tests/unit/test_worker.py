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


def test_a_hanging_call_is_left_and_what_waits_behind_it_given_up() -> None:
    worker = Worker("test")
    thaw, begun = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        thaw.wait(30)

    while not begun.is_set():  # on a busy machine it may be given up before it began
        with pytest.raises(NoAnswerError, match=r"no answer within 0\.01 s"):
            worker.call(hang, limit_s=0.01)
    done: list[str] = []
    with pytest.raises(NoAnswerError):
        worker.call(lambda: done.append("given up"), limit_s=0.01)
    worker.submit(lambda: done.append("submitted"))
    thaw.set()
    assert worker.call(lambda: "well again", limit_s=10) == "well again"
    assert done == ["submitted"]


def test_closed_it_leaves_no_thread_and_starts_again() -> None:
    worker = Worker("closing")
    worker.close(limit_s=10)
    for _ in range(100):
        assert worker.call(lambda: threading.current_thread().name, limit_s=10) == "closing"
        worker.close(limit_s=10)
        assert "closing" not in [thread.name for thread in threading.enumerate()]


def test_closing_behind_a_hanging_call_does_not_wait_for_it_and_loses_nothing() -> None:
    worker = Worker("test")
    thaw = threading.Event()

    def hang() -> None:
        thaw.wait(30)

    worker.submit(hang)
    worker.close(limit_s=0.01)
    done: list[int] = []
    worker.submit(lambda: done.append(1))
    thaw.set()
    assert worker.call(lambda: len(done), limit_s=10) == 1


def test_a_fault_of_a_submitted_job_is_told_and_does_not_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    worker = Worker("test")
    worker.submit(fail)
    assert worker.call(lambda: 1, limit_s=10) == 1
    assert [hook.exc_type for hook in told] == [KeyError]
