"""What keeps a thread that was given up away from the engine.

A run of ONNX Runtime cannot always be broken off. Where one hangs, the thread in it is left behind and another one
takes over the engine. The old thread may come back at any time; then it must touch nothing. So each thread that runs
models has a guard: it notes every run in it and takes the note out again behind the run, and who gives the run up takes
the note out first. Taking a key out of a dict is one step of the interpreter: only one of the two finds it, without a
lock.
"""

from typing import NamedTuple

from streamclf.model.session import Brake


class Abandoned(BaseException):
    """Raised in a thread whose run was given up; no part of the engine catches it."""


class RunNote(NamedTuple):
    """A run of `pack` that may take `limit_s` seconds. brake: what may end it."""

    pack: str
    brake: Brake
    limit_s: float


class Guard:
    """`enter` and `leave` are for the thread that runs models; another one looks at `present` and may `give_up`.

    number: of the last run that was begun; a guard counts on where the one before it was. clock: the id of that
    thread's CPU clock, None where the system has none.
    """

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.clock: int | None = None
        self._open: dict[int, RunNote] = {}  # bound: one

    def enter(self, note: RunNote) -> None:
        """A run begins."""
        number = self.number + 1
        self._open[number] = note
        self.number = number

    def leave(self) -> None:
        """It is over, well or not. Raises `Abandoned` where it was given up."""
        if self._open.pop(self.number, None) is None:
            raise Abandoned

    def present(self) -> tuple[int, RunNote] | None:
        """The run that goes on now, and its number."""
        number = self.number
        note = self._open.get(number)
        return None if note is None else (number, note)

    def give_up(self, number: int) -> bool:
        """Leave the thread behind in run `number`. Returns whether it is still in it: then it never comes back."""
        return self._open.pop(number, None) is not None
