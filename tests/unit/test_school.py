"""What was taught is there when a daemon starts: on each of its packs that gives embeddings."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.daemon.school import open_school
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.store import taught
from streamclf.store.database import Store
from streamclf.teach.tutor import Lesson
from streamclf.types import FrameScores
from tests.support.tones import RATE, hiss, tone, tone_pack

LESSON = np.concatenate([hiss(0.2), tone(700, 0.5), hiss(0.2)])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path / "store")) as opened:
        yield opened


def two_packs(folder: Path, *, gain: float = 1.0) -> tuple[Engine, Ring]:
    """An engine with a stream under two of them."""
    packs = [load_pack(tone_pack(folder / name, name=name, gain=gain)) for name in ("tones", "bells")]
    engine = Engine([PackRunner(pack, open_session(pack)) for pack in packs])
    ring = Ring(4 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring))
    return engine, ring


def learn(engine: Engine, store: Store, label: str, pack: str, *, keep: bool = True) -> None:
    tutor = open_school(engine, store).tutor
    assert tutor is not None
    learnt = tutor.learn(Lesson(label, pack=pack, samples=LESSON, rate=RATE, keep=keep, stream="low.wav"), now_ns=1)
    with store.transaction() as tx:
        taught.put_class(tx, learnt.made)
        taught.put_example(tx, learnt.example)


def rows(engine: Engine, ring: Ring) -> dict[str, float]:
    """pack -> the highest score of its first label, for the sound that was taught."""
    ring.write(LESSON)
    found: dict[str, float] = {}
    for output in engine.drain():
        if isinstance(output, FrameScores):
            found[output.pack] = max(found.get(output.pack, 0.0), float(output.rows[:, 0].max()))
    return found


def test_each_pack_has_what_was_taught_on_it_from_the_first_frame_on(tmp_path: Path, store: Store) -> None:
    teaching, _ = two_packs(tmp_path)
    learn(teaching, store, "kettle", "")
    learn(teaching, store, "gate", "bells")

    engine, ring = two_packs(tmp_path)
    school = open_school(engine, store)

    assert school.names == {"tones": "taught", "bells": "taught-bells"}
    labels = {one.name: [label.id for label in one.pack.labels] for one in engine.derived}
    assert labels == {"taught": ["kettle"], "taught-bells": ["gate"]}
    found = rows(engine, ring)
    assert found["taught"] > 0.5
    assert found["taught-bells"] > 0.5


def test_another_version_of_a_pack_is_learnt_from_sound_and_said_where_there_is_none(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    teaching, _ = two_packs(tmp_path)
    learn(teaching, store, "kettle", "")
    learn(teaching, store, "gate", "bells", keep=False)

    engine, ring = two_packs(tmp_path, gain=3.0)
    school = open_school(engine, store)

    assert [one.name for one in engine.derived] == ["taught"]
    assert rows(engine, ring)["taught"] > 0.5
    assert list(school.problems) == ["gate"]
    assert "no sound of an example is kept to learn from; show 'gate' again" in caplog.text


def test_without_a_store_or_without_embeddings_nothing_is_taught(tmp_path: Path, store: Store) -> None:
    engine, _ = two_packs(tmp_path)
    assert open_school(engine, None).tutor is None
    deaf = load_pack(tone_pack(tmp_path / "deaf", embedding=""))
    assert open_school(Engine([PackRunner(deaf, open_session(deaf))]), store).packs == {}
