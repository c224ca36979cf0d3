"""What audio inputs there are now, found out by another process: PortAudio lists them only as it starts.

In this process a new list would end every open stream. So a child of a moment lists them, and who asked looks now and
then whether it is done; a sound server that is frozen holds up the child alone, which is killed then.
"""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress

from streamclf.audio.sources.portaudio import DeviceInfo

LIMIT_S = 5.0
_LIST = """
import json, os, sounddevice
apis, default = sounddevice.query_hostapis(), sounddevice.default.device[0]
print(json.dumps([
    (d["name"], apis[d["hostapi"]]["name"], int(d["default_samplerate"]), d["max_input_channels"], i == default)
    for i, d in enumerate(sounddevice.query_devices()) if d["max_input_channels"] > 0
]), flush=True)
os._exit(0)
"""


class Lister:
    """One look at a time. `ask`, then `answer` until it gives one."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._until_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether an answer is due."""
        return self._child is not None

    def ask(self) -> bool:
        """Begin to look. Whether that is possible here."""
        if self._child is not None:
            return True
        env = {name: value for name, value in os.environ.items() if not name.startswith("STREAMCLF_")}
        with suppress(OSError, ValueError):
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-c", _LIST],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._until_s = time.monotonic() + LIMIT_S
        return self._child is not None

    def answer(self) -> list[DeviceInfo] | None:
        """The inputs; none where the child failed, or was killed because it hung. None while it is at work."""
        child = self._child
        if child is None:
            return []
        if child.poll() is None:
            if time.monotonic() < self._until_s:
                return None
            self.close()
            return []
        self._child = None
        assert child.stdout is not None
        with child.stdout as told:  # the names of some hundred devices fit into a pipe, so it never waits for us
            try:
                return [DeviceInfo(*fields) for fields in json.loads(told.read() or b"[]")]
            except (ValueError, TypeError):
                return []

    def close(self) -> None:
        """Look no more."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()
