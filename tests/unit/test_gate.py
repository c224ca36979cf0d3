"""A member with a gate runs only where the member that says when hears something, and edges follow that member."""

from pathlib import Path

import numpy as np
import pytest

from streamclf import metrics
from streamclf.config import Config
from streamclf.engine.batch import PackRunner
from streamclf.engine.build import build_engine
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.segment import Decision, Segmenter
from streamclf.engine.verify import verify
from streamclf.errors import PackError
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.model.pack import MemberGate, Pack
from streamclf.model.terms import Term
from streamclf.types import F32, FrameScores, Label, Stage
from tools.lab.tinypack import HOP, RATE, fused_pack, stateful_pack, window_row_pack

GATE = MemberGate(labels=("loud",), over=0.5)
TERMS = [
    *(Term(label, "slow", (label,), 1.0) for label in ("loud", "c1", "c2")),
    Term("loud", "quick", ("loud",), 0.0),
]


def made(folder: Path, gate: MemberGate | None = GATE, *, when: str = "quick") -> Pack:
    members = {
        "quick": stateful_pack(folder / "quick"),
        "slow": window_row_pack(folder / "slow", window=50 * HOP, row_frame=49),
    }
    settings = {"slow": {"hop_ms": 200, "gate": gate}}
    return load_pack(fused_pack(folder / "fused", members=members, settings=settings, terms=TERMS, when=when))


def heard(pack: Pack, samples: F32, *, gated: bool = True) -> tuple[F32, list[int]]:
    """Rows of every frame, and of each graph how many windows were spared."""
    runner = PackRunner(pack, open_session(pack))
    runner.gates = gated
    outputs = run_blocks(Engine([runner]), "a", rate=RATE, blocks=[samples])
    rows = [one.rows for some in outputs for one in some if isinstance(one, FrameScores)]
    return np.concatenate(rows), [graph.spared for graph in runner.graphs]


def scene(*loud_s: float, seconds: float = 8.0) -> F32:
    """Silence, and half a second of a tone at these times."""
    samples = np.zeros(int(seconds * RATE), dtype=np.float32)
    tone = 0.5 * np.sin(np.arange(RATE // 2) / 3)
    for at in loud_s:
        samples[int(at * RATE) : int(at * RATE) + len(tone)] = tone
    return samples


def test_windows_in_which_nothing_is_heard_are_not_run(tmp_path: Path) -> None:
    pack = made(tmp_path)
    rows, spared = heard(pack, scene(4.0))
    every, none = heard(pack, scene(4.0), gated=False)
    assert none == [0, 0]
    assert 20 <= spared[1] <= 32  # of some 36 windows of 1 s every 200 ms
    assert spared[0] == 0
    # windows that hold the tone
    assert np.abs(rows[210:265] - every[210:265]).max() < 1e-6
    assert rows[:190].max() < 1e-4 < every[:190].max()


def test_a_row_rests_on_what_was_heard_alone(tmp_path: Path) -> None:
    assert verify(made(tmp_path)).problems == []


def test_a_stream_that_ends_in_a_window_gets_its_rows(tmp_path: Path) -> None:
    pack = made(tmp_path)
    for seconds in (0.3, 1.0, 1.37, 2.51):
        rows, _ = heard(pack, scene(0.1, seconds=seconds + 1)[: int(seconds * RATE)])
        assert len(rows) == -(-int(seconds * RATE) // HOP)


def test_what_is_spared_is_counted_and_the_configuration_switches_it_off(tmp_path: Path) -> None:
    made(tmp_path)
    for gate, least in ((True, 20), (False, 0)):
        engine = build_engine(Config(model=(str(tmp_path / "fused"),), gate=gate))
        counter = metrics.SPARED_RUNS.labels(engine.packs[0].manifest.name)
        before = counter._value.get()
        for _ in run_blocks(engine, "a", rate=RATE, blocks=[scene(4.0)]):
            pass
        spared = counter._value.get() - before
        assert (spared >= least) if gate else spared == 0


@pytest.mark.parametrize(
    ("gate", "when", "said"),
    [
        (GATE, "", "needs another member that says `when`"),
        (MemberGate((), 0.5), "quick", "has 0 labels and opens at 0.5"),
        (MemberGate(("loud",), 1.0), "quick", "opens at 1; expected"),
        (MemberGate(("lout",), 0.5), "quick", "names the label 'lout', which quick does not have"),
    ],
)
def test_a_gate_that_cannot_be_is_refused(tmp_path: Path, gate: MemberGate, when: str, said: str) -> None:
    with pytest.raises(PackError, match=said):
        made(tmp_path, gate, when=when)


def edges(rows: list[float], when: list[bool], **decision: int) -> list[tuple[int, int | None]]:
    """Onset and offset of each event of a class that another model says when of."""
    segmenter = Segmenter(
        "a", "p", [Label("x", "X")],
        [Decision(enter=0.5, leave=0.3, min_on=1, min_off=3, **decision)],  # type: ignore[arg-type]
        known=np.array([0]),
    )  # fmt: skip
    margins = np.where(np.array(when), 1.0, -1.0).astype(np.float32)[:, None]
    events = segmenter.push(0, np.array(rows, np.float32)[:, None], margins) + segmenter.finish()
    return [(event.onset_frame, event.offset_frame) for event in events if event.stage is Stage.CLOSE]


def test_edges_lie_where_the_member_that_says_when_hears() -> None:
    # the window model is late by 4 frames and stays on for 6 behind the sound
    rows = [0.0] * 14 + [0.9] * 12 + [0.0] * 10
    when = [False] * 10 + [True] * 8 + [False] * 18
    assert edges(rows, when, reach_back=10, lag=10) == [(10, 18)]
    assert edges(rows, when, reach_back=10) == [(10, 26)]
    # the sound was over when it was found
    short = [False] * 8 + [True] * 3 + [False] * 25
    assert edges(rows, short, reach_back=10, lag=10) == [(8, 26)]
    # a pause that an event bridges, and one that it does not
    paused = [False] * 5 + [True, True, False, False, True, True] + [False] * 25
    assert edges(rows, paused, reach_back=12, lag=10) == [(5, 26)]
    apart = [True] * 2 + [False] * 8 + [True] * 5 + [False] * 21
    assert edges(rows, apart, reach_back=14, lag=12) == [(10, 15)]
    # it heard nothing: the edges stay
    assert edges(rows, [False] * 36, reach_back=10, lag=10) == [(14, 26)]
