"""The bell: rings merge, and none is lost."""

import queue
import threading

from streamclf.audio.wake import Halt, Wake


def test_a_ring_before_the_wait_is_kept_and_many_are_one() -> None:
    wake = Wake()
    for _ in range(5):
        wake.set()
    assert wake.wait(0)
    assert not wake.wait(0)


def test_a_wait_without_a_ring_ends_at_its_limit() -> None:
    assert not Wake().wait(0.001)
    assert not Wake().wait(-1)


def test_a_waiting_thread_is_woken() -> None:
    wake = Wake()
    woken = threading.Event()

    def wait() -> None:
        if wake.wait():
            woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    wake.set()
    assert woken.wait(10)
    thread.join()


def test_rings_from_many_threads_at_once_do_no_harm() -> None:
    wake = Wake()

    def ring() -> None:
        for _ in range(2000):
            wake.set()

    threads = [threading.Thread(target=ring) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        wake.wait(0.01)
    for thread in threads:
        thread.join()
    wake.set()
    assert wake.wait(0)


def test_a_halt_that_is_set_lets_every_wait_through_at_once() -> None:
    halt = Halt()
    assert not halt.is_set()
    assert not halt.wait(0.0)
    halt.set()
    halt.set()
    assert all(halt.wait(60.0) for _ in range(3))


def test_a_halt_wakes_all_that_wait_for_it() -> None:
    halt = Halt()
    woken: queue.SimpleQueue[bool] = queue.SimpleQueue()
    threads = [threading.Thread(target=lambda: woken.put(halt.wait(30.0))) for _ in range(4)]
    for thread in threads:
        thread.start()
    halt.set()
    for thread in threads:
        thread.join(30.0)
    assert [woken.get_nowait() for _ in threads] == [True] * 4
