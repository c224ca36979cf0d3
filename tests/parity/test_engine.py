"""Streaming equals the definition, frame by frame: any blocks, any companions, any start, with gaps and at ends."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamclf.audio.ring import Ring
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.stream import Stream
from streamclf.engine.track import TrackOptions
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.model.terms import Term
from streamclf.types import F32, Event, FrameScores, Gap, Output, Provider
from tests.support.oracle import HOP, Oracle
from tools.lab.tinypack import (
    RATE,
    chunk_pack,
    encoded_pack,
    fused_pack,
    stateful_pack,
    window_frames_pack,
    window_row_pack,
)

PACKS: dict[str, Callable[[Path], Path]] = {
    "stateful": stateful_pack,
    "stateful 32 ms": lambda folder: stateful_pack(folder, step=512, window=576),
    "stateful look-ahead": lambda folder: stateful_pack(folder, look_ahead=960),
    "row at the end": window_row_pack,
    "row in the middle": lambda folder: window_row_pack(folder, row_frame=4),
    "row of pictures": lambda folder: window_row_pack(folder, row_frame=3, features="image"),
    "row of log-mel": lambda folder: window_row_pack(folder, row_frame=3, window=15 * HOP + 240, features="logmel"),
    "frames": window_frames_pack,
    "encoded": encoded_pack,
    "chunks": chunk_pack,
    "fused": lambda folder: fused_pack(
        folder,
        members={
            "quick": stateful_pack(folder.parent / "quick", step=512, window=576),
            "slow": window_row_pack(folder.parent / "slow", row_frame=3, window=15 * HOP + 240, features="logmel"),
        },
        settings={"slow": {"hop_ms": 60}},
    ),
    "fused of frames": lambda folder: fused_pack(
        folder,
        members={
            "late": stateful_pack(folder.parent / "late", look_ahead=960),
            "frames": window_frames_pack(folder.parent / "frames"),
        },
    ),
}


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: build(tmp_path_factory.mktemp("pack") / "p") for name, build in PACKS.items()}


def signal(samples: int, seed: int = 0) -> F32:
    rng = np.random.default_rng(seed)
    loud = (np.sin(np.arange(samples) / 2500) > 0.4).astype(np.float32)
    return (rng.standard_normal(samples) * (0.002 + 0.3 * loud)).astype(np.float32)


def make(folder: Path, *, hop: int = 1, latency_ms: int = 0, average: bool = False) -> Engine:
    pack = load_pack(folder)
    runner = PackRunner(pack, open_session(pack, provider=Provider.CPU))
    runner.set_hop(hop)
    return Engine([runner], options=TrackOptions(latency_ms=latency_ms, average=average))


def final_rows(outputs: list[Output], stream: str = "s") -> dict[int, F32]:
    rows: dict[int, F32] = {}
    for output in outputs:
        if isinstance(output, FrameScores) and output.final and output.stream == stream:
            for index, row in enumerate(output.rows):
                assert output.first_frame + index not in rows, "a frame was given twice"
                rows[output.first_frame + index] = row
    return rows


def same(got: dict[int, F32], expected: dict[int, F32], tolerance: float = 1e-5) -> None:
    assert sorted(got) == sorted(expected)
    worst = max((float(np.abs(got[k] - expected[k]).max()) for k in expected), default=0.0)
    assert worst <= tolerance


def cut(audio: F32, sizes: list[int]) -> list[F32]:
    blocks, at, index = [], 0, 0
    while at < len(audio):
        size = sizes[index % len(sizes)]
        blocks.append(audio[at : at + size])
        at += size
        index += 1
    return blocks


@pytest.mark.parametrize("kind", PACKS)
@pytest.mark.parametrize("hop", [1, 3])
@pytest.mark.parametrize("length", [100, 3 * HOP, 16_123])
def test_rows_are_those_of_the_definition(packs: dict[str, Path], kind: str, hop: int, length: int) -> None:
    audio = signal(length)
    outputs = [o for part in run_blocks(make(packs[kind], hop=hop), "s", rate=RATE, blocks=[audio]) for o in part]
    same(final_rows(outputs), Oracle(packs[kind]).grid(audio, hop=hop))


@pytest.mark.parametrize("kind", PACKS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=12), length=st.integers(1, 9000))
def test_any_blocks_give_the_same_rows_and_events(
    packs: dict[str, Path], kind: str, sizes: list[int], length: int
) -> None:
    audio = signal(length)
    engine = make(packs[kind])
    whole = [o for part in run_blocks(engine, "s", rate=RATE, blocks=[audio]) for o in part]
    parts = [o for part in run_blocks(engine, "s", rate=RATE, blocks=cut(audio, sizes)) for o in part]
    same(final_rows(parts), final_rows(whole))
    strip = [(e.stage, e.label, e.onset_frame, e.offset_frame) for e in whole if isinstance(e, Event)]
    assert [(e.stage, e.label, e.onset_frame, e.offset_frame) for e in parts if isinstance(e, Event)] == strip


@pytest.mark.parametrize("kind", PACKS)
def test_companions_that_come_and_go_change_nothing(packs: dict[str, Path], kind: str) -> None:
    audio = signal(16_000)
    engine = make(packs[kind])
    ring = Ring(4 * RATE)
    engine.add(Stream("s", rate=RATE, ring=ring))
    outputs: list[Output] = []
    others: list[str] = []
    rng = np.random.default_rng(1)
    for number, block in enumerate(cut(audio, [320, 77, 900])):
        if number % 4 == 0:
            name = f"other-{number}"
            other = Ring(4 * RATE)
            engine.add(Stream(name, rate=RATE, ring=other))
            others.append(name)
        for name in others:
            engine.streams[name].ring.write(signal(int(rng.integers(1, 1500)), seed=number))
        ring.write(block)
        outputs += engine.drain()
        if len(others) > 3:
            engine.remove(others.pop(0))
    outputs += engine.finish("s")
    same(final_rows(outputs), Oracle(packs[kind]).grid(audio))


@pytest.mark.parametrize("latency_ms", [0, 60, 100, 5000])
@pytest.mark.parametrize("hop", [1, 2, 4])
def test_final_revision_comes_from_the_newest_window_before_its_deadline(
    packs: dict[str, Path], latency_ms: int, hop: int
) -> None:
    audio = signal(9000)
    engine = make(packs["frames"], hop=hop, latency_ms=latency_ms)
    outputs = [o for part in run_blocks(engine, "s", rate=RATE, blocks=cut(audio, [320])) for o in part]
    expected = Oracle(packs["frames"]).grid(audio, hop=hop, latency=latency_ms * 16)
    same(final_rows(outputs), expected)
    provisional = [o for o in outputs if isinstance(o, FrameScores) and not o.final]
    frames = [o.first_frame + i for o in provisional for i in range(len(o.rows))]
    assert frames == sorted(expected), "each frame has one provisional row, in order"


def test_average_is_the_mean_of_all_windows_that_hold_the_frame(packs: dict[str, Path]) -> None:
    audio = signal(10 * HOP * 3)
    engine = make(packs["frames"], latency_ms=10_000, average=True)
    outputs = [o for part in run_blocks(engine, "s", rate=RATE, blocks=[audio]) for o in part]
    runs = Oracle(packs["frames"]).native(audio)
    expected = {}
    for frame in range(30):
        holds = [run[frame - start // HOP] for start, run in runs if 0 <= frame - start // HOP < 10]
        expected[frame] = np.mean(holds, axis=0)
    same(final_rows(outputs), expected)


@pytest.mark.parametrize("kind", PACKS)
def test_after_a_gap_the_stream_begins_anew_at_a_whole_frame(packs: dict[str, Path], kind: str) -> None:
    before, after = signal(5000), signal(9000, seed=5)
    engine = make(packs[kind])
    ring = Ring(4 * RATE)
    engine.add(Stream("s", rate=RATE, ring=ring))
    ring.write(before)
    ring.skip(1234, "xrun")
    ring.write(after)
    outputs = engine.drain() + engine.finish("s")
    gaps = [o for o in outputs if isinstance(o, Gap)]
    assert gaps == [Gap("s", 5000, 6233, "xrun")]
    rows = final_rows(outputs)
    first = -(-6234 // HOP)
    fresh = Oracle(packs[kind]).grid(after[first * HOP - 6234 :])
    same({k: v for k, v in rows.items() if k >= first}, {k + first: v for k, v in fresh.items()})
    untouched = Oracle(packs[kind]).grid(before)
    early = {k: v for k, v in rows.items() if k < first}
    assert max(early, default=-1) < 5000 // HOP, "a frame that lost samples has no row"
    same(early, {k: untouched[k] for k in early})
    index = {id(o): n for n, o in enumerate(outputs)}
    before_gap = [o for o in outputs if isinstance(o, FrameScores) and o.first_frame < first]
    assert all(index[id(gaps[0])] > index[id(o)] for o in before_gap)


def test_members_of_a_fused_pack_may_have_rates_of_their_own(tmp_path: Path) -> None:
    high: dict[str, Any] = {"rate": 48_000, "row_at": 5 * 960, "look_ahead": 4 * 960}
    members = {
        "quick": stateful_pack(tmp_path / "quick"),
        "high": window_row_pack(tmp_path / "high", window=10 * 960, **high),
    }
    terms = [Term(label, member, (label,), 1.0) for label in ("loud", "c1", "c2") for member in members]
    fused = fused_pack(tmp_path / "fused", members=members, terms=terms)
    manifest = load_pack(fused).manifest
    assert (manifest.rate, manifest.window, manifest.look_ahead) == (48_000, 9600, 3840)
    audio = signal(44_100)

    def rows_of(folder: Path, sizes: list[int]) -> dict[int, F32]:
        parts = run_blocks(make(folder), "s", rate=44_100, blocks=cut(audio, sizes))
        return final_rows([output for part in parts for output in part])

    rows = rows_of(fused, [44_100])
    same(rows_of(fused, [441, 1000, 37]), rows)
    apart = [rows_of(folder, [44_100]) for folder in members.values()]
    assert sorted(rows) == sorted(set(apart[0]) & set(apart[1])) == list(range(50))
    least = 1 / (1 + np.exp(12.0))
    for frame, row in rows.items():
        p = np.array([own[frame] for own in apart], dtype=np.float64).clip(least, 1 - least)
        logits = np.log(p / (1 - p)).sum(axis=0)
        assert np.abs(row - 1 / (1 + np.exp(-logits))).max() < 1e-5


def test_a_lapped_reader_says_so_and_goes_on_at_the_newest_frame(packs: dict[str, Path]) -> None:
    engine = make(packs["stateful"])
    ring = Ring(RATE)
    engine.add(Stream("s", rate=RATE, ring=ring))
    for block in cut(signal(3 * RATE + 100), [1000]):
        ring.write(block)
    outputs = engine.drain()
    ring.write(signal(3200, seed=9))
    outputs += engine.drain()
    assert [o for o in outputs if isinstance(o, Gap)] == [Gap("s", 0, 3 * RATE - 1, "overrun")]
    assert min(final_rows(outputs)) == 3 * RATE // HOP


@pytest.mark.parametrize("kind", PACKS)
def test_rows_of_a_frame_never_wait_longer_than_the_stated_look_ahead(packs: dict[str, Path], kind: str) -> None:
    engine = make(packs[kind])
    ring = Ring(4 * RATE)
    engine.add(Stream("s", rate=RATE, ring=ring))
    manifest = engine.runners[0].pack.manifest
    seen = -1
    for block in cut(signal(16_000), [HOP]):
        ring.write(block)
        rows = final_rows(engine.tick())
        seen = max(rows, default=seen)
        if ring.written >= manifest.window + manifest.look_ahead + HOP:
            assert seen == (ring.written - manifest.look_ahead) // HOP - 1


def test_a_stream_at_another_rate_is_resampled_onto_the_same_frames(packs: dict[str, Path]) -> None:
    time = np.arange(48_000 * 2) / 48_000
    audio = (0.3 * np.sin(2 * np.pi * 440 * time) * (time > 1.0)).astype(np.float32)
    outputs = [
        o for part in run_blocks(make(packs["stateful"]), "s", rate=48_000, blocks=cut(audio, [960])) for o in part
    ]
    rows = final_rows(outputs)
    assert sorted(rows) == list(range(100))
    loud = [k for k, row in rows.items() if row[0] > 0.5]
    assert loud[0] in (49, 50, 51), "the onset at 1.000 s lies in frame 50"
    onset = next(o for o in outputs if isinstance(o, Event) and o.label == "loud")
    assert abs(onset.onset_frame - 50) <= 1
