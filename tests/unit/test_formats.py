"""What `classify` writes, and that other people's text stays text in it."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamclf.commands import formats
from streamclf.commands.rowfiles import NpzRows
from streamclf.types import Event, Label, Stage

LABELS = (Label("robin", "=1+1\nRobin"), Label("dog", "Dog"))
NAMES = {("p", label.id): label.name for label in LABELS}
EVENT = Event("a,b.wav", "p", "x", "robin", Stage.CLOSE, 50, 75, 0.9, 0.5, 90)
ROWS = np.arange(8, dtype=np.float32).reshape(4, 2) / np.float32(10)
SCORES = formats.FileScores("a.wav", "p", LABELS, 48_000, 16_000, 3, ROWS, file="b/a.wav")


def test_ndjson_scores_carry_frames_in_order() -> None:
    out = io.StringIO()
    formats.scores_ndjson(SCORES, out, batch=3)
    messages = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(m["first_frame"], m["count"]) for m in messages] == [(3, 3), (6, 1)]
    assert [m["rows"] for m in messages] == [[[0.0, 0.1], [0.2, 0.3], [0.4, 0.5]], [[0.6, 0.7]]]
    assert messages[0]["labels"] == ["robin", "dog"]


def test_csv_scores_have_a_line_a_frame() -> None:
    out = io.StringIO()
    formats.scores_csv(SCORES, out)
    rows = list(csv.reader(io.StringIO(out.getvalue())))
    assert rows[0] == ["file", "frame", "start_s", "robin", "dog"]
    assert rows[1][:3] == ["b/a.wav", "3", "0.060"]
    assert len(rows) == 5


def test_npz_holds_what_the_documentation_says_and_no_pickle(tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    rows = NpzRows(path)
    for first in range(0, len(ROWS), 2):
        rows.write(replace(SCORES, first_frame=3 + first, rows=ROWS[first : first + 2]))
    rows.close()
    with np.load(path, allow_pickle=False) as data:
        np.testing.assert_array_equal(data["scores"], SCORES.rows)
        assert data["scores"].dtype == np.float32
        assert (int(data["first_frame"]), int(data["rate"])) == (3, 48_000)
        assert data["labels"].tolist() == ["robin", "dog"]


def test_events_in_seconds_in_every_format() -> None:
    out = io.StringIO()
    formats.events_ndjson([EVENT], out)
    assert json.loads(out.getvalue())["onset_s"] == pytest.approx(1.0)
    out = io.StringIO()
    formats.events_audacity([EVENT], NAMES, out)
    assert out.getvalue() == "1.000\t1.500\t'=1+1 Robin\n"
    out = io.StringIO()
    formats.events_raven([EVENT], NAMES, 48_000, out)
    header, row = (line.split("\t") for line in out.getvalue().splitlines())
    assert dict(zip(header, row, strict=True))["Begin Time (s)"] == "1.000"
    assert dict(zip(header, row, strict=True))["High Freq (Hz)"] == "24000"


def test_csv_events_are_quoted_and_no_formula() -> None:
    out = io.StringIO()
    formats.events_csv([EVENT], NAMES, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert rows[0]["stream"] == "a,b.wav"
    assert rows[0]["name"] == "'=1+1 Robin"
