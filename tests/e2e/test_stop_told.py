"""What lasts as a daemon is stopped is closed, kept and told before the connections end, on both roads alike."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect

from tests.conftest import StartDaemon
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e

LIMIT_S = 60.0


async def follow(port: int, opened: asyncio.Event) -> list[dict[str, Any]]:
    """Every event of /v1/live until the daemon ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /v1/live?after=0 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    events = []
    async for line in reader:
        if line.startswith(b'data: {"id"'):
            events.append(json.loads(line[6:]))
            opened.set()
    writer.close()
    return events


async def listen(url: str, opened: asyncio.Event) -> list[dict[str, Any]]:
    """Every event of the websocket until the daemon ends."""
    events = []
    async with connect(f"{url}?tier=events&since=0") as socket:
        async for text in socket:
            message = json.loads(text)
            if message["type"] == "event":
                events.append(message)
                opened.set()
        assert socket.close_code == 1001
    return events


def test_an_event_that_lasts_is_closed_with_stop_and_sent_before_the_connections_end(
    daemon: StartDaemon, tmp_path: Path
) -> None:
    sound = tmp_path / "loud.wav"
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    soundfile.write(sound, tone.astype(np.float32), RATE)
    running = daemon("--source", f"file:{sound}#loop=yes&name=mic", "--model", str(stateful_pack(tmp_path / "tiny")))

    async def main() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        opened = asyncio.Event(), asyncio.Event()
        roads = asyncio.gather(follow(running.port, opened[0]), listen(running.url, opened[1]))
        async with asyncio.timeout(LIMIT_S):
            for one in opened:
                await one.wait()
            running.process.send_signal(signal.SIGTERM)
            kept, told = await roads
            return kept, told

    kept, told = asyncio.run(main())
    assert running.wait(LIMIT_S) == 0
    ends = {e["id"].partition("/")[2]: e for e in kept if e["ended_by"] == "stop"}
    assert "mic" in {e["stream"] for e in ends.values()}
    assert {e["id"]: e["offset_frame"] for e in told if e["ended_by"] == "stop"} == {
        name: e["offset_frame"] for name, e in ends.items()
    }
    for road in (kept, told):
        stages = {e["id"]: e["stage"] for e in road}
        assert set(stages.values()) == {"close"}, "nothing stays open"
