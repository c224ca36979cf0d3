"""Microphones without a sound card, for tests of the real capture path.

Two of them, both context managers that yield a `Microphone`; `env` is what the process under test needs in its
environment before it imports sounddevice, `source` what to give to `--source` there.

* `fifo_microphone`: ALSA's `file` plugin reads a FIFO. No daemon, real time, every sample arrives as it was fed.
* `pulse_microphone`: a private PulseAudio with a null sink, whose monitor is the default source. A real life cycle:
  it can be unplugged, plugged in again, frozen and thawed.
"""

import ctypes.util
import fcntl
import os
import queue
import shutil
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

F32 = npt.NDArray[np.float32]

_PULSE_PIECE_S = 0.005
# ALSA's file plugin takes a short read for a whole one: the FIFO gets whole blocks of the capture, each in one write
_FIFO_PIECE_S = 0.020
# what a device source opens of a virtual device; both carry the same, and the mean of both is exactly that
FIFO_CHANNELS = 2
_READY_S = 30.0
_CATCH_UP_S = 0.5


def missing(*, pulse: bool) -> str:
    """Why these microphones cannot work here, "" where they can."""
    if ctypes.util.find_library("portaudio") is None:
        return "libportaudio2 is not installed"
    if not Path("/usr/share/alsa/alsa.conf").exists():
        return "ALSA's configuration (libasound2-data) is not installed"
    absent = [tool for tool in ("pulseaudio", "pactl", "pacat") if shutil.which(tool) is None]
    if pulse and absent:
        return f"{', '.join(absent)} not installed (packages pulseaudio, pulseaudio-utils, libasound2-plugins)"
    return ""


@dataclass
class _Piece:
    samples: F32
    begun_ns: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


class Microphone:
    """What a test holds. Silence streams whenever nothing is fed, so that the device under test keeps running."""

    def __init__(self, *, env: dict[str, str], source: str, rate: int, silence: bool, piece_s: float) -> None:
        # silence is what it gives when nothing is played, and no fault of it
        self.env = {"STREAMCLF_HEALTH_MUTED_S": "0"} | env
        self.source = source
        self.rate = rate
        self._silence = silence
        self._piece_s = piece_s
        self._queue: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._stream, name="microphone", daemon=True)

    def play(self, path: Path) -> int:
        """Play a recording; returns when its first sample went in, and that wall time in ns. Resampled if need be."""
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        mono = samples.mean(axis=1)
        return self.feed(mono if rate == self.rate else soxr.resample(mono, rate, self.rate).astype(np.float32))

    def feed(self, samples: F32, *, wait: bool = False) -> int:
        """Play (n, ) float32 at `rate`; returns the wall time in ns when the first one went in.

        wait: return only when the last one went in.
        """
        piece = _Piece(np.ascontiguousarray(samples, dtype=np.float32))
        self._queue.put(piece)
        if not piece.begun.wait(_READY_S):
            raise RuntimeError("nobody takes what is played")
        if wait and not piece.done.wait(_READY_S + len(samples) / self.rate):
            raise RuntimeError("nobody takes the rest of what is played")
        return piece.begun_ns

    def unplug(self) -> None:
        """Take the device away."""
        raise NotImplementedError

    def plug(self) -> None:
        """Put the device back."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Stop delivering, without a word to the client."""
        raise NotImplementedError

    def thaw(self) -> None:
        """Go on."""
        raise NotImplementedError

    def _send(self, samples: F32) -> bool:
        """Hand samples on at real time; False where nobody takes them now."""
        raise NotImplementedError

    def _late_ns(self) -> int:
        """How much later than its own clock demands the last piece was sent."""
        return 0

    def _stream(self) -> None:
        size = int(self.rate * self._piece_s)
        nothing = np.zeros(size, dtype=np.float32)
        while not self._closing.is_set():
            try:
                piece = self._queue.get(block=not self._silence, timeout=0.05)
            except queue.Empty:
                if self._silence and not self._send(nothing):
                    self._closing.wait(self._piece_s)
                continue
            self._silence = True
            at = 0
            while at < len(piece.samples) and not self._closing.is_set():
                part = piece.samples[at : at + size]
                part = np.pad(part, (0, size - len(part)))
                if not self._send(part):
                    self._closing.wait(self._piece_s)
                    continue
                if not at:
                    piece.begun_ns = time.time_ns() - self._late_ns()
                    piece.begun.set()
                at += len(part)
            piece.done.set()


class FifoMicrophone(Microphone):
    """A FIFO that ALSA reads in real time. fd: of the FIFO, open for reading and writing."""

    def __init__(self, folder: Path, rate: int, silence: bool) -> None:
        fifo, config = folder / "microphone.fifo", folder / "asound.conf"
        os.mkfifo(fifo)
        config.write_text(
            "</usr/share/alsa/alsa.conf>\n"
            f'pcm.fifomic {{ type file slave.pcm "null" file /dev/null infile "{fifo}" format raw }}\n'
        )
        super().__init__(
            env={"ALSA_CONFIG_PATH": str(config)},
            source=f"device:fifomic#rate={rate}",
            rate=rate,
            silence=silence,
            piece_s=_FIFO_PIECE_S,
        )
        # for reading too: an open for writing alone would wait for a reader, and PortAudio's start for a writer
        self.fd = os.open(fifo, os.O_RDWR)
        self._flowing = threading.Event()
        self._flowing.set()
        self._next_s = 0.0

    def freeze(self) -> None:
        """Deliver nothing until `thaw`."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Go on from now."""
        self._next_s = time.monotonic()
        self._flowing.set()

    def _late_ns(self) -> int:
        due_s = self._next_s - self._piece_s
        return max(0, int((time.monotonic() - due_s) * 1e9))

    def _send(self, samples: F32) -> bool:
        waiting = int.from_bytes(fcntl.ioctl(self.fd, termios.FIONREAD, b"\0\0\0\0"), "little")
        # what nobody reads must not wait in the FIFO: it would come late, and all at once
        if not self._flowing.is_set() or waiting > 2 * FIFO_CHANNELS * samples.nbytes:
            return False
        now_s = time.monotonic()
        # a busy machine's delays are made up for, or the microphone's clock would be slow; a long pause is not
        self._next_s = max(self._next_s, now_s - _CATCH_UP_S)
        self._closing.wait(max(0.0, self._next_s - now_s))
        os.write(self.fd, np.repeat(samples, FIFO_CHANNELS).tobytes())
        self._next_s += len(samples) / self.rate
        return True


