"""Score rows, clips and room on the disk, as the writer has them done: what is written, named, replaced, or said."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from streamclf import metrics
from streamclf.audio.ring import Ring
from streamclf.config import ClipsConfig, ScoresConfig, StoreConfig
from streamclf.store import scores as log
from streamclf.store.clips import FOLDER, Clipper, ClipSource
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent, put_events, query
from streamclf.store.retention import Retention
from streamclf.store.scores import ScoreLog
from streamclf.types import FrameScores, Label, Levels, Output
from streamclf.writer.housekeeping import Housekeeping
from tests.support.storing import FACTS, START_NS, stored

RATE, HOP = 16_000, 320


class House:
    """Housekeeping over a real store; one stream, mic, whose ring holds noise."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(folder)
        ever = 36_500  # the events of tests are old
        clips = ClipsConfig(enabled=True, pre_ms=100, post_ms=100, keep_days=ever)
        limits = StoreConfig(ballast_mb=0, headroom_mb=1, keep_days=ever)
        self.ring = Ring(60 * RATE)
        self.keeping = Housekeeping(
            self.store,
            Retention(self.store, limits, ScoresConfig(keep_days=ever), clips),
            scores=ScoreLog(folder, "run1", FACTS),
            clipper=self.clipper(clips),
            make_clipper=self.clipper,
        )
        self.heard = 0

    def clipper(self, clips: ClipsConfig) -> Clipper:
        return Clipper(clips, {"mic": ClipSource(self.ring, RATE, ("birds",))}, {"birds": [Label("robin", "Robin")]})

    def hear(self, frames: int, *events: StoredEvent) -> None:
        self.ring.write(np.full(frames * HOP, 0.1, dtype=np.float32))
        level = np.zeros(frames, dtype=np.float32)
        rows = np.zeros((frames, 1), dtype=np.float32)
        outputs: list[Output] = [
            Levels("mic", self.heard, level, level),
            FrameScores("mic", "birds", self.heard, rows, True, 0),
        ]
        self.heard += frames
        self.keeping.take(outputs, {"mic": START_NS}, events)
        self.keeping.tick()

    def event(self, number: int, **changes: Any) -> list[StoredEvent]:
        """Opens and closes within the second `number`; in the store."""
        event = stored(number, onset_frame=50 * number + 10, offset_frame=50 * number + 30, **changes)
        with self.store.transaction() as tx:
            put_events(tx, [event])
        return [msgspec.structs.replace(event, stage="open", offset_frame=None, offset_ns=None), event]

    def finish(self) -> None:
        self.keeping.close()
        with self.store.transaction() as tx:
            while not self.keeping.writes.empty():
                self.keeping.writes.get_nowait()(tx)

    def clips(self) -> list[str]:
        """The clip of each event, and no other file is there."""
        named = [event.clip for event in query(self.store.connection)]
        folder = self.store.folder / FOLDER
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
        assert files == {name for name in named if name}
        return named


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    with closing(made.store):
        yield made


def value(name: str) -> float:
    return metrics.REGISTRY.get_sample_value(name) or 0.0


def test_a_clip_is_written_and_named_and_a_better_one_takes_its_place(house: House) -> None:
    for number, peak in enumerate((0.6, 0.9, 0.8)):
        house.hear(50, *house.event(number, peak=peak))
    house.hear(50)
    house.finish()
    first, second, third = house.clips()
    assert (first, third) == ("", "")
    assert second.startswith("2023-11-14/221321_mic_robin_")
    assert house.keeping.problem == ""


def test_rows_and_levels_are_logged(house: House) -> None:
    house.hear(70)
    house.finish()
    assert sorted((f.header.pack, len(s.codes)) for f in log.files(house.store.folder) for s in f.stretches()) == [
        ("birds", 70),
        ("levels", 70),
    ]


def test_short_of_space_there_are_no_clips_and_no_rows_and_it_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Retention, "free", property(lambda _: 500_000))
    lost = value("streamclf_clips_lost_total")
    house.hear(10)
    assert "free in" in house.keeping.problem
    assert "[store] headroom_mb: no clips and no score rows are kept" in house.keeping.problem
    house.hear(90, *house.event(1))
    house.finish()
    assert house.clips() == [""]
    assert value("streamclf_clips_lost_total") == lost + 1
    frames = [len(s.codes) for f in log.files(house.store.folder) for s in f.stretches()]
    assert frames == [10, 10]  # what came before the first look


@pytest.mark.parametrize(("name", "words"), [("clips", "clips cannot be written"), ("scores", "score rows cannot be")])
def test_what_cannot_be_written_is_said_and_the_rest_is_kept(house: House, name: str, words: str) -> None:
    (house.store.folder / name).write_bytes(b"in the way")
    house.hear(100, *house.event(1))
    house.finish()
    assert words in house.keeping.problem
    assert (house.store.folder / {"clips": "scores", "scores": "clips"}[name]).is_dir()


def test_clips_are_switched_off_and_on_while_it_runs(house: House) -> None:
    limits, scores = StoreConfig(ballast_mb=0, headroom_mb=1, keep_days=36_500), ScoresConfig(keep_days=36_500)
    clips = ClipsConfig(enabled=True, pre_ms=100, post_ms=100, visit_ms=0, keep_days=36_500)
    house.keeping.keep(limits, scores, msgspec.structs.replace(clips, enabled=False))
    house.hear(50, *house.event(0))
    house.keeping.keep(limits, scores, clips)
    house.hear(50, *house.event(1))
    opened, closed = house.event(9)
    house.hear(380, opened)
    house.keeping.keep(limits, scores, msgspec.structs.replace(clips, format="opus"))
    house.hear(70, closed)
    house.finish()
    first, second, third = house.clips()
    assert (first, second.rpartition(".")[2], third.rpartition(".")[2]) == ("", "flac", "opus")
