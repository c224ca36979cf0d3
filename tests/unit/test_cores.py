"""How long the threads of a process were kept waiting for a core, from what the system says of each."""

from pathlib import Path

import pytest

from streamclf.daemon.cores import Waits


def say(tasks: Path, **waited_ms: float) -> None:
    for task, ms in waited_ms.items():
        (tasks / task).mkdir(exist_ok=True)
        (tasks / task / "schedstat").write_text(f"123456789 {round(ms * 1e6)} 77\n")


def test_it_adds_up_what_each_thread_waited_since_the_last_look(tmp_path: Path) -> None:
    waits = Waits(tmp_path)
    say(tmp_path, one=100, two=5)
    assert waits.since() is None, "there is nothing to compare with"
    say(tmp_path, one=150, two=5, three=20)
    assert waits.since() == pytest.approx(0.07)
    (tmp_path / "two" / "schedstat").unlink()  # that thread has ended
    assert waits.since() == 0.0


@pytest.mark.parametrize("said", ["", "1 x 2", "1"])
def test_a_system_that_does_not_tell_is_not_guessed_at(tmp_path: Path, said: str) -> None:
    waits = Waits(tmp_path)
    assert waits.since() is None
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "schedstat").write_text(said)
    assert waits.since() is None
    assert Waits(tmp_path / "absent").since() is None
