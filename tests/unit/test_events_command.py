"""`streamclf events` over a real store: what it finds, in every format, and that other people's text stays text."""

import csv
import io
import json
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from streamclf.commands.events import events
from streamclf.errors import StoreError, UsageError
from streamclf.store.database import Store
from streamclf.store.events import put_events, set_mark
from streamclf.store.gaps import GapsWaiting
from streamclf.store.shortid import short_id
from tests.support.storing import START_NS, stored

SINCE = ("--since", "2023-11-14T22:13:20+00:00")  # START_NS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(
            tx,
            [
                stored(1, level_db=-31.5, clip="a.flac"),
                stored(2, label="owl", peak=0.6, stage="open"),
                stored(3, stream="=cmd()\n\x1b[2J", label="speech", group="voice"),
                stored(4, test=True),
            ],
        )
    return tmp_path


def call(folder: Path, *args: str) -> str:
    env = {"STREAMCLF_STORE_PATH": str(folder), "STREAMCLF_CONFIG": None}
    result = CliRunner().invoke(events, args, env=env, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def ndjson(folder: Path, *args: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in call(folder, "--format", "ndjson", *args).splitlines()]


@pytest.mark.parametrize(
    ("args", "numbers"),
    [
        ((), [1, 2, 3]),
        (("--label", "owl"), [2]),
        (("--label", "owl", "--label", "group:voice"), [2, 3]),
        (("--stream", "mic"), [1, 2]),
        (("--min-peak", "0.8"), [1, 3]),
        (("--until", "2023-11-14T22:13:22+00:00"), [1]),
        (("--limit", "1"), [3]),
        (("--test",), [4]),
    ],
)
def test_wishes(folder: Path, args: tuple[str, ...], numbers: list[int]) -> None:
    assert [event["onset_frame"] // 50 for event in ndjson(folder, *SINCE, *args)] == numbers


def test_the_last_day_is_the_default(folder: Path) -> None:
    assert ndjson(folder) == []


def test_ndjson_holds_all_that_is_known(folder: Path) -> None:
    event = ndjson(folder, *SINCE)[0]
    wanted = {"id": stored(1).id, "onset_ns": START_NS + 10**9, "enter": 0.5, "min_off_ms": 200, "clip": "a.flac"}
    assert wanted.items() <= event.items()
    assert event["onset"].startswith("2023-11-1")


def test_a_table_shows_other_peoples_text_as_text(folder: Path) -> None:
    lines = call(folder, *SINCE).splitlines()
    assert len(lines) == 4
    assert "-32" in lines[1]
    assert "lasts" in lines[2]
    assert "=cmd()\\n\\x1b[2J" in lines[3]


def test_csv_has_no_formula_and_numbers_are_numbers(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(call(folder, *SINCE, "--format", "csv"))))
    assert [row["level_db"] for row in rows] == ["-31.5", "", ""]
    assert rows[2]["stream"] == "'=cmd()  [2J"
    assert rows[1]["offset"] == ""


def test_a_spreadsheet_finds_local_time_utc_duration_and_id(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        rows = list(csv.DictReader(io.StringIO(call(folder, *SINCE, "--format", "csv"))))
    finally:
        monkeypatch.undo()
        time.tzset()
    first = rows[0]
    assert list(first)[:3] == ["local_time", "utc", "duration_s"]
    assert (first["local_time"], first["utc"]) == ("2023-11-15 03:43:21.00", "2023-11-14 22:13:21.00")
    assert [row["duration_s"] for row in rows] == ["1.0", "", "1.0"], "what lasts has none"
    assert first["id"] == stored(1).id


def test_audacity_and_raven_count_from_since(folder: Path) -> None:
    assert call(folder, *SINCE, "--format", "audacity").splitlines()[0] == "1.000\t2.000\trobin"
    raven = call(folder, *SINCE, "--format", "raven").splitlines()
    assert raven[2].split("\t")[3:8] == ["2.000", "3.000", "0", "24000", "owl"]


def test_what_cannot_be_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--format raven is for what is over"):
        call(folder, "--follow", "--format", "raven")
    with pytest.raises(StoreError, match="no events have been kept"):
        call(tmp_path / "elsewhere")


def test_the_table_has_short_ids_marks_and_what_was_not_heard(folder: Path) -> None:
    waiting = GapsWaiting()
    waiting.not_running(["mic"], START_NS + 1_500_000_000, START_NS + 1_900_000_000)
    with closing(Store.open(folder)) as store, store.transaction() as tx:
        set_mark(tx, stored(1).id, "wrong", "wren")
        waiting.write(tx)
    lines = call(folder, *SINCE).splitlines()
    assert f"wrong, wren  {short_id(stored(1).id)}  a.flac" in lines[1]
    assert "mic" in lines[2]
    assert "(not heard: no daemon ran)" in lines[2]
    assert len(lines) == 5
    assert "not heard" not in call(folder, *SINCE, "--stream", "yard")
    assert len(call(folder, *SINCE, "--format", "csv").splitlines()) == 4
