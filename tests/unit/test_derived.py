"""A pack without a session: its rows and events come through the engine as any other's."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.engine.batch import PackRunner
from streamclf.engine.derived import Derived, DerivedTrack, derived_manifest, derived_pack
from streamclf.engine.engine import Engine
from streamclf.engine.segment import Segmenter
from streamclf.engine.stream import Stream
from streamclf.engine.track import Track
from streamclf.errors import PackError
from streamclf.model.fusedsession import open_session
from streamclf.model.geometry import check
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.types import F32, Event, FrameScores, Gap, GapReason, Label, Stage
from tools.lab.tinypack import stateful_pack

RATE = 8000
HOP = RATE // 50


class PeakTrack(DerivedTrack):
    """The peak of each frame, for every label."""

    def __init__(self, pack: Pack, segmenter: Segmenter, stream: Stream) -> None:
        super().__init__(pack, segmenter, stream=stream.name)
        self._rows: list[tuple[int, F32, int]] = []
        self.begins_at = 0
        stream.listen_whole(self._hear)

    def _hear(self, first: int, frames: F32) -> None:
        rows = np.repeat(np.abs(frames).max(axis=1)[:, np.newaxis], len(self.segmenter.labels), axis=1)
        self._rows.append((first, rows, (first + len(frames)) * frames.shape[1]))

    def due(self) -> Iterable[tuple[int, F32, int]]:
        rows, self._rows = self._rows, []
        return rows

    def anew(self, frame: int) -> None:
        self.begins_at = frame
        self._rows.clear()

    def finished(self, frames: int) -> None:
        pass


class Peak(Derived):
    def __init__(self) -> None:
        manifest = derived_manifest("peak", version="1", title="Peak", source="the sound")
        super().__init__(derived_pack(manifest, [Label("high", "High")]))

    def track(self, stream: Stream, tracks: Sequence[Track], segmenter: Segmenter) -> DerivedTrack:
        assert [track.manifest.name for track in tracks] == ["tiny-stateful"]
        return PeakTrack(self.pack, segmenter, stream)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return load_pack(stateful_pack(tmp_path_factory.mktemp("packs") / "tiny"))


@pytest.fixture
def engine(model: Pack) -> Engine:
    return Engine([PackRunner(model, open_session(model))], derived=[Peak()])


def heard(engine: Engine, ring: Ring, sound: F32, sizes: Iterable[int]) -> list[object]:
    outputs: list[object] = []
    at = 0
    for size in sizes:
        ring.write(sound[at : at + size])
        at += size
        outputs += engine.tick()
    return [*outputs, *engine.drain()]


def sound_of(frames: int) -> F32:
    """One second of a square wave in the middle of quiet."""
    sound = np.tile(np.array([0.01, -0.01], dtype=np.float32), frames * HOP // 2)
    sound[50 * HOP : 100 * HOP] *= 80
    return sound


@pytest.mark.parametrize("block", [37, HOP, 1000])
def test_rows_and_events_come_for_any_blocks(engine: Engine, block: int) -> None:
    ring = Ring(10 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring))
    sound = sound_of(150)
    outputs = heard(engine, ring, sound, [block] * (len(sound) // block + 1)) + list(engine.finish("mic"))
    rows = [o for o in outputs if isinstance(o, FrameScores) and o.pack == "peak"]
    whole = np.concatenate([scores.rows for scores in rows])
    assert [scores.first_frame for scores in rows] == list(np.cumsum([0, *(len(s.rows) for s in rows)])[:-1])
    np.testing.assert_allclose(whole[:, 0], np.abs(sound).reshape(-1, HOP).max(axis=1), atol=2e-3)
    events = [o for o in outputs if isinstance(o, Event) and o.pack == "peak"]
    assert [(e.label, e.stage) for e in events if e.stage is not Stage.UPDATE] == [
        ("high", Stage.OPEN),
        ("high", Stage.CLOSE),
    ]
    assert (events[-1].onset_frame, events[-1].offset_frame) == (50, 100)
    assert [o.pack for o in outputs if isinstance(o, FrameScores)].count("tiny-stateful") > 0


def test_a_gap_closes_its_events_and_begins_it_anew(engine: Engine) -> None:
    ring = Ring(10 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring))
    outputs = heard(engine, ring, sound_of(80), [80 * HOP])
    ring.skip(HOP, GapReason.LOST)
    outputs = [o for o in engine.drain() if isinstance(o, Gap) or (isinstance(o, Event) and o.pack == "peak")]
    assert [(type(o), getattr(o, "ended_by", "")) for o in outputs] == [(Event, "gap"), (Gap, "")]
    track = engine.tracks["mic"][-1]
    assert isinstance(track, PeakTrack)
    assert track.begins_at == 81


def test_other_labels_close_what_is_open(engine: Engine) -> None:
    ring = Ring(10 * RATE)
    engine.add(Stream("mic", rate=RATE, ring=ring))
    heard(engine, ring, sound_of(80), [80 * HOP])
    before = engine.packs[-1].digest
    (closed,) = engine.relabel("peak", [Label("one", "One", enter=0.2), Label("two", "Two", enter=0.9)])
    assert isinstance(closed, Event)
    assert (closed.label, closed.stage, closed.ended_by) == ("high", Stage.CLOSE, "changed")
    assert engine.packs[-1].digest != before
    outputs = heard(engine, ring, sound_of(100)[50 * HOP :], [50 * HOP])
    rows = [o for o in outputs if isinstance(o, FrameScores) and o.pack == "peak"]
    assert rows[0].rows.shape[1] == 2
    opened = [o for o in outputs if isinstance(o, Event) and o.pack == "peak" and o.stage is Stage.OPEN]
    assert [event.label for event in opened] == ["one"]


def test_it_does_not_make_a_stream_scored(engine: Engine) -> None:
    engine.add(Stream("mic", rate=RATE, ring=Ring(10 * RATE)))
    assert not engine.unscored("mic")
    (runner,) = engine.runners
    engine.lose(runner)
    assert engine.unscored("mic")
    engine.remove("mic")
    assert engine.tracks == {}


def test_a_folder_cannot_be_derived() -> None:
    manifest = derived_manifest("peak", version="1", title="Peak", source="the sound")
    with pytest.raises(PackError, match="which no folder can hold"):
        check(manifest)


def test_the_folder_of_a_pack_has_none(model: Pack, tmp_path: Path) -> None:
    text = Path(model.path, "pack.toml").read_text().replace('shape = "stateful"', 'shape = "derived"')
    folder = tmp_path / "tiny-stateful"
    folder.mkdir()
    for file in Path(model.path).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "pack.toml").write_text(text)
    with pytest.raises(PackError, match="derived"):
        load_pack(folder)