class _PulseMicrophone(Microphone):
    def __init__(self, folder: Path, rate: int, latency_ms: int, prompt: bool) -> None:
        self._prompt = prompt
        self._socket = folder / "pulse.socket"
        self._latency_ms = latency_ms
        server = f"unix:{self._socket}"
        env = {"PULSE_SERVER": server, "PULSE_SOURCE": "vmic.monitor", "PULSE_SINK": "vmic"}
        super().__init__(env=env, source="device:pulse", rate=rate, silence=True, piece_s=_PULSE_PIECE_S)
        self._environ = {**os.environ, **env, "XDG_RUNTIME_DIR": str(folder), "PULSE_RUNTIME_PATH": str(folder)}
        self._log = (folder / "pulseaudio.log").open("wb")
        self._player: subprocess.Popen[bytes] | None = None
        self._server = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no"),
                *("--exit-idle-time=-1", "--disable-shm=yes"),
                *("-L", f"module-native-protocol-unix auth-anonymous=1 socket={self._socket}", "-L", self._sink()),
            ],
            env={key: value for key, value in self._environ.items() if key != "PULSE_SERVER"} | {"HOME": str(folder)},
            stderr=self._log,
        )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        while self._pactl("info").returncode:
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PulseAudio did not start; see {self._log.name}")
            time.sleep(0.05)
        self._start_player()

    def unplug(self) -> None:
        self._stop_player()
        self._pactl("unload-module", "module-null-sink", check=True)

    def plug(self) -> None:
        self._pactl("load-module", *self._sink().split(), check=True)
        self._start_player()

    def freeze(self) -> None:
        os.kill(self._server.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._server.pid, signal.SIGCONT)

    def close(self) -> None:
        self.thaw()
        self._stop_player()
        self._server.terminate()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._log.close()

    def _sink(self) -> str:
        prompt = " norewinds=1" if self._prompt else ""
        return f"module-null-sink sink_name=vmic rate={self.rate} channels=1 format=float32le{prompt}"

    def _pactl(self, *words: str, check: bool = False) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(["pactl", *words], env=self._environ, capture_output=True, check=check, timeout=_READY_S)

    def _start_player(self) -> None:
        # it plays all the time: an idle null sink has a latency of 2 s and keeps it for a while
        player = subprocess.Popen(
            [
                *("pacat", "--raw", "--format=float32le", "--channels=1", f"--rate={self.rate}"),
                *("-d", "vmic", f"--latency-msec={self._latency_ms}"),
            ],
            env=self._environ,
            stdin=subprocess.PIPE,
            stderr=self._log,
        )
        assert player.stdin is not None
        fcntl.fcntl(player.stdin.fileno(), fcntl.F_SETPIPE_SZ, 4096)
        self._player = player

    def _stop_player(self) -> None:
        player, self._player = self._player, None
        if player is not None:
            player.kill()
            player.wait()
            assert player.stdin is not None
            player.stdin.close()

    def _send(self, samples: F32) -> bool:
        player = self._player
        if player is None or player.stdin is None:
            return False
        try:
            os.write(player.stdin.fileno(), samples.tobytes())
        except (OSError, ValueError):  # the player was stopped meanwhile
            return False
        return True


@contextmanager
def fifo_microphone(*, rate: int = 16_000, silence: bool = True) -> Iterator["FifoMicrophone"]:
    """A microphone that delivers exactly what is fed, in 20 ms blocks of `rate`. It can be frozen, but not unplugged.

    silence: stream zeros before the first `feed`; False makes the first sample fed the first one captured.
    """
    with TemporaryDirectory(prefix="mic") as folder:
        microphone = FifoMicrophone(Path(folder), rate, silence)
        microphone._thread.start()
        try:
            yield microphone
        finally:
            microphone._closing.set()
            microphone._thread.join(10)
            os.close(microphone.fd)


@contextmanager
def pulse_microphone(*, rate: int = 48_000, latency_ms: int = 20, prompt: bool = False) -> Iterator[Microphone]:
    """A microphone with a sound server behind it. What is fed is captured about `latency_ms` later.

    A larger latency keeps the sound whole on a slow machine. prompt: it gives samples from the moment on at which it is
    plugged in, as real ones do; a null sink gives its first ones after 2 s (needs PulseAudio 15).
    """
    # a folder of our own, because pytest's is often too long for the address of a socket
    with TemporaryDirectory(prefix="mic") as folder:
        microphone = _PulseMicrophone(Path(folder), rate, latency_ms, prompt)
        try:
            microphone.wait_ready()
            microphone._thread.start()
            yield microphone
        finally:
            microphone._closing.set()
            microphone.close()
            if microphone._thread.is_alive():
                microphone._thread.join(10)
