"""Real PortAudio streams: what is played is what the ring holds, at the time it was played, whatever the device does.

Each test captures in a process of its own (tests/support/listener.py), because PortAudio reads its environment once.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools.lab.soundserver import F32, Microphone, fifo_microphone, missing, pulse_microphone

pytestmark = [pytest.mark.e2e, pytest.mark.capture, pytest.mark.timeout(240)]

needs_fifo = pytest.mark.skipif(bool(missing(pulse=False)), reason=missing(pulse=False) or "-")
needs_pulse = pytest.mark.skipif(bool(missing(pulse=True)), reason=missing(pulse=True) or "-")
LIMIT_S = 60.0
MISPLACED_MS = 1000
"""A stamp that is wrong is so by a hole or by a server's buffers; `tools/bench/latency.py` tells how exact they are."""


class Listener:
    """The capturing process; what it says arrives in `next`."""

    def __init__(self, microphone: Microphone, folder: Path, *specs: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.listener", *specs],
            env={**os.environ, **microphone.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said: list[dict[str, Any]] = []
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, state: str, stream: str | None = None) -> dict[str, Any]:
        """The next line with that state (of that stream)."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {state} within {LIMIT_S:g} s; heard {self.said}") from None
            said: dict[str, Any] = json.loads(line)
            self.said.append(said)
            if said["state"] == state and stream in (None, said["stream"]):
                return said

    def save(self, name: str) -> Any:
        """What the ring of stream `name` holds now."""
        self._command(f"save {self.folder}")
        self.wait("saved")
        return np.load(self.folder / f"{name}.npz")

    def stop(self) -> None:
        """Stop the sources and the process."""
        self._command("stop")
        self.wait("stopped")
        assert self.process.wait(20) == 0

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()

    def _command(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


@pytest.fixture
def listen(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(microphone: Microphone, *specs: str) -> Listener:
        started.append(Listener(microphone, tmp_path, *specs))
        return started[-1]

    yield start
    for listener in started:
        listener.close()


def noise(seconds: float, rate: int) -> F32:
    return (np.random.default_rng(11).standard_normal(int(seconds * rate)) * 0.1).astype(np.float32)


def onset_of(data: Any, start: int = 0) -> int:
    """Index, in the saved ring, of the first loud sample from `start` on."""
    loud = np.flatnonzero(np.abs(data["samples"][start - int(data["first"]) :]) > 1e-3)
    assert len(loud), "nothing loud was captured"
    return start + int(loud[0])


def late_ms(data: Any, onset: int, played_ns: int) -> float:
    """How much later than `played_ns` the stream's clock places sample `onset`."""
    return (int(data["epoch_ns"]) + onset * 1e9 / int(data["rate"]) - played_ns) / 1e6


def loudness(data: Any, start: int) -> float:
    return float(np.abs(data["samples"][start - int(data["first"]) :]).max(initial=0.0))


def only_hole(data: Any) -> tuple[int, int]:
    assert len(data["holes"]) == 1, data["holes"]
    assert list(data["reasons"]) == ["lost"]
    return int(data["holes"][0, 0]), int(data["holes"][0, 1])


@needs_fifo
def test_every_sample_is_captured_from_the_first_one_on(listen: Callable[..., Listener]) -> None:
    samples = noise(5, 16_000)
    samples[[100, 40_000]] = np.nan, np.inf
    with fifo_microphone(rate=16_000, silence=False) as microphone:
        listener = listen(microphone, microphone.source)
        assert "16000 Hz" in listener.wait("ready")["detail"]
        microphone.feed(samples, wait=True)
        listener.wait("live")
        microphone.feed(noise(0.5, 16_000), wait=True)
        data = listener.save("fifomic")
        listener.stop()
    samples[[100, 40_000]] = 0
    np.testing.assert_array_equal(data["samples"][: len(samples)], samples)
    assert (len(data["holes"]), int(data["xruns"]), int(data["bad_samples"])) == (0, 0, 2)


@needs_fifo
def test_sound_is_stamped_when_it_was_played_and_a_silent_device_is_lost(listen: Callable[..., Listener]) -> None:
    with fifo_microphone(rate=48_000) as microphone:
        listener = listen(microphone, microphone.source)
        listener.wait("live")
        played_ns = microphone.feed(noise(0.5, 48_000), wait=True)
        microphone.feed(np.zeros(9600, dtype=np.float32), wait=True)
        data = listener.save("fifomic")
        assert abs(late_ms(data, onset_of(data), played_ns)) < MISPLACED_MS
        microphone.freeze()
        lost = listener.wait("lost")
        assert "no samples came for 1 s" in lost["detail"]
        microphone.thaw()
        listener.wait("live")
        played_ns = microphone.feed(noise(0.5, 48_000), wait=True)
        microphone.feed(np.zeros(9600, dtype=np.float32), wait=True)
        data = listener.save("fifomic")
        first, end = only_hole(data)
        assert first == lost["written"]
        assert (end - first) / 48_000 > 1
        assert abs(late_ms(data, onset_of(data, end), played_ns)) < MISPLACED_MS
        listener.stop()


@needs_pulse
def test_pulseaudio_delivers_what_was_played(listen: Callable[..., Listener]) -> None:
    samples = noise(3, 48_000)
    with pulse_microphone(latency_ms=500) as microphone:
        listener = listen(microphone, microphone.source + "#rate=48000")
        listener.wait("live")
        microphone.feed(samples, wait=True)
        microphone.feed(np.zeros(48_000, dtype=np.float32), wait=True)
        data = listener.save("pulse")
        listener.stop()
    captured = data["samples"]
    at = int(np.flatnonzero(captured == samples[0])[0])
    np.testing.assert_array_equal(captured[at : at + len(samples)], samples)
    assert not len(data["holes"])


@needs_pulse
def test_the_default_microphone_stamps_a_sound_when_it_was_played(listen: Callable[..., Listener]) -> None:
    with pulse_microphone() as microphone:
        listener = listen(microphone, "device")
        listener.wait("live")
        for _ in range(3):
            microphone.feed(np.zeros(24_000, dtype=np.float32), wait=True)
            played_ns = microphone.feed(noise(0.2, 48_000), wait=True)
            microphone.feed(np.zeros(9600, dtype=np.float32), wait=True)
            data = listener.save("device")
            newest = int(data["first"]) + len(data["samples"])
            start = newest - int(0.65 * int(data["rate"]))
            assert 0 <= late_ms(data, onset_of(data, start), played_ns) < MISPLACED_MS
        listener.stop()


@needs_pulse
def test_unplugged_it_is_lost_and_plugged_in_again_it_is_live_with_a_hole(listen: Callable[..., Listener]) -> None:
    with pulse_microphone() as microphone:
        listener = listen(microphone, microphone.source)
        listener.wait("live")
        microphone.unplug()
        lost = listener.wait("lost")
        assert "ended its stream" in lost["detail"]
        assert "cannot be opened" in listener.wait("reconnecting")["detail"]
        microphone.plug()
        listener.wait("live")
        played_ns = microphone.feed(noise(0.5, 48_000), wait=True)
        microphone.feed(np.zeros(24_000, dtype=np.float32), wait=True)
        data = listener.save("pulse")
        first, end = only_hole(data)
        assert first == lost["written"]
        assert end > first
        assert loudness(data, end) > 0.1
        assert 0 <= late_ms(data, onset_of(data, end), played_ns) < MISPLACED_MS
        listener.stop()


@needs_pulse
def test_frozen_it_is_lost_and_thawed_it_is_live_with_a_hole(listen: Callable[..., Listener]) -> None:
    with pulse_microphone() as microphone:
        listener = listen(microphone, microphone.source)
        listener.wait("live")
        microphone.freeze()
        lost = listener.wait("lost")
        assert "no samples came for 1 s although the device says it runs" in lost["detail"]
        microphone.thaw()
        listener.wait("live")
        microphone.feed(noise(0.5, 48_000), wait=True)
        microphone.feed(np.zeros(24_000, dtype=np.float32), wait=True)
        data = listener.save("pulse")
        first, end = only_hole(data)
        assert first == lost["written"]
        assert (end - first) / int(data["rate"]) > 1
        assert loudness(data, end) > 0.1
        listener.stop()


@needs_pulse
def test_a_lost_microphone_is_brought_back_beside_one_that_never_notices(
    listen: Callable[..., Listener], tmp_path: Path
) -> None:
    with pulse_microphone() as first, pulse_microphone() as second:
        config = tmp_path / "asound.conf"
        config.write_text(
            "</usr/share/alsa/alsa.conf>\n"
            f'pcm.first {{ type pulse server "{first.env["PULSE_SERVER"]}" device "vmic.monitor" }}\n'
            f'pcm.second {{ type pulse server "{second.env["PULSE_SERVER"]}" device "vmic.monitor" }}\n'
        )
        first.env["ALSA_CONFIG_PATH"] = str(config)
        listener = listen(first, "device:first", "device:second")
        waiting = {"first", "second"}
        while waiting:
            waiting.discard(listener.wait("live")["stream"])
        first.unplug()
        listener.wait("reconnecting", "first")
        first.plug()
        listener.wait("live", "first")
        only_hole(listener.save("first"))
        first.freeze()
        listener.wait("lost", "first")
        first.thaw()
        listener.wait("live", "first")
        data = listener.save("second")
        listener.stop()
    assert not len(data["holes"])
    assert {said["state"] for said in listener.said if said["stream"] == "second"} == {"live"}


@needs_pulse
def test_stopping_and_leaving_do_not_hang_on_a_frozen_server(listen: Callable[..., Listener]) -> None:
    with pulse_microphone() as microphone:
        listener = listen(microphone, microphone.source)
        listener.wait("live")
        microphone.freeze()
        listener.wait("lost")
        listener.stop()


@needs_pulse
def test_devices_are_found_by_name_and_a_wrong_name_lists_them() -> None:
    script = (
        "from streamclf.audio.sources import open_source, parse_source\n"
        "from streamclf.audio.sources.device import list_devices\n"
        "from streamclf.errors import SourceError\n"
        "print([(d.name, d.host_api, d.default) for d in list_devices()])\n"
        "for text in ('device:PUL', 'device:pulse, ALSA', 'device:nosuch', 'device:u', 'device:pulse#ch=40'):\n"
        "    source = open_source(parse_source(text))\n"
        "    try:\n"
        "        source.open()\n"
        "        print(source.description)\n"
        "    except SourceError as fault:\n"
        "        print(fault)\n"
    )
    with pulse_microphone() as microphone:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, **microphone.env},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    devices, part, whole, wrong, several, channel = done.stdout.splitlines()
    assert "('pulse', 'ALSA', " in devices
    assert devices.count("True") == 1
    assert part == whole
    assert whole.startswith("device pulse (ALSA), ")
    assert wrong.startswith("no audio input is called 'nosuch'; there are: ")
    assert "pulse, ALSA" in wrong
    assert "audio inputs match 'u'; write more of the name: " in several
    assert channel.startswith("device:pulse has 32 channels, so ch=40 does not exist")


def test_a_machine_without_input_says_so(tmp_path: Path) -> None:
    if reason := missing(pulse=False):
        pytest.skip(reason)
    config = tmp_path / "asound.conf"
    config.write_text("</usr/share/alsa/alsa.conf>\n")  # and none of the plugins of sound servers
    script = (
        "from streamclf.audio.sources import NoInputDeviceError, open_source, parse_source\n"
        "from streamclf.audio.sources.device import list_devices\n"
        "if list_devices():\n"
        "    raise SystemExit('a microphone')\n"
        "try:\n"
        "    open_source(parse_source('device')).open()\n"
        "except NoInputDeviceError as fault:\n"
        "    print(fault)\n"
    )
    env = {**os.environ, "ALSA_CONFIG_PATH": str(config)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=120)
    if "a microphone" in done.stderr:
        pytest.skip("this machine has a sound card")
    assert done.stdout == "this machine has no audio input device; plug one in, or use --source demo\n", done.stderr
