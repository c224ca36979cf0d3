"""`streamclf scores` over a real log: NumPy and Parquet hold the same rows, and what is unclear is a sentence."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from streamclf.clock import NS_PER_FRAME
from streamclf.commands import scores as command
from streamclf.engine.segment import Decision
from streamclf.errors import StreamclfError, UsageError
from streamclf.store import scores as log
from streamclf.store.packfacts import PackFacts
from streamclf.types import FrameScores, Label, Levels
from tests.support.storing import START_NS

SINCE = ("--since", "2023-11-14T22:13:20+00:00", "--until", "2023-11-15T00:00:00+00:00")
FACTS = {"p": PackFacts.of("ab", [Label("a", "A"), Label("time", "Time")], [Decision(), Decision()])}
ROWS = np.random.default_rng(0).random((120, 2), dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    writer = log.ScoreLog(tmp_path, "run1", FACTS)
    level = np.full(120, 0.1, dtype=np.float32)
    writer.take([Levels("mic", 0, level, level)], {"mic": START_NS})
    for first in (0, 60):
        rows = ROWS[first : first + 60]
        writer.take([FrameScores("mic", "p", first + (first > 0) * 10, rows, True, 0)], {"mic": START_NS})
    writer.close()
    return tmp_path


def call(folder: Path, *args: str) -> str:
    env = {"STREAMCLF_STORE_PATH": str(folder), "STREAMCLF_CONFIG": None}
    result = CliRunner().invoke(command.scores, args, env=env, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def test_numpy_holds_every_row_with_its_time(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    said = call(folder, "export", "--npz", str(out), *SINCE)
    assert said == f"120 rows of mic, p, 2 classes: {out}\n"
    with np.load(out, allow_pickle=False) as data:
        np.testing.assert_allclose(data["scores"], ROWS, atol=0.005)
        assert data["frame"].tolist() == [*range(60), *range(70, 130)]
        assert data["time_ns"].tolist() == [START_NS + f * NS_PER_FRAME for f in data["frame"].tolist()]
        assert (data["labels"].tolist(), str(data["stream"]), set(data["run"])) == (["a", "time"], "mic", {"run1"})


def test_parquet_holds_the_same(folder: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow (extra parquet) is not installed")
    call(folder, "export", "--npz", str(tmp_path / "out.npz"), *SINCE)
    call(folder, "export", "--parquet", str(tmp_path / "out.parquet"), *SINCE)
    read = parquet.read_table(tmp_path / "out.parquet")
    assert read.column_names == ["time", "frame", "run", "a", "time_"]
    assert read.schema.metadata[b"pack_hash"] == b"ab"
    with np.load(tmp_path / "out.npz") as data:
        assert read["time"].cast("int64").to_pylist() == data["time_ns"].tolist()
        np.testing.assert_array_equal(read["time_"].to_numpy(), data["scores"][:, 1])


def test_a_part_of_it(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.npz"
    until = "2023-11-14T22:13:20.2+00:00"
    call(folder, "export", "--npz", str(out), *SINCE[:2], "--until", until, "--label", "time")
    with np.load(out) as data:
        assert data["scores"].shape == (10, 1)


def test_levels_are_there_by_name(folder: Path, tmp_path: Path) -> None:
    call(folder, "export", "--npz", str(tmp_path / "out.npz"), "--model", "levels", *SINCE)
    with np.load(tmp_path / "out.npz") as data:
        assert set(data["scores"][:, 0].tolist()) == {-20.0}


def test_the_list_shows_what_is_logged(folder: Path) -> None:
    lines = call(folder, "list").splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["2023-11-14", "mic", "levels", "1"],
        ["2023-11-14", "mic", "p", "2"],
    ]


def test_what_a_crash_cut_off_is_said(folder: Path, tmp_path: Path) -> None:
    (file,) = (f for f in log.files(folder) if f.header.pack == "p")
    file.path.write_bytes(file.path.read_bytes()[:-3])
    said = call(folder, "export", "--npz", str(tmp_path / "out.npz"), *SINCE)
    assert "are not a whole block and were left out" in said
    assert "60 rows of mic" in said


@pytest.fixture
def two_streams(folder: Path) -> Path:
    writer = log.ScoreLog(folder, "run2", FACTS)
    writer.take([FrameScores("garden", "p", 0, ROWS, True, 0)], {"garden": START_NS})
    writer.close()
    return folder


@pytest.mark.parametrize(
    ("args", "fault", "words"),
    [
        ((), UsageError, "say where to with --npz FILE or --parquet FILE"),
        (("--npz", "out", *SINCE), UsageError, "several are logged; choose one of: --stream garden --model p, --str"),
        (("--npz", "out", "--stream", "attic"), UsageError, "no such rows were logged; choose one of"),
        (("--npz", "out", "--stream", "mic", "--label", "owl", *SINCE), UsageError, "--label owl: p has no such class"),
        (("--npz", "out", "--stream", "mic"), StreamclfError, "no row was logged between"),
        (("--npz", "/proc/x/out", "--stream", "mic", *SINCE), StreamclfError, "cannot be written"),
    ],
)
def test_what_is_unclear_is_a_sentence(
    two_streams: Path, args: tuple[str, ...], fault: type[StreamclfError], words: str
) -> None:
    with pytest.raises(fault, match=words):
        call(two_streams, "export", *args)


def test_nothing_logged_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StreamclfError, match=r"no scores have been logged.*\[scores\] enabled = true"):
        call(tmp_path, "export", "--npz", str(tmp_path / "out.npz"))


def test_parquet_without_its_library_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'streamclf\[parquet\]', or --npz"):
        call(folder, "export", "--parquet", "out")
