"""Several files in as many processes as cores; what comes of them is given in the order of the files.

Each process has an engine of its own and hears one file, or some side by side where that takes less. A file that
crashes a library takes one process with it, and another process takes its place: there each of those that were heard
side by side is heard alone, so that the one that does it again is named. Messages are msgpack behind their length, on
pipes. At most a few results wait for their turn, and some megabytes of rows: then a process whose turn it is not stands
still. A process writes nothing on standard error: what libraries say of damaged files is of no use.
"""

import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any

import msgspec
import numpy as np

from streamclf.commands.fileear import (
    Failed,
    FileAsked,
    FileEar,
    FileWish,
    Heard,
    PackLabels,
)
from streamclf.commands.formats import FileScores
from streamclf.errors import StreamclfError
from streamclf.text import spelt

_LENGTH = 8  # bytes of it
_ARRAY = 1  # of msgpack's extensions
_AHEAD = 3  # files for each process that may be heard before their turn
_HELD_BYTES = 64 << 20  # of rows that wait for their turn
_STEP = 0.01  # of a file: progress is told no more often


class FilesAsked(msgspec.Struct, frozen=True):
    """Files to hear side by side."""

    files: list[FileAsked]


class Ready(msgspec.Struct, tag=True):
    """The engine is made. fault: why it is not, with its exit code."""

    packs: list[PackLabels]
    side_by_side: int = 1
    fault: str = ""
    exit_code: int = 1


class Advanced(msgspec.Struct, tag=True):
    """How much of a file has been heard, 0 to 1. at: its place among those that were asked for."""

    at: int
    share: float


class Warned(msgspec.Struct, tag=True):
    """Something of a file is damaged or hidden. at: its place among those that were asked for."""

    at: int
    said: str


class RowPiece(msgspec.Struct, tag=True):
    """Rows of the only file, a piece."""

    piece: FileScores


class Done(msgspec.Struct, tag=True):
    """What came of a file. at: its place among those that were asked for."""

    at: int
    result: Heard | None = None
    failed: Failed | None = None


class WorkerError(StreamclfError):
    """A process could not make its engine; says why, with the exit code that this has."""

    def __init__(self, said: str, exit_code: int) -> None:
        super().__init__(said)
        self.exit_code = exit_code


_Answer = Ready | Advanced | Warned | RowPiece | Done
_Came = FileScores | Heard | Failed
"""Pieces of rows of a file, then the last, what came of it."""


def _plain(value: Any) -> Any:
    """An array, which is one of probabilities, as its width and its values."""
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        width = value.shape[1] if value.ndim == 2 else 0
        return msgspec.msgpack.Ext(_ARRAY, width.to_bytes(_LENGTH, "big") + value.tobytes())
    raise NotImplementedError(type(value))


def _array(_: int, data: memoryview) -> Any:
    width = int.from_bytes(data[:_LENGTH], "big")
    values = np.frombuffer(bytearray(data[_LENGTH:]), dtype=np.float32)
    return values.reshape(-1, width) if width else values


def _send(pipe: IO[bytes], message: msgspec.Struct) -> None:
    data = msgspec.msgpack.encode(message, enc_hook=_plain)
    pipe.write(len(data).to_bytes(_LENGTH, "big") + data)
    pipe.flush()


