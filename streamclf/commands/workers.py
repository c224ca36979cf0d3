"""Several files in as many processes as cores; what comes of them is given in the order of the files.

Each process has an engine of its own and takes one file at a time, so a file that crashes a library takes one process
with it, is named, and another process takes its place. Messages are msgpack behind their length, on pipes. At most a
few results wait for their turn, and some megabytes of rows: then a process whose turn it is not stands still. A process
writes nothing on standard error: what libraries say of damaged files is of no use.
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

from streamclf.commands.batch import (
    Advance,
    Failed,
    FileEar,
    FileWish,
    Heard,
    PackLabels,
    ResultsError,
    TakeRows,
    Tell,
)
from streamclf.commands.formats import FileScores
from streamclf.errors import StreamclfError
from streamclf.text import spelt

_LENGTH = 8  # bytes of it
_ARRAY = 1  # of msgpack's extensions
_AHEAD = 3  # files for each process that may be heard before their turn
_HELD_BYTES = 64 << 20  # of rows that wait for their turn
_STEP = 0.01  # of a file: progress is told no more often


class FileAsked(msgspec.Struct, frozen=True):
    """A file to hear, by its path as the system has it, which need not be UTF-8. name: of its stream."""

    place: bytes
    name: str

    @property
    def path(self) -> str:
        """For the system."""
        return os.fsdecode(self.place)


class Ready(msgspec.Struct, tag=True):
    """The engine is made. fault: why it is not, with its exit code."""

    packs: list[PackLabels]
    fault: str = ""
    exit_code: int = 1


class Advanced(msgspec.Struct, tag=True):
    """How much of the file has been heard, 0 to 1."""

    share: float


class Warned(msgspec.Struct, tag=True):
    """Something of the file is damaged or hidden."""

    said: str


class RowPiece(msgspec.Struct, tag=True):
    """Rows of the file, a piece."""

    piece: FileScores


class Done(msgspec.Struct, tag=True):
    """What came of the file."""

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
        _send(out, Ready([], str(fault), fault.exit_code))
        return
    _send(out, Ready(ear.packs))
    while (asked := _receive(sys.stdin.buffer, FileAsked)) is not None:
        _send(out, _answer(ear, asked, out))


def _answer(ear: FileEar, asked: FileAsked, out: IO[bytes]) -> Done:
    told = 0.0

    def advance(share: float) -> None:
        nonlocal told
        if share >= told + _STEP:
            told = share
            _send(out, Advanced(share))

    result = attempt(
        ear,
        asked.path,
        asked.name,
        tell=lambda said: _send(out, Warned(said)),
        advance=advance,
        rows=lambda piece: _send(out, RowPiece(piece)),
    )
    return Done(failed=result) if isinstance(result, Failed) else Done(result)


def attempt(ear: FileEar, path: str, name: str, *, tell: Tell, advance: Advance, rows: TakeRows) -> Heard | Failed:
    """Hear one file, whatever is wrong with it. Rows that were made before it broke have been given on."""
    try:
        return ear.hear(path, name, tell=tell, advance=advance, rows=rows)
    except (BrokenPipeError, KeyboardInterrupt, ResultsError):
        raise
    except StreamclfError as fault:
        return Failed(spelt(path), str(fault))
    except Exception as fault:  # a fault in streamclf or in a library; it stays with its file
        return Failed(spelt(path), f"{spelt(path)} cannot be heard: {type(fault).__name__}: {fault}")


class _Process:
    """One of them.

    asked: the file that it hears, by its place among all, None for none. heeded: whether its answers are read.
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
        self.asked: int | None = None
        self.heeded = False
        self.packs: list[PackLabels] | None = None
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
        self._waiting: dict[int, deque[_Came]] = {}  # bound: `_AHEAD` files for each process, `_HELD_BYTES` of rows
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
        given = following = 0
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
                ahead = given + _AHEAD * len(self._processes)
                if process.packs is not None and process.asked is None and following < min(len(files), ahead):
                    process.asked = following
                    process.send(files[following])
                    following += 1
            if given < len(files):
                for process in self._processes:
                    self._heed(process, self.held_bytes < _HELD_BYTES or process.asked in (given, None))
                for key, _ in self._selector.select():
                    self._take(key.data, files)

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
                process.packs = answer.packs
            case Advanced():
                if process.asked is not None:
                    self._advance(process.asked, answer.share)
            case Warned():
                self._tell(answer.said)
            case RowPiece():
                self.held_bytes += answer.piece.rows.nbytes
                self._came(process, answer.piece)
            case Done():
                result = answer.result or answer.failed
                assert result is not None
                self._came(process, result)
                process.asked = None
            case None:
                self._lose(process, files)

    def _came(self, process: _Process, one: _Came) -> None:
        assert process.asked is not None
        self._waiting.setdefault(process.asked, deque()).append(one)

    def _lose(self, process: _Process, files: Sequence[FileAsked]) -> None:
        how = process.ended()
        self._heed(process, False)
        self._processes.remove(process)
        process.end()
        if process.packs is None or process.asked is None:
            raise StreamclfError(f"a process that was to hear files {how}; try with --jobs 1")
        path = spelt(files[process.asked].path)
        self._came(process, Failed(path, f"{path} cannot be heard: the process that heard it {how}"))
        self._begin()
