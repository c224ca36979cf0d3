"""A file with a line of JSON for each alert."""

import asyncio
import os
from pathlib import Path

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.body import json_of
from streamclf.alerts.sinks.config import SinkConfig, Text
from streamclf.alerts.sinks.kind import SinkKind
from streamclf.alerts.sinks.sink import Sink, Temporary
from streamclf.errors import ConfigError


class NdjsonConfig(SinkConfig, tag="ndjson", frozen=True):
    """A line of JSON for each alert at the end of a file."""

    path: Text
    """The file; it is made where it is not there."""


class Ndjson(Sink):
    """Opened anew for each line, so that it may be moved away at any time."""

    def __init__(self, config: NdjsonConfig) -> None:
        self._path = Path(config.path).expanduser()

    async def send(self, alert: Alert) -> None:
        """See `Sink`. The line is on the disk on return."""
        try:
            await asyncio.to_thread(self._append, json_of(alert) + b"\n")
        except OSError as fault:
            raise Temporary(f"{self._path} cannot be written: {fault.strerror}") from None

    def _append(self, line: bytes) -> None:
        # one write, so that a line is whole or absent also beside another writer
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            written = os.write(handle, line)
            if written < len(line):
                os.ftruncate(handle, os.fstat(handle).st_size - written)
                raise OSError(28, "no space left on device")
            os.fsync(handle)
        finally:
            os.close(handle)


async def _check(config: NdjsonConfig) -> None:
    path = Path(config.path).expanduser()
    if not path.parent.is_dir():
        raise ConfigError(f"the folder {path.absolute().parent} is not there; make it, or name another path")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"{path} cannot be written; name another path, or allow it")


KIND = SinkKind(
    NdjsonConfig,
    lambda config, context: Ndjson(config),
    does="writes a line of JSON to a file",
    also=("json", "jsonl", "file", "log", "csv"),
    examples={"path": '"alerts.ndjson"'},
    check=_check,
)
