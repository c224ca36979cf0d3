"""`streamclf events forget` on a real store: what is left in its files."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from streamclf.clock import NS_PER_SECOND
from streamclf.commands.events import events
from streamclf.engine.segment import Decision
from streamclf.errors import StreamclfError, UsageError
from streamclf.store import scores
from streamclf.store.clips import FOLDER
from streamclf.store.database import FILE_NAME, Store, reader
from streamclf.store.events import put_events, query
from streamclf.store.moments import Moment, put_moments
from streamclf.store.packfacts import PackFacts
from streamclf.store.scores import ScoreLog
from streamclf.types import FrameScores, Label, Levels
from tests.support.storing import START_NS, stored

FACTS = {"birds": PackFacts.of("ab", [Label("robin", "Robin", "bird")], [Decision()])}
SECONDS = 100


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Events of a second at 0, 40 and 80 s, the last one on another stream, each with all that is kept of it."""
    folder = tmp_path / "store"
    heard = [stored(0), stored(40, label="neighbour", clip="a/40.flac"), stored(80, stream="porch", clip="a/80.flac")]
    with closing(Store.open(folder)) as store, store.transaction() as tx:
        put_events(tx, heard)
        tx.execute("INSERT INTO alerts VALUES ('a', 'r', ?, 'x', 'open', 0, 0, 'neighbour')", (heard[1].id,))
        tx.execute("INSERT INTO deliveries VALUES ('a', 's', 'r', 0, 'pending', 0, 0, 0, '', NULL)")
        numbers = np.ones(4, np.float32)
        put_moments(tx, [Moment(event.onset_ns, event.stream, event.id, "x", "i", numbers) for event in heard])
    for name in ("a/40.flac", "a/80.flac"):
        (folder / FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / FOLDER / name).write_bytes(b"sound")
    log = ScoreLog(folder, "run1", FACTS)
    frames = SECONDS * 50
    rows = np.linspace(0, 1, frames, dtype=np.float32)
    for stream in ("mic", "porch"):
        row = FrameScores(stream, "birds", 0, rows[:, None], True, 0)
        log.take([row, Levels(stream, 0, rows, rows)], {stream: START_NS})
    log.close()
    return tmp_path


def forget(kept: Path, *args: str) -> str:
    env = {"STREAMCLF_STORE_PATH": str(kept / "store")}
    result = CliRunner().invoke(events, ["forget", *args], env=env, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def rows_left(folder: Path, stream: str) -> list[np.ndarray]:
    found = [file for file in scores.files(folder) if file.header.stream == stream]
    return [np.concatenate([stretch.codes for stretch in file.stretches()]) for file in found]


def test_of_an_event_that_is_forgotten_nothing_is_left_and_of_others_all(kept: Path) -> None:
    folder = kept / "store"
    before = {stream: rows_left(folder, stream) for stream in ("mic", "porch")}
    told = forget(kept, "run/mic/birds/robin/40")
    assert "1 event, 1 clip and all else" in told
    assert (folder / FOLDER / "a/40.flac").exists()
    told = forget(kept, "run/mic/birds/robin/40", "--yes")
    assert "1 event, 1 clip, 1 alert, 100 score rows, 1 embedding, 0 minutes of loudness" in told
    with closing(reader(folder)) as connection:
        assert [event.onset_frame for event in query(connection)] == [0, 4000]
        assert connection.execute("SELECT count(*) FROM moments").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM deliveries").fetchone() == (0,)
    assert sorted(path.name for path in (folder / FOLDER).rglob("*.flac")) == ["80.flac"]
    assert not any(b"neighbour" in path.read_bytes() for path in folder.glob(f"{FILE_NAME}*"))
    for was, left in zip(before["mic"], rows_left(folder, "mic"), strict=True):
        assert np.array_equal(left, np.delete(was, slice(2000, 2050), axis=0))
    assert all(map(np.array_equal, before["porch"], rows_left(folder, "porch")))


def test_a_time_is_forgotten_on_all_streams_and_whole_files_go(kept: Path) -> None:
    told = forget(kept, "--since", moment(-1), "--until", moment(SECONDS), "--yes")
    assert "3 events, 2 clips, 1 alert, 20000 score rows, 3 embeddings" in told
    assert not list((kept / "store" / scores.FOLDER).rglob("*.scores"))


@pytest.mark.parametrize("args", [(), ("--since", "1h"), ("x", "--since", "1h"), ("x", "--stream", "mic")])
def test_what_is_to_be_forgotten_has_to_be_said(kept: Path, args: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        forget(kept, *args)


def test_under_a_daemon_nothing_is_forgotten_and_it_is_said_what_to_do(kept: Path) -> None:
    with closing(Store.open(kept / "store")), pytest.raises(StreamclfError, match="stop that daemon"):
        forget(kept, "run/mic/birds/robin/40", "--yes")
    assert (kept / "store" / FOLDER / "a/40.flac").exists()


def moment(seconds: int) -> str:
    return datetime.fromtimestamp(START_NS // NS_PER_SECOND + seconds, UTC).isoformat()
