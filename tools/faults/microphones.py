"""Private PulseAudios with microphones that can be unplugged, each fed by a thread of ours through a pipe."""

import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tools.faults.material import phrase
from tools.faults.registry import NotHereError
from tools.lab import soundserver

RATE = 48_000
Sound = Callable[[int], NDArray[np.int16]]
"""From the number of a first sample to a block of 10 ms."""
_BLOCK = 480
_READY_S = 20.0


class PulseLab:
    """A sound server for each name: another one's stream must not be moved to a microphone that is left.

    ALSA lists all names, plugged in or not; `env` is what a daemon needs to see them.
    """

    def __init__(self, folder: Path, *names: str) -> None:
        if why := soundserver.missing(pulse=True):
            raise NotHereError(why)
        self._servers = {name: _SoundServer(folder / name) for name in names}
        (folder / "asound.conf").write_text(
            "</usr/share/alsa/alsa.conf>\n"
            + "".join(
                f'pcm.{name} {{ type pulse server "{server.address}" device "{name}" '
                f'hint {{ show on description "{name}" }} }}\n'
                for name, server in self._servers.items()
            )
        )
        first = next(iter(self._servers.values())).address
        self.env = {"ALSA_CONFIG_PATH": str(folder / "asound.conf"), "PULSE_SERVER": first}
        self.start()

    def start(self) -> None:
        """The sound servers, without microphones."""
        for server in self._servers.values():
            server.start()

    def plug(self, name: str, sound: Sound | None = None, *, faster: int = 1) -> None:
        """A microphone of that name that hears `sound`, or an event each second. faster: times the usual rate."""
        self._servers[name].plug(name, sound or talking(), faster)

    def unplug(self, name: str) -> None:
        """Gone."""
        self._servers[name].unplug(name)

    def sounds(self, name: str, sound: Sound) -> None:
        """From now on it hears this."""
        microphone = self._servers[name].microphone
        assert microphone is not None
        microphone.sound = sound

    def talks(self, name: str) -> None:
        """It hears the usual sound again."""
        self.sounds(name, talking())

    def freeze(self) -> None:
        """SIGSTOP of the servers."""
        for server in self._servers.values():
            server.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        for server in self._servers.values():
            server.send(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL of the servers; their microphones are gone."""
        for server in self._servers.values():
            server.kill()

    def close(self) -> None:
        """End all."""
        self.kill()


class VirtualMic:
    """Writes blocks of 10 ms into a pipe at real time."""

    def __init__(self, fifo: Path, sound: Sound, faster: int) -> None:
        self.sound = sound
        self._fd = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        fcntl.fcntl(self._fd, fcntl.F_SETPIPE_SZ, 8192 * faster)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="virtual microphone")
        self._thread.start()

    def close(self) -> None:
        """No more."""
        self._ending.set()
        self._thread.join(2)
        os.close(self._fd)

    def _run(self) -> None:
        begun_s, at = time.monotonic(), 0
        while not self._ending.wait(max(0.0, begun_s + at / RATE - time.monotonic())):
            with suppress(BlockingIOError):  # a frozen server takes nothing: it is lost
                os.write(self._fd, self.sound(at).tobytes())
            at += _BLOCK


class _SoundServer:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._socket = folder / "socket"
        self.address = f"unix:{self._socket}"
        self._environ = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder),
                         "HOME": str(folder)}  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.microphone: VirtualMic | None = None

    def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"),
                    *("--disable-shm=yes", "-L", f"module-native-protocol-unix auth-anonymous=1 socket={self._socket}"),
                ],
                env=self._environ,
                stderr=log,
            )
        deadline_s = time.monotonic() + _READY_S
        while self._pactl("info").returncode:
            if time.monotonic() > deadline_s:
                raise NotHereError("PulseAudio did not start")
            time.sleep(0.05)

    def plug(self, name: str, sound: Sound, faster: int) -> None:
        fifo = self._folder / f"pipe-{time.monotonic_ns()}"
        self._pactl(
            "load-module", "module-pipe-source", f"source_name={name}", f"file={fifo}", "format=s16le",
            f"rate={RATE * faster}", "channels=1", check=True,
        )  # fmt: skip
        self.microphone = VirtualMic(fifo, lambda at: sound(at).repeat(faster), faster)

    def unplug(self, name: str) -> None:
        listed = self._pactl("list", "short", "modules").stdout.decode()
        module = next(line.split()[0] for line in listed.splitlines() if f"source_name={name} " in line)
        self._pactl("unload-module", module, check=True)
        self._silence()

    def send(self, what: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(what)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._silence()

    def _silence(self) -> None:
        microphone, self.microphone = self.microphone, None
        if microphone is not None:
            microphone.close()

    def _pactl(self, *words: str, check: bool = False) -> "subprocess.CompletedProcess[bytes]":
        env = {**self._environ, "PULSE_SERVER": self.address}
        return subprocess.run(["pactl", *words], env=env, capture_output=True, check=check, timeout=_READY_S)


def talking() -> Sound:
    """An event each second."""
    samples = np.tile((phrase(RATE) * 20_000).astype(np.int16), 2)
    return lambda at: samples[at % RATE : at % RATE + _BLOCK]
