"""`streamclf events mark` and `export` over a real store: what is written, what an export holds, what is refused."""

import csv
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from streamclf.commands.events import events
from streamclf.errors import StoreError, StreamclfError, UsageError
from streamclf.store.clips import Cut, clip_name, write_clip
from streamclf.store.database import Store, reader
from streamclf.store.events import StoredEvent, put_events, query, set_clip, set_mark
from streamclf.store.shortid import short_id
from streamclf.train.data.annotations import read_data, split_by_source
from tests.support.storing import stored

DAY_NS = 86_400 * 10**9


def next_day(number: int, **changes: Any) -> StoredEvent:
    return stored(number, onset_ns=stored().onset_ns + DAY_NS + number, **changes)


MARKED = [
    (stored(1), "right", ""),
    (stored(2), "wrong", "wren"),
    (stored(3), "wrong", ""),
    (next_day(4, label="owl", stream="=yard"), "right", ""),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four marked events with clips, one without a clip, one without a mark, and one whose clip is gone."""
    sound = np.sin(np.arange(1600, dtype=np.float32) / 5)
    with closing(Store.open(tmp_path / "store")) as store, store.transaction() as tx:
        put_events(tx, [event for event, _, _ in MARKED] + [stored(5), stored(6), stored(7)])
        for event in (*(event for event, _, _ in MARKED), stored(6), stored(7)):
            name = clip_name(event, "flac")
            write_clip(store.folder, Cut(event, name, sound, 16_000, None))
            set_clip(tx, event.id, name)
        for event, mark, label in (*MARKED, (stored(5), "right", ""), (stored(7), "right", "")):
            set_mark(tx, event.id, mark, label)
        (store.folder / "clips" / clip_name(stored(7), "flac")).unlink()
    return tmp_path / "store"


def call(folder: Path, *args: str) -> str:
    env = {"STREAMCLF_STORE_PATH": str(folder), "STREAMCLF_CONFIG": None}
    result = CliRunner().invoke(events, args, env=env, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def marks(folder: Path) -> dict[str, tuple[str, str]]:
    with closing(reader(folder)) as connection:
        return {event.id: (event.mark, event.mark_label) for event in query(connection)}


def test_a_mark_is_written_changed_and_taken_back(folder: Path) -> None:
    for args, found in (
        (("wrong", "--label", "wren"), ("wrong", "wren")),
        (("right",), ("right", "")),
        (("none",), ("", "")),
    ):
        assert stored(6).id in call(folder, "mark", stored(6).id, *args)
        assert marks(folder)[stored(6).id] == found


def test_what_cannot_be_marked_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no event 'run/none'"):
        call(folder, "mark", "run/none", "right")
    with pytest.raises(UsageError, match="does not go with right"):
        call(folder, "mark", stored(6).id, "right", "--label", "wren")
    with pytest.raises(UsageError, match="'Great Tit' is not an id of a label; write great_tit"):
        call(folder, "mark", stored(6).id, "wrong", "--label", "Great Tit")
    with pytest.raises(StoreError, match="no events have been kept"):
        call(tmp_path / "elsewhere", "mark", stored(6).id, "right")
    assert not (tmp_path / "elsewhere").exists()
    with closing(Store.open(folder)), pytest.raises(StreamclfError, match=r"another daemon keeps .*--url"):
        call(folder, "mark", stored(6).id, "right")
    with pytest.raises(UsageError, match="`events mark` has options of its own"):
        call(folder, "--since", "7d", "mark", stored(6).id, "right")
    assert marks(folder)[stored(6).id] == ("", "")


def test_marked_clips_become_a_folder_per_class_with_their_origin(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    said = call(folder, "export", "--marked", str(out))
    assert {path.parent.name for path in out.rglob("*.flac")} == {"robin", "wren", "not_robin", "owl"}
    with (out / "sources.csv").open(newline="") as file:
        rows = {row["event"]: row for row in csv.DictReader(file)}
    wrong = rows[stored(2).id]
    assert (wrong["label"], wrong["heard"], wrong["mark"]) == ("wren", "robin", "wrong")
    assert (wrong["stream"], wrong["pack"], wrong["source"]) == ("mic", "birds", "mic@2023-11-14")
    clip = folder / "clips" / clip_name(stored(2), "flac")
    assert (out / wrong["file"]).read_bytes() == clip.read_bytes()
    assert rows[MARKED[3][0].id]["source"] == "'=yard@2023-11-15", "no cell that a spreadsheet would run"
    assert "2 marked events have no clip" in said


def test_train_reads_it_and_never_parts_a_source(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    call(folder, "export", "--marked", str(out))
    recordings, problems = read_data(out)
    assert not problems
    assert sorted(recording.labels for recording in recordings) == [(), ("owl",), ("robin",), ("wren",)]
    mic = {recording.source for recording in recordings if "mic" in recording.path.name}
    assert mic == {"mic@2023-11-14"}
    parts = split_by_source(recordings, (0.5, 0.5))
    assert sum("mic@2023-11-14" in {recording.source for recording in part} for part in parts) == 1
    # moved by hand into another class: its source goes along
    moved = next((out / "wren").iterdir())
    moved.rename(out / "robin" / moved.name)
    again, problems = read_data(out)
    assert not problems
    assert {r.source for r in again if r.path.name == moved.name} == mic


def test_an_export_is_narrowed_and_never_writes_over_anything(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "owls"
    call(folder, "export", "--marked", str(out), "--label", "owl")
    assert [path.parent.name for path in out.rglob("*.flac")] == ["owl"]
    before = sorted(out.rglob("*"))
    with pytest.raises(UsageError, match="is not empty, and nothing is written over"):
        call(folder, "export", "--marked", str(out))
    assert sorted(out.rglob("*")) == before
    with pytest.raises(StreamclfError, match="of 1 marked events none has a clip"):
        call(folder, "export", "--marked", str(tmp_path / "x"), "--since", "2023-11-14T22:13:25+00:00",
             "--until", "2023-11-14T22:13:26+00:00")  # fmt: skip
    with pytest.raises(StreamclfError, match="no event is marked"):
        call(folder, "export", "--marked", str(tmp_path / "x"), "--label", "cat")
    assert not (tmp_path / "x").exists()


def test_a_row_of_the_table_is_marked_by_its_short_id(folder: Path) -> None:
    assert stored(6).id not in call(folder, "mark", short_id(stored(6).id), "right")
    assert marks(folder)[stored(6).id] == ("right", "")
    with pytest.raises(UsageError, match="there is no event 'aaaaaa'; `streamclf events` shows their ids"):
        call(folder, "mark", "aaaaaa", "right")
    with pytest.raises(UsageError, match="its store is not here; give the whole id with --url"):
        call(folder / "no", "mark", "aaaaaa", "right", "--url", "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("", "clips are switched off, .clips. enabled switches them on"),
        ("[clips]\nenabled = true\nlabels = ['owl']\n", "labels does not ask for robin"),
        ("[clips]\nenabled = true\n", "another one of the same visit was better"),
    ],
)
def test_an_export_without_clips_says_which_setting_it_was(tmp_path: Path, config: str, reason: str) -> None:
    with closing(Store.open(tmp_path / "store")) as store, store.transaction() as tx:
        put_events(tx, [stored(1)])
        set_mark(tx, stored(1).id, "right", "")
    (tmp_path / "config.toml").write_text(config)
    with pytest.raises(StreamclfError, match=f"of 1 marked events none has a clip: .*{reason}"):
        call(tmp_path / "store", "export", "--marked", str(tmp_path / "o"), "--config", str(tmp_path / "config.toml"))
