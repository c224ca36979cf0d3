"""The daemon's log: our own lines, warnings of libraries, one line each, and no secret of a URL in any of them.

What a library says below a warning is left out: httpx tells the whole address of every request. For people a line is
a time and a text, for programs a JSON object. Nothing of ours waits for whoever reads standard error: all that Python
writes there goes through one bounded queue (outlet.py), tracebacks and the sentence that ends the program as well.
"""

import io
import logging
import os
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Literal, TextIO

import msgspec

from streamclf import metrics
from streamclf.daemon.outlet import FLUSH_LIMIT_S, Outlet
from streamclf.daemon.repeats import Repeats, Said, Untold
from streamclf.text import hide_secrets, plain

OURS = "streamclf"
Form = Literal["text", "json"]

_RAW = "stderr"
_TEXT = "%(asctime)s %(message)s"


class JsonLine(msgspec.Struct, omit_defaults=True):
    """A line of the log as JSON. time: UTC with milliseconds. exception: its traceback, where there is one."""

    time: str
    level: str
    logger: str
    message: str
    exception: str = ""


def to_stderr(*, quiet: bool, form: Literal["auto", "text", "json"] = "auto") -> None:
    """Log to standard error from now on. quiet: only warnings of ours as well. form: of lines, see `form_for`."""
    root = logging.getLogger()
    if sys.stderr is None:  # it was closed before the program began
        root.addHandler(logging.NullHandler())
    elif not root.handlers:
        root.addHandler(_handler(sys.stderr, form_for(sys.stderr) if form == "auto" else form))
        root.setLevel(logging.WARNING)
    logging.getLogger(OURS).setLevel(logging.WARNING if quiet else logging.INFO)
    logging.getLogger("websockets").setLevel(logging.ERROR)


def form_for(stream: TextIO) -> Form:
    """Text on a terminal, for a person, and in systemd's journal, which has times and levels of its own; else JSON."""
    if stream.isatty():
        return "text"
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return "text"
    return "text" if os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}" else "json"


class TextFormatter(logging.Formatter):
    """Lines that steer no terminal. Of a library's URLs the path is hidden, too: it is the secret of many a webhook."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Not of the traceback."""
        return _harmless(super().formatMessage(record), record.name)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """The traceback, with its line breaks."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(plain(hide_secrets(line, paths=False)) for line in lines)


class JsonFormatter(TextFormatter):
    """A JSON object a line. What is hidden in the text is hidden here."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole line."""
        whole, ms = divmod(int(record.created * 1000), 1000)
        line = JsonLine(
            time=f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{ms:03}Z",
            level=record.levelname,
            logger=record.name,
            message=_harmless(record.getMessage(), record.name),
            exception=self.formatException(record.exc_info) if record.exc_info else "",
        )
        return msgspec.json.encode(line).decode()


class QueuedHandler(logging.Handler):
    """Hands lines to an outlet, floods of equal ones counted. descriptor: of the file that they go to."""

    def __init__(self, descriptor: int, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._repeats = Repeats()
        self.outlet = Outlet(descriptor, missed=self._missed, idle=self._report)

    def emit(self, record: logging.LogRecord) -> None:
        """Never waits for the reader."""
        try:
            now_s = time.monotonic()
            self._tell(self._repeats.ended(now_s))
            said = Said(record.name, record.levelno, str(record.msg), record.getMessage())
            if not self._repeats.admit(said, now_s):
                metrics.LOG_DROPPED.labels("repeated").inc()
            elif record.name == _RAW and not isinstance(self.formatter, JsonFormatter):
                self.outlet.put(_bytes(_harmless(said.text, _RAW)))
            else:
                self.outlet.put(_bytes(self.format(record)))
        except Exception:
            self.handleError(record)

    def raw(self, line: str) -> None:
        """A line that somebody wrote to standard error; in text it stays as it is."""
        self.handle(_record(_RAW, logging.ERROR, line))

    def flush(self) -> None:
        """Wait for the reader a short while, and no longer."""
        self.outlet.flush(FLUSH_LIMIT_S)

    def close(self) -> None:
        """Tell what was counted so far; standard error is Python's own again."""
        self.acquire()
        try:
            self._tell(self._repeats.rest())
        finally:
            self.release()
        self.flush()
        if isinstance(sys.stderr, _QueuedStderr):
            sys.stderr = sys.stderr.before
        super().close()

    def _report(self) -> None:
        # on the writing thread, which whoever holds the lock may be waiting for
        if self.lock is not None and self.lock.acquire(blocking=False):
            try:
                self._tell(self._repeats.ended(time.monotonic()))
            finally:
                self.lock.release()

    def _tell(self, found: list[Untold]) -> None:
        for one in found:
            self.outlet.put(_bytes(self.format(_record(one.said.logger, one.said.level, one.sentence()))))

    def _missed(self, count: int) -> bytes:
        text = f"{count} lines of the log were lost: standard error did not take them"
        return _bytes(self.format(_record(OURS, logging.WARNING, text)))


class _QueuedStderr(io.TextIOBase):
    """What stands for `sys.stderr`: whole lines go where the log goes. before: the real one."""

    encoding = "utf-8"
    errors = "backslashreplace"

    def __init__(self, before: TextIO, handler: QueuedHandler) -> None:
        self.before = before
        self._handler = handler
        self._lock = threading.Lock()
        self._begun = ""

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._handler.raw(line)
        return len(text)

    def flush(self) -> None:
        """A line that has only begun is written as it is. What waits is not waited for."""
        with self._lock:
            line, self._begun = self._begun, ""
        if line:
            self._handler.raw(line)

    def isatty(self) -> bool:
        return self.before.isatty()

    def fileno(self) -> int:
        return self.before.fileno()

    def writable(self) -> bool:
        return True


def _handler(stream: TextIO, form: Form) -> logging.Handler:
    formatter = JsonFormatter() if form == "json" else TextFormatter(_TEXT)
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # not a file: somebody who calls us from within Python collects it
        handler: logging.Handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        return handler
    with suppress(OSError, ValueError):
        stream.flush()
    queued = QueuedHandler(descriptor, formatter)
    sys.stderr = _QueuedStderr(stream, queued)
    return queued


def _harmless(text: str, logger: str) -> str:
    return plain(hide_secrets(text, paths=logger.partition(".")[0] in (OURS, _RAW)))


def _record(logger: str, level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord(logger, level, "", 0, text, None, None)


def _bytes(line: str) -> bytes:
    return (line + "\n").encode(errors="backslashreplace")
