"""The life of a daemon with parts made for the purpose: the order, what fails, what hangs."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from streamclf.daemon.parts import InThread, Life, in_thread
from streamclf.errors import ConfigError, StreamclfError

Body = Callable[[Life], Coroutine[Any, Any, None]]


class Told:
    """A part that tells what is asked of it. fault: what its start raises. hangs: whether start or stop never ends."""

    stop_s = 0.05

    def __init__(self, name: str, told: list[str], *, fault: Exception | None = None, hangs: str = "") -> None:
        self.name = name
        self.hanging = asyncio.Event()
        self._told = told
        self._fault = fault
        self._hangs = hangs

    async def start(self) -> None:
        self._told.append(f"start {self.name}")
        await self._maybe_hang("start")
        if self._fault is not None:
            raise self._fault

    async def stop(self, limit_s: float) -> bool:
        self._told.append(f"stop {self.name}")
        await self._maybe_hang("stop")
        return True

    async def _maybe_hang(self, what: str) -> None:
        if self._hangs == what:
            self.hanging.set()
            await asyncio.Event().wait()


def live(body: Body) -> Life:
    """Runs it to its end."""
    lives: list[Life] = []

    async def run() -> None:
        lives.append(Life())
        await lives[0].run(body)

    asyncio.run(run())
    return lives[0]


def test_parts_start_in_order_and_stop_in_reverse() -> None:
    told: list[str] = []

    async def body(life: Life) -> None:
        for name in "abc":
            await life.start(Told(name, told))
        life.ask()

    assert live(body).left == []
    assert told == ["start a", "start b", "start c", "stop c", "stop b", "stop a"]


@pytest.mark.parametrize(("fault", "code"), [(ConfigError("no such rule"), 78), (StreamclfError("no such port"), 1)])
def test_a_part_that_fails_in_start_undoes_what_had_started_and_is_told_in_its_own_words(
    fault: StreamclfError, code: int
) -> None:
    told: list[str] = []

    async def body(life: Life) -> None:
        await life.start(Told("a", told))
        await life.start(Told("b", told, fault=fault))
        await life.start(Told("c", told))

    with pytest.raises(StreamclfError) as raised:
        live(body)
    assert (raised.value, raised.value.exit_code) == (fault, code)
    assert told == ["start a", "start b", "stop b", "stop a"]


async def dies() -> None:
    raise ValueError("planted")


def test_a_task_that_dies_is_logged_and_ends_all(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    async def body(life: Life) -> None:
        await life.start(Told("a", told))
        await life.watch("health", dies)

    with caplog.at_level(logging.ERROR), pytest.raises(StreamclfError, match=r"the daemon failed .*planted") as raised:
        live(body)
    assert raised.value.exit_code == 1
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert told == ["start a", "stop a"]


async def returns() -> None:
    pass


async def cancels_itself() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("ends", [returns, cancels_itself])
def test_a_task_that_ends_by_itself_ends_all(ends: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def body(life: Life) -> None:
        await life.watch("health", ends)

    with pytest.raises(StreamclfError, match="health has ended, and not by the end of the daemon") as raised:
        live(body)
    assert raised.value.exit_code == 1


def test_a_mistake_that_a_running_thread_finds_is_none_of_the_configuration() -> None:
    async def body(life: Life) -> None:
        threading.Thread(target=life.failed, args=(ConfigError("the rules have gone"),)).start()

    with pytest.raises(StreamclfError, match="the rules have gone") as raised:
        live(body)
    assert raised.value.exit_code == 1


def test_a_thread_that_fails_ends_a_start_that_hangs() -> None:
    told: list[str] = []

    async def body(life: Life) -> None:
        await life.start(Told("a", told))
        threading.Thread(target=life.failed, args=(ValueError("planted"),)).start()
        await life.start(Told("b", told, hangs="start"))
        await life.start(Told("c", told))

    with pytest.raises(StreamclfError, match="planted"):
        live(body)
    assert told == ["start a", "start b", "stop b", "stop a"]


def test_a_signal_in_the_middle_of_the_start_is_no_failure() -> None:
    told: list[str] = []

    async def body(life: Life) -> None:
        await life.start(Told("a", told))
        os.kill(os.getpid(), signal.SIGTERM)
        await life.start(Told("b", told, hangs="start"))
        raise AssertionError("the start went on")

    assert live(body).left == ["b"]
    assert told == ["start a", "start b", "stop b", "stop a"]


def test_a_part_that_hangs_in_stop_is_left_behind_and_the_others_stop(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    over = threading.Event()

    class Stuck:
        def start(self) -> None:
            """Nothing to do."""

        def stop(self, limit_s: float) -> bool:
            return over.wait()

    async def body(life: Life) -> None:
        await life.start(Told("a", told))
        await life.start(InThread("stuck", Stuck(), stop_s=0.05, most_s=0.05))
        await life.start(Told("b", told))
        life.ask()

    try:
        life = live(body)
    finally:
        over.set()
    assert life.left == ["stuck"]
    assert "left behind, for it did not stop in time: stuck" in caplog.text
    assert told == ["start a", "start b", "stop b", "stop a"]


def test_a_part_that_fails_in_stop_is_a_failure_and_the_others_stop() -> None:
    told: list[str] = []

    class Broken(Told):
        async def stop(self, limit_s: float) -> bool:
            raise ValueError("planted")

    async def body(life: Life) -> None:
        await life.start(Told("a", told))
        await life.start(Broken("b", told))
        life.ask()

    with pytest.raises(StreamclfError, match="planted"):
        live(body)
    assert told == ["start a", "start b", "stop a"]


def test_what_runs_in_a_thread_gives_its_result_or_its_fault() -> None:
    def fails() -> int:
        raise ValueError("planted")

    async def main() -> None:
        assert await in_thread("sum", lambda: sum((1, 2))) == 3
        with pytest.raises(ValueError, match="planted"):
            await in_thread("fault", fails)

    asyncio.run(main())


def test_where_no_thread_can_be_had_what_is_to_be_written_is_and_no_traceback_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program of the same user has taken them all, for one."""
    stopped: list[float] = []

    class Writer:
        def start(self) -> None:
            """Nothing to do."""

        def stop(self, limit_s: float) -> bool:
            stopped.append(limit_s)
            return True

    class Source(Told):
        async def stop(self, limit_s: float) -> bool:
            return await in_thread("stop of a source", lambda: True)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def body(life: Life) -> None:
        await life.start(InThread("the writer", Writer(), stop_s=1.5))
        await life.start(Source("the sources", []))
        monkeypatch.setattr(threading.Thread, "start", refuse)
        life.ask()

    with pytest.raises(StreamclfError, match="raise its limits"):
        live(body)
    assert stopped == [pytest.approx(8.0, abs=1.0)]
    assert "Traceback" not in caplog.text
    assert "left behind, for there is no memory or thread to stop it with: the sources" in caplog.text