def _receive(pipe: IO[bytes], kind: Any) -> Any:
    """None at its end."""
    head = _exactly(pipe, _LENGTH)
    data = head and _exactly(pipe, int.from_bytes(head, "big"))
    return msgspec.msgpack.decode(data, type=kind, ext_hook=_array) if data else None


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    """So many bytes, none where it has ended before."""
    parts = []
    while count:
        part = pipe.read(count)
        if not part:
            return b""
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def work() -> None:
    """What a process does: a `FileWish`, then files, on standard input; answers on what was standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asked ends this process
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints writes into no message
    wish = _receive(sys.stdin.buffer, FileWish)
    if wish is None:
        return
    try:
        ear = FileEar(wish)
    except StreamclfError as fault:
        _send(out, Ready([], fault=str(fault), exit_code=fault.exit_code))
        return
    _send(out, Ready(ear.packs, ear.side_by_side))
    while (asked := _receive(sys.stdin.buffer, FilesAsked)) is not None:
        _hear(ear, asked.files, out)


def _hear(ear: FileEar, files: Sequence[FileAsked], out: IO[bytes]) -> None:
    told = [0.0] * len(files)

    def advance(at: int, share: float) -> None:
        if share >= told[at] + _STEP:
            told[at] = share
            _send(out, Advanced(at, share))

    heard = ear.hear(
        files,
        tell=lambda at, said: _send(out, Warned(at, said)),
        advance=advance,
        rows=lambda piece: _send(out, RowPiece(piece)),
    )
    for at, result in heard:
        _send(out, Done(at, failed=result) if isinstance(result, Failed) else Done(at, result))


class _Process:
    """One of them.

    asked: the files that it hears, by their places among all. left: those of them that nothing came of yet. heeded:
    whether its answers are read.
    """

    def __init__(self, wish: FileWish) -> None:
        # the same modules as here, wherever they were found; -P: none of the working folder
        first = f"import sys; sys.path[:] = {sys.path!r}; import streamclf.blas"
        script = f"{first}; from streamclf.commands.workers import work; work()"
        self._it = subprocess.Popen(
            [sys.executable, "-P", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,  # what is read ahead would not be seen by the selector
            start_new_session=True,  # Ctrl-C is for whoever asked
        )
        assert self._it.stdin is not None
        assert self._it.stdout is not None
        self._in, self.out = self._it.stdin, self._it.stdout
        self.pid = self._it.pid
        self.asked: list[int] = []
        self.left: set[int] = set()
        self.heeded = False
        self.packs: list[PackLabels] | None = None
        self.side_by_side = 1
        self.send(wish)

    def send(self, message: msgspec.Struct) -> None:
        with suppress(BrokenPipeError):  # it has ended; so says its other pipe
            _send(self._in, message)

    def answer(self) -> _Answer | None:
        """The next one, None where it has ended."""
        said: _Answer | None = _receive(self.out, _Answer)
        return said

    def ended(self) -> str:
        """How, in words."""
        code = self._it.wait()
        if -code == signal.SIGKILL:
            return "was killed, which happens where memory runs out"
        return f"crashed ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"

    def end(self) -> None:
        self._it.kill()
        for pipe in (self._in, self.out):
            with suppress(BrokenPipeError):
                pipe.close()
        self._it.wait()


class Workers:
    """Use as a context manager: `packs`, then `heard` once.

    tell: takes what is to be warned of. advance: takes the place of a file and how much of it has been heard.
    """

    def __init__(
        self,
        wish: FileWish,
        count: int,
        *,
        tell: Callable[[str], None],
        advance: Callable[[int, float], None],
    ) -> None:
        self._wish = wish
        self._tell = tell
        self._advance = advance
        self._selector = selectors.DefaultSelector()
        self._processes: list[_Process] = []
        self._waiting: dict[int, deque[_Came]] = {}  # bound: `_AHEAD` times what processes hear, `_HELD_BYTES` of rows
        self._alone: deque[int] = deque()  # files that one of several was lost with; bound: what processes hear
        self._following = 0  # the file that nobody was asked to hear yet
        self._said: set[str] = set()  # what was warned of; bound: the files
        self.held_bytes = 0
        """Of rows that wait for their turn."""
        for _ in range(count):
            self._begin()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.end()
        self._selector.close()

    @property
    def packs(self) -> list[PackLabels]:
        """Those that hear. Waits for the first process. Raises `WorkerError`."""
        first = self._processes[0]
        while first.packs is None:
            self._take(first, [])
        return first.packs

    @property
    def pids(self) -> list[int]:
        """Of the processes."""
        return [process.pid for process in self._processes]

    def heard(self, files: Sequence[FileAsked], *, mixed: bool = False) -> Iterator[_Came]:
        """What came of the files, in their order. mixed: rows come at once, whoever's turn it is."""
        given = 0
        self._following = 0
        while given < len(files):
            while self._waiting.get(given):
                one = self._next(given)
                yield one
                if not isinstance(one, FileScores):
                    del self._waiting[given]
                    given += 1
            for at in sorted(self._waiting) if mixed else ():
                while isinstance(self._waiting[at][0] if self._waiting[at] else None, FileScores):
                    yield self._next(at)
            for process in self._processes:
                if process.packs is not None and not process.left:
                    self._ask(process, files, given)
            if given < len(files):
                for process in self._processes:
                    room = self.held_bytes < _HELD_BYTES or not process.left
                    self._heed(process, room or given in process.left)
                for key, _ in self._selector.select():
                    self._take(key.data, files)

    def _ask(self, process: _Process, files: Sequence[FileAsked], given: int) -> None:
        """Have it hear what comes next: so much that all processes have work to the end."""
        if self._alone:
            some = [self._alone.popleft()]
        else:
            first, most = self._following, process.side_by_side
            share = -(-(len(files) - first) // len(self._processes))
            end = min(first + min(most, share), given + _AHEAD * most * len(self._processes))
            some = list(range(first, end))
            self._following = max(first, end)
        if some:
            process.asked, process.left = some, set(some)
            process.send(FilesAsked([files[at] for at in some]))

    def _next(self, at: int) -> _Came:
        one = self._waiting[at].popleft()
        if isinstance(one, FileScores):
            self.held_bytes -= one.rows.nbytes
        return one

    def _heed(self, process: _Process, wanted: bool) -> None:
        if wanted and not process.heeded:
            self._selector.register(process.out, selectors.EVENT_READ, process)
        elif process.heeded and not wanted:
            self._selector.unregister(process.out)
        process.heeded = wanted

    def _begin(self) -> None:
        process = _Process(self._wish)
        self._processes.append(process)
        self._heed(process, True)

    def _take(self, process: _Process, files: Sequence[FileAsked]) -> None:
        """One answer of it."""
        answer = process.answer()
        match answer:
            case Ready():
                if answer.fault:
                    raise WorkerError(answer.fault, answer.exit_code)
                process.packs, process.side_by_side = answer.packs, answer.side_by_side
            case Advanced():
                self._advance(process.asked[answer.at], answer.share)
            case Warned():
                if answer.said not in self._said:  # a file that is heard again says it again
                    self._said.add(answer.said)
                    self._tell(answer.said)
            case RowPiece():
                self.held_bytes += answer.piece.rows.nbytes
                self._came(process.asked[0], answer.piece)
            case Done():
                result = answer.result or answer.failed
                assert result is not None
                self._came(process.asked[answer.at], result)
                process.left.discard(process.asked[answer.at])
            case None:
                self._lose(process, files)

    def _came(self, at: int, one: _Came) -> None:
        self._waiting.setdefault(at, deque()).append(one)

    def _lose(self, process: _Process, files: Sequence[FileAsked]) -> None:
        how = process.ended()
        self._heed(process, False)
        self._processes.remove(process)
        process.end()
        if process.packs is None or not process.left:
            raise StreamclfError(f"a process that was to hear files {how}; try with --jobs 1")
        if len(process.left) > 1:
            self._alone += sorted(process.left)
        else:
            (at,) = process.left
            path = spelt(files[at].path)
            self._came(at, Failed(path, f"{path} cannot be heard: the process that heard it {how}"))
        self._begin()
