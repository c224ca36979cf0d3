"""How long from a lesson to the first live row of its class, and how long a "not this" takes, on a real daemon."""

import asyncio
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from streamclf.client import Client
from streamclf.protocol import wire
from tools.lab.daemon import clean_env, free_port, start_daemon
from tools.measure_teach.sounds import BEEPS, RATE, SQUEAKS, read

_EVERY_S = 5
_LISTENS_S = 20.0


def measure_live(data: Path, model: str, models: str) -> str:
    """A sentence. The daemon hears a coffee shop with a sound of ours every five seconds; each is shown as a moment."""
    with tempfile.TemporaryDirectory() as folder:
        names = _recording(data, Path(folder) / "room.wav")
        env = clean_env(Path(folder), {"STREAMCLF_MODELS": models, "STREAMCLF_STORE_PATH": f"{folder}/store"})
        source = f"file:{folder}/room.wav#name=room"
        running = start_daemon(
            ("--source", source, "--model", model, "--loop"), port=free_port(), env=env, log=Path(folder) / "log"
        )
        try:
            running.wait_ready()
            return asyncio.run(_lessons(running.url, names))
        finally:
            running.stop()


def _recording(data: Path, path: Path) -> list[str]:
    rng = np.random.default_rng(3)
    sounds = {**BEEPS, **SQUEAKS}
    room = np.resize(read(data / "ambience" / "coffee-shop.ogg"), _EVERY_S * RATE * len(sounds)) * np.float32(0.3)
    for at, make in enumerate(sounds.values()):
        sound = make(rng) * np.float32(0.1)
        room[(at * _EVERY_S + 1) * RATE :][: len(sound)] += sound
    soundfile.write(path, room, RATE)
    return [name.replace(" ", "_") for name in sounds]


async def _lessons(url: str, names: list[str]) -> str:
    rows_s: list[float] = []
    nots_s: list[float] = []
    waits: dict[str, float] = {}
    first = asyncio.Event()

    async def follow() -> None:
        async for message in Client(url, tier="frame").messages():
            if isinstance(message, wire.Scores):
                for label in message.labels:
                    if label in waits:
                        rows_s.append(time.perf_counter() - waits.pop(label))
                        first.set()

    following = asyncio.create_task(follow())
    await asyncio.sleep(_LISTENS_S)
    now_ns = time.time_ns()
    for at, name in enumerate(names[:8]):
        waits[name] = begin_s = time.perf_counter()
        first.clear()
        await Client(url).teach(name, stream="room", from_ns=now_ns - (10 + at) * 1_000_000_000)
        await first.wait()
        begin_s = time.perf_counter()
        await Client(url).teach(name, stream="room", from_ns=now_ns - (3 + at) * 1_000_000_000, said="not")
        nots_s.append(time.perf_counter() - begin_s)
    following.cancel()
    return (
        f"lesson to first live row {np.median(rows_s):.2f} s (longest of {len(rows_s)}: {max(rows_s):.2f} s); "
        f'"not this", fitted, on the disk and answered {np.median(nots_s):.2f} s (longest {max(nots_s):.2f} s)'
    )
