"""A recording ends: packs that look far ahead give a row for its last frame as well, and nobody beside it notices."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.stream import PULL_FRAMES, Stream
from streamclf.engine.track import TrackOptions
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from streamclf.types import F32, FrameScores, Output, Provider
from tests.support.oracle import HOP, Oracle
from tools.lab.tinypack import RATE, encoded_pack, stateful_pack, window_frames_pack, window_row_pack

SECONDS_5 = 5 * RATE
# what AudioSet's transformers hear: 1,024 frames of filter banks
FRAMES_1024 = 400 + 1023 * 160
EVERY = 10
"""Frames from one window to the next: each of them is 10 s of sound."""
PACKS: dict[str, Callable[[Path], Path]] = {
    "10.24 s of fbank": lambda f: window_row_pack(f, window=FRAMES_1024, row_frame=256, features="fbank"),
    "5 s of waveform": lambda f: window_row_pack(f, window=SECONDS_5, row_frame=124),
    "row of the first frame": lambda f: window_row_pack(f, window=SECONDS_5, row_frame=0),
    "5 s of frames": lambda f: window_frames_pack(f, window=SECONDS_5),
    "frames of the first second": lambda f: window_frames_pack(f, window=SECONDS_5, held=50),
    "waits for 5 s": lambda f: stateful_pack(f, look_ahead=SECONDS_5),
}


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(tmp_path_factory.mktemp("pack") / "p") for name, build in PACKS.items()}


def signal(seconds: float, seed: int = 0) -> F32:
    samples = round(seconds * RATE)
    loud = (np.sin(np.arange(samples) / 9000) > 0.3).astype(np.float32)
    noise = np.random.default_rng(seed).standard_normal(samples)
    return (noise * (0.002 + 0.3 * loud)).astype(np.float32)


def engine_of(*folders: Path) -> Engine:
    runners = []
    for folder in folders:
        pack = load_pack(folder)
        runners.append(PackRunner(pack, Session(pack, provider=Provider.CPU)))
        runners[-1].set_hop(EVERY)
    return Engine(runners, options=TrackOptions(latency_ms=0))


def final_rows(outputs: list[Output], *, stream: str, pack: str) -> dict[int, F32]:
    return {
        one.first_frame + index: row
        for one in outputs
        if isinstance(one, FrameScores) and one.final and (one.stream, one.pack) == (stream, pack)
        for index, row in enumerate(one.rows)
    }


def same(got: dict[int, F32], expected: dict[int, F32]) -> None:
    assert list(got) == list(expected)
    assert max(float(np.abs(got[k] - expected[k]).max()) for k in expected) <= 1e-5


@pytest.mark.parametrize("kind", PACKS)
@pytest.mark.parametrize("seconds", [8.0, 12.013, 30.0])
def test_every_frame_of_a_recording_has_its_row(packs: dict[str, Path], kind: str, seconds: float) -> None:
    audio = signal(seconds)
    oracle = Oracle(packs[kind])
    engine = engine_of(packs[kind])
    outputs = [o for part in run_blocks(engine, "s", rate=RATE, blocks=[audio]) for o in part]
    rows = final_rows(outputs, stream="s", pack=oracle.manifest.name)
    assert max(rows) == -(-len(audio) // HOP) - 1
    same(rows, oracle.grid(audio, hop=EVERY))


def test_streams_beside_one_that_ends_are_heard_between_its_seconds_of_silence(packs: dict[str, Path]) -> None:
    """The engine as the model thread drives it: `end`, ticks, `finish`."""
    far, near = packs["10.24 s of fbank"], packs["waits for 5 s"]
    engine = engine_of(far, near)
    short, long = signal(6), signal(20, seed=1)
    rings = {name: Ring(4 * RATE) for name in ("short", "long")}
    for name, ring in rings.items():
        engine.add(Stream(name, rate=RATE, ring=ring))
    outputs: list[Output] = []

    def hear(at: int) -> None:
        nonlocal outputs
        rings["long"].write(long[at : at + RATE // 2])
        outputs += engine.tick()

    for at in range(0, len(short), RATE // 2):
        rings["short"].write(short[at : at + RATE // 2])
        hear(at)
    engine.end("short")
    ticks = 0
    while engine.streams["short"].readable:
        before = len(final_rows(outputs, stream="long", pack="tiny-stateful"))
        hear(len(short) + ticks * RATE // 2)
        ticks += 1
        assert len(final_rows(outputs, stream="long", pack="tiny-stateful")) == before + PULL_FRAMES // 2
    # its look-ahead is 5.1 s
    assert ticks == 6
    outputs += engine.finish("short")
    engine.remove("short")
    for at in range(len(short) + ticks * RATE // 2, len(long), RATE // 2):
        hear(at)
    outputs += engine.finish("long")
    for folder in (far, near):
        oracle = Oracle(folder)
        for name, audio in (("short", short), ("long", long)):
            same(final_rows(outputs, stream=name, pack=oracle.manifest.name), oracle.grid(audio, hop=EVERY))


def test_silence_behind_the_end_is_no_backlog(packs: dict[str, Path]) -> None:
    engine = engine_of(packs["5 s of waveform"])
    ring = Ring(4 * RATE)
    engine.add(Stream("s", rate=RATE, ring=ring))
    ring.write(signal(3))
    engine.drain()
    engine.end("s")
    assert engine.waiting
    assert engine.backlog_ms == 0


def test_packs_at_two_rates_each_have_their_silence(tmp_path: Path, packs: dict[str, Path]) -> None:
    """The recording is at 48 kHz, so what the resampler held back comes first."""
    encoded = encoded_pack(tmp_path / "encoded")
    engine = engine_of(packs["5 s of waveform"], encoded)
    audio = np.repeat(signal(7), 3)
    outputs = [o for part in run_blocks(engine, "s", rate=3 * RATE, blocks=[audio]) for o in part]
    for pack in ("tiny-window-row", "tiny-encoded"):
        assert list(final_rows(outputs, stream="s", pack=pack)) == list(range(350))
