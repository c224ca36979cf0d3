"""What is taught on the net that ships: no other pack is needed, and an event begins where its sound does."""

from pathlib import Path

import numpy as np
import pytest

from streamclf.engine.batch import PackRunner
from streamclf.engine.embed import Embedder, Host, hosts_of
from streamclf.engine.engine import Engine
from streamclf.engine.heads import Heads
from streamclf.engine.offline import run_blocks
from streamclf.engine.taughtpack import TaughtPack
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.teach import fit, sound
from streamclf.types import F32, Event, Label, Stage
from tests.support.tones import tone_pack

RATE = 16_000
FRAME = RATE // 50


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack(Path(__file__).resolve().parents[2] / "models" / "default")


def chime(seed: int) -> F32:
    """Two falling notes, a little different each time."""
    rng = np.random.default_rng(seed)
    at = np.arange(int(0.7 * RATE)) / RATE
    hz = np.where(at < 0.35, 1320.0, 990.0) * rng.uniform(0.98, 1.02)
    fading = np.exp(-4 * (at % 0.35))
    return np.asarray(0.2 * fading * np.sin(2 * np.pi * np.cumsum(hz) / RATE), dtype=np.float32)


def room(seconds: float, seed: int) -> F32:
    return 0.003 * np.random.default_rng(seed).standard_normal(int(seconds * RATE)).astype(np.float32)


def head(host: Host) -> F32:
    """Fitted to three chimes in noise."""
    embedder = Embedder(host.graph)
    examples = []
    for seed in range(3):
        clip = room(1.3, seed)
        clip[RATE // 4 :][: len(chime(seed))] += chime(seed)
        examples.append(sound.numbers_of(embedder, clip, RATE))
    return fit.fit(examples, [], embedder(room(20.0, 9), RATE)[1][::5]).weights


def test_a_sound_is_taught_on_it_and_begins_and_ends_where_it_is_heard(pack: Pack) -> None:
    (host,) = hosts_of([pack])
    runner = PackRunner(pack, open_session(pack))
    engine = Engine([runner])
    taught = TaughtPack(engine, host)
    taught.use(Heads(("chime",), head(host)[:, None]), [Label("chime", "Chime")])
    samples = room(12.0, 20)
    begins = (203, 412)
    for frame, seed in zip(begins, (30, 31), strict=True):
        samples[frame * FRAME :][: len(chime(seed))] += chime(seed)

    blocks = [samples[at : at + 4096] for at in range(0, len(samples), 4096)]
    outputs = [one for some in run_blocks(engine, "a", rate=RATE, blocks=blocks) for one in some]

    opened = [one for one in outputs if isinstance(one, Event) and one.pack == "taught" and one.stage is Stage.OPEN]
    assert [event.label for event in opened] == ["chime", "chime"]
    for event, frame in zip(opened, begins, strict=True):
        assert abs(event.onset_frame - frame) <= 5
        assert event.decided_frame - frame <= 50
    first = next(one for one in outputs if isinstance(one, Event) and one.pack == "taught" and one.stage is Stage.CLOSE)
    assert first.offset_frame is not None
    assert abs(first.offset_frame - (begins[0] + 35)) <= 5
    assert first.decided_frame > begins[0] + 60, "it fell when the sound ended, so the case tests nothing"


def test_windows_are_chosen_before_a_stateful_net(pack: Pack, tmp_path: Path) -> None:
    tone_pack(tmp_path / "tones")
    tones = load_pack(tmp_path / "tones")
    assert [host.name for host in hosts_of([pack, tones])] == ["tones", "default"]
