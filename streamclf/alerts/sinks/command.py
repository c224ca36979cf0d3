"""A program of the user's, run for each alert with its JSON on standard input."""

import asyncio
import os
import signal
from contextlib import suppress

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.body import json_of
from streamclf.alerts.sinks.configs import CommandConfig
from streamclf.alerts.sinks.sink import Temporary

_TAIL = 300


class Command:
    """argv and nothing else: no shell, no part of an alert among the arguments."""

    def __init__(self, config: CommandConfig) -> None:
        self._config = config

    async def send(self, alert: Alert) -> None:
        """See `Sink`. Exit status 0 means that it is done."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._config.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as fault:
            raise Temporary(f"{self._config.argv[0]} cannot be started: {fault}") from None
        try:
            async with asyncio.timeout(self._config.timeout_s):
                _, told = await process.communicate(json_of(alert) + b"\n")
        except TimeoutError:
            raise Temporary(f"{self._config.argv[0]} was still running after {self._config.timeout_s:g} s") from None
        finally:
            # what it has started goes with it, whether it ended, hung, or the daemon is stopping
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if process.returncode:
            said = told.decode("utf-8", "replace").strip()[-_TAIL:]
            raise Temporary(f"{self._config.argv[0]} ended with {process.returncode}{f': {said}' if said else ''}")

    async def close(self) -> None:
        """Nothing is held."""
