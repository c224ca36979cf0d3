"""Satellites: Wyoming's own client, from PyPI, sends sound to a real daemon and gets what that hears."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon, free_port, run_cli
from tools.lab.tinypack import RATE, stateful_pack

pytest.importorskip("wyoming", reason="wyoming is absent (pip install streamclf[wyoming])")

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.wake import Detect, Detection, NotDetected

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LIMIT_S = 30.0


@pytest.fixture
def listening(daemon: StartDaemon, tmp_path: Path) -> Daemon:
    pack = stateful_pack(tmp_path / "pack")
    return daemon("--source", "push:one,16000", "--source", "push:two,16000", "--model", str(pack))


@contextmanager
def satellites(home: Path, url: str, *more: str) -> Iterator[int]:
    """`streamclf wyoming`, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "streamclf", "wyoming", "--url", url, "--port", str(port), *more]
    process = subprocess.Popen(
        command, cwd=home, stderr=subprocess.PIPE, text=True, env={**os.environ, "HOME": str(home)}
    )
    try:
        assert process.stderr is not None
        assert f":{port}" in process.stderr.readline()
        yield port
    finally:
        process.terminate()
        _, said = process.communicate(timeout=LIMIT_S)
        assert "Traceback" not in said, said


def sound(*, loud: bool, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A second of quiet and a second of it or of a tone: int16."""
    samples = np.zeros((2 * rate, channels))
    if loud:
        samples[rate:] = 0.6 * np.sin(np.arange(rate) * 0.3)[:, np.newaxis]
    return np.rint(samples * 32767).astype("<i2")


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await main

    return asyncio.run(limited())


async def connected(port: int) -> AsyncTcpClient:
    client = AsyncTcpClient("127.0.0.1", port)
    for _ in range(100):
        try:
            await client.connect()
            return client
        except OSError:
            await asyncio.sleep(0.1)
    raise AssertionError("nothing listens")


async def send(client: AsyncTcpClient, samples: np.ndarray, *, rate: int = RATE, stop: bool = True) -> None:
    """In blocks of 64 ms, as a satellite does."""
    channels = samples.shape[1]
    await client.write_event(AudioStart(rate=rate, width=2, channels=channels, timestamp=0).event())
    size = rate * 64 // 1000
    for at in range(0, len(samples), size):
        chunk = AudioChunk(rate, 2, channels, samples[at : at + size].tobytes(), timestamp=1000 * at // rate)
        await client.write_event(chunk.event())
        await asyncio.sleep(0.005)
    if stop:
        await client.write_event(AudioStop(timestamp=1000 * len(samples) // rate).event())


async def answer(client: AsyncTcpClient) -> Any:
    event = await client.read_event()
    assert event is not None
    for kind in (Info, Detection, NotDetected, Error):
        if kind.is_type(event.type):
            return kind.from_event(event)
    raise AssertionError(event)


def test_a_satellite_sends_sound_and_gets_detections(listening: Daemon, tmp_path: Path) -> None:
    async def main(port: int) -> None:
        client = await connected(port)
        await client.write_event(Describe().event())
        info = await answer(client)
        (program,) = info.wake
        assert [model.name for model in program.models] == ["loud", "c1", "c2"]
        for rate, channels in ((RATE, 1), (48_000, 2)):  # what comes in another form is converted
            await client.write_event(Detect(names=["loud"]).event())
            await send(client, sound(loud=True, rate=rate, channels=channels), rate=rate)
            detection = await answer(client)
            assert isinstance(detection, Detection)
            assert detection.name == "loud"
            assert detection.timestamp is not None
            assert detection.timestamp >= 1000
        await client.write_event(Detect(names=["loud"]).event())
        await send(client, sound(loud=False))
        assert isinstance(await answer(client), NotDetected)
        await client.disconnect()

    with satellites(tmp_path, listening.url) as port:
        run(main(port))
    assert listening.get_json("/v1/events?labels=loud")["events"]


def test_each_satellite_has_a_stream_of_its_own(listening: Daemon, tmp_path: Path) -> None:
    async def main(port: int) -> None:
        clients = [await connected(port) for _ in range(3)]
        for client in clients[:2]:
            await send(client, sound(loud=False), stop=False)
        states = {s["name"]: s["state"] for s in listening.get_json("/v1/status")["streams"]}
        assert states == {"one": "live", "two": "live"}
        await clients[2].write_event(AudioStart(rate=RATE, width=2, channels=1).event())
        refused = await answer(clients[2])
        assert isinstance(refused, Error)
        assert "all 2 push streams are taken" in refused.text
        await clients[0].disconnect()  # it falls away, and its stream is free
        for _ in range(100):
            await send(clients[2], sound(loud=True))
            if isinstance(await answer(clients[2]), Detection):
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("no stream came free")
        for client in clients[1:]:
            await client.disconnect()

    with satellites(tmp_path, listening.url) as port:
        run(main(port))


def test_a_daemon_that_is_gone_is_said(tmp_path: Path) -> None:
    async def main(port: int) -> None:
        client = await connected(port)
        await client.write_event(Describe().event())
        said = await answer(client)
        assert isinstance(said, Error)
        assert "is `streamclf run` up there?" in said.text
        await client.disconnect()

    with satellites(tmp_path, f"ws://127.0.0.1:{free_port()}/v1") as port:
        run(main(port))


def test_only_who_is_named_may_connect(listening: Daemon, tmp_path: Path) -> None:
    done = run_cli("wyoming", "--url", listening.url, "--host", "0.0.0.0", home=tmp_path)
    assert done.returncode == 2
    assert "say which with --from" in done.stderr

    async def main(port: int) -> None:
        client = await connected(port)
        await client.write_event(Describe().event())
        said = await answer(client)
        assert isinstance(said, Error)
        assert "are not heard here" in said.text
        await client.disconnect()

    with satellites(tmp_path, listening.url, "--host", "0.0.0.0", "--from", "192.0.2.0/24") as port:
        run(main(port))


def test_an_address_that_is_taken_is_said(listening: Daemon, tmp_path: Path) -> None:
    with satellites(tmp_path, listening.url) as port:
        time.sleep(0.5)
        done = run_cli("wyoming", "--url", listening.url, "--port", str(port), home=tmp_path)
        assert done.returncode == 1
        assert "cannot be listened on" in done.stderr
