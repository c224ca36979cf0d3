"""`classify` of several recordings: a bad one ends nothing, names that repeat stay apart, every row names its file."""

import csv
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from pyarrow import parquet

from streamclf.audio.sources.hush import own_errors
from streamclf.commands.classify import classify
from streamclf.commands.formats import FileScores
from streamclf.commands.results import Results
from streamclf.train.data.annotations import read_data
from tools.lab.tinypack import RATE, stateful_pack


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return stateful_pack(tmp_path / "pack", name="tiny")


def bursts(path: Path, *, rate: int = RATE, seconds: float = 3.0, channels: int = 1) -> Path:
    """Loud in its second second; the pack's first class is how loud it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(3).uniform(-0.9, 0.9, round(seconds * rate)).astype(np.float32)
    sound[:rate] = 0
    sound[2 * rate :] = 0
    soundfile.write(path, np.tile(sound[:, None], (1, channels)), rate, subtype="FLOAT")
    return path


def run(pack: Path, *args: object) -> Result:
    config = pack.parent / "config.toml"  # of the pack's classes the one alone that tells how loud it is
    config.write_text('[segmentation."group:random"]\nenter = 1.0\nleave = 1.0\n')
    return CliRunner().invoke(classify, ["--model", str(pack), "--config", str(config), "--jobs", "1", *map(str, args)])


def test_one_bad_file_of_any_kind_is_named_and_the_others_are_done(tmp_path: Path, pack: Path) -> None:
    good = [bursts(tmp_path / "good.wav"), bursts(tmp_path / "odd.wav", rate=11_025)]
    absent, text, huge = tmp_path / "absent.wav", tmp_path / "text.wav", tmp_path / "huge.wav"
    text.write_text("hello")
    soundfile.write(huge, np.zeros(100), 8000)
    header = bytearray(huge.read_bytes())
    header[24:28] = (1_700_000_000).to_bytes(4, "little")
    huge.write_bytes(header)
    cut = tmp_path / "cut.wav"
    cut.write_bytes(good[0].read_bytes()[:-40_000])

    done = run(pack, absent, good[0], text, huge, good[1], cut)

    told = [json.loads(line)["file"] for line in done.stdout.splitlines()]
    assert done.exit_code == 1
    assert set(told) == {str(good[0]), str(good[1]), str(cut)}
    assert str(done.exception).startswith("3 of 6 files could not be read: ")
    errors = done.stderr.splitlines()
    assert [line.split(": ")[1] for line in errors] == ["error", "error", "error", "warning"]
    for path, line in zip((absent, text, huge, cut), errors, strict=True):
        assert str(path) in line
    assert "is cut off after" in errors[3]


def test_a_folder_is_refused_with_what_hears_all_that_lies_in_it(tmp_path: Path, pack: Path) -> None:
    folder = bursts(tmp_path / "my night" / "one.wav").parent
    bursts(folder / "two.wav")

    refused = run(pack, folder)

    typed = str(refused.exception).split("give ")[1]
    shown = subprocess.run(["bash", "-c", f"printf '%s\\n' {typed}"], capture_output=True, text=True, check=True)
    files = shown.stdout.splitlines()
    assert files == [str(folder / "one.wav"), str(folder / "two.wav")]
    assert {json.loads(line)["file"] for line in run(pack, *files).stdout.splitlines()} == set(files)


def test_files_of_one_name_in_two_folders_stay_apart_wherever_results_go(tmp_path: Path, pack: Path) -> None:
    files = [bursts(tmp_path / folder / "20260501_050000.WAV") for folder in ("day/a", "day/b")]
    out = tmp_path / "out"

    several = run(pack, *files, files[0], "--format", "raven", "--out", out)
    assert several.exit_code == 0, several.output
    made = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.txt"))
    assert made == [f"{folder}/20260501_050000.WAV.selections.txt" for folder in ("a", "b")]

    for form in ("csv", "raven", "audacity", "ndjson"):
        told = run(pack, *files, "--format", form).stdout
        assert all(told.count(str(path)) == 1 for path in files), form
        assert len(told.splitlines()) == (3 if form in ("csv", "raven") else 2), "one header"
    rows = list(csv.DictReader(io.StringIO(run(pack, *files, "--format", "csv").stdout)))
    assert [row["stream"] for row in rows] == ["a/20260501_050000.WAV", "b/20260501_050000.WAV"]
    selections = list(csv.DictReader(io.StringIO(run(pack, *files, "--format", "raven").stdout), delimiter="\t"))
    assert [row["Selection"] for row in selections] == ["1", "2"]
    scores = run(pack, *files, "--scores", "--format", "csv").stdout.splitlines()
    assert len([line for line in scores if line.startswith("file,")]) == 1
    assert len(scores) == 1 + 2 * 150


def test_what_is_written_beside_recordings_is_read_back_as_annotations(tmp_path: Path, pack: Path) -> None:
    folder = tmp_path / "recordings"
    files = [bursts(folder / place / "night.wav") for place in ("north", "south")]
    table = run(pack, *files, "--format", "raven").stdout
    (folder / "all.selections.txt").write_text(table)

    found, left_out = read_data(folder)

    assert left_out == []
    spans = {Path(recording.path).relative_to(folder).as_posix(): recording.spans for recording in found}
    assert set(spans) == {"north/night.wav", "south/night.wav"}
    for at in spans.values():
        assert at is not None
        assert [(round(span.onset_s), round(span.offset_s)) for span in at] == [(1, 2)]


def test_a_channel_is_chosen_and_a_mix_that_hides_is_told(tmp_path: Path, pack: Path) -> None:
    path = bursts(tmp_path / "stereo.wav", channels=2)
    sound, _ = soundfile.read(path, dtype="float32")
    soundfile.write(path, sound * np.array([1, -1], np.float32), RATE, subtype="FLOAT")

    mixed, left = run(pack, path), run(pack, path, "--channel", 1)
    beyond = run(pack, path, "--channel", 3)

    assert (mixed.stdout, mixed.exit_code) == ("", 0)
    assert "cancel each other (antiphase)" in mixed.stderr
    assert (len(left.stdout.splitlines()), left.stderr) == (1, "")
    assert "has 2 channels, so ch=3 does not exist" in str(beyond.exception)


@pytest.mark.parametrize("suffix", ["csv", "ndjson", "parquet"])
def test_one_table_holds_all_files_with_their_paths(tmp_path: Path, pack: Path, suffix: str) -> None:
    loud = [bursts(tmp_path / folder / "night.wav") for folder in "ab"]
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    out = tmp_path / f"all.{suffix}"

    assert run(pack, *loud, silent, "--out", out).exit_code == 0
    events = rows_of(out)
    assert [row["file"] for row in events] == [str(path) for path in loud]
    assert [round(float(row["offset_s"]) - float(row["onset_s"])) for row in events] == [1, 1]

    assert run(pack, *loud, silent, "--summary", "--out", out).exit_code == 0
    summary = rows_of(out)
    assert [row["file"] for row in summary] == [str(path) for path in (*loud, silent)], "also without an event"
    assert [int(row["events"]) for row in summary] == [1, 1, 0]
    assert [float(row["duration_s"]) for row in summary] == [3, 3, 1]
    assert summary[0]["label_1"] == events[0]["label"]
    assert 1 >= float(summary[0]["peak_1"]) >= float(summary[0]["peak_2"]) >= float(summary[0]["peak_3"]) > 0


def rows_of(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        found: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
        return found
    text = path.read_text("utf-8")
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(text)))
    return [json.loads(line) for line in text.splitlines()]


def test_scores_of_several_files_are_one_table_too(tmp_path: Path, pack: Path) -> None:
    files = [bursts(tmp_path / folder / "night.wav") for folder in "ab"]
    out = tmp_path / "all.parquet"
    assert run(pack, *files, "--scores", "--out", out).exit_code == 0
    assert [row["file"] for row in rows_of(out)] == [str(files[0])] * 150 + [str(files[1])] * 150


@pytest.mark.parametrize("out", ["all.csv", "all.ndjson", "all.parquet", "all.npz", "folder"])
@pytest.mark.parametrize("native", [[], ["--native"]])
def test_rows_that_come_in_pieces_are_those_that_come_at_once(
    tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch, out: str, native: list[str]
) -> None:
    path = bursts(tmp_path / "night.wav")
    form = ["--format", "npz"] if out == "folder" else []
    whole, pieces = tmp_path / "whole" / out, tmp_path / "pieces" / out
    given: list[int] = []
    write = Results.rows

    def counting(self: Results, piece: FileScores) -> None:
        given.append(len(piece.rows))
        write(self, piece)

    monkeypatch.setattr(Results, "rows", counting)
    for target, most in ((whole, 4 << 20), (pieces, 1)):
        target.parent.mkdir()
        monkeypatch.setattr("streamclf.commands.rowfiles._PIECE_BYTES", most)
        assert run(pack, path, "--scores", *native, *form, "--out", target).exit_code == 0
    assert given == [150, 50, 50, 50]
    assert contents(whole) == contents(pieces)


def contents(path: Path) -> Any:
    """Of a table, or of the one file of a folder; of an npz name -> values."""
    if path.is_dir():
        (path,) = path.iterdir()
    if path.suffix != ".npz":
        return rows_of(path)
    with np.load(path, allow_pickle=False) as data:
        assert len(data["scores"]) == 150
        return {name: data[name].tolist() for name in data.files}


def test_a_file_that_breaks_off_leaves_no_rows_that_look_whole(
    tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = bursts(tmp_path / "good.wav"), bursts(tmp_path / "bad.wav")
    monkeypatch.setattr("streamclf.commands.rowfiles._PIECE_BYTES", 1)
    write = Results.rows

    def breaking(self: Results, piece: FileScores) -> None:
        write(self, piece)
        if piece.file == str(bad) and piece.first_frame:
            raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Results, "rows", breaking)
    for form in ("csv", "ndjson", "npz", "parquet"):
        done = run(pack, bad, good, "--scores", "--format", form, "--out", tmp_path / form)
        assert done.exit_code == 1
        assert "1 of 2 files could not be read" in str(done.exception)
        assert [path.name for path in (tmp_path / form).iterdir()] == [f"good.wav.tiny.{form}"]


def test_scores_of_two_packs_are_no_one_csv(tmp_path: Path, pack: Path) -> None:
    other = stateful_pack(tmp_path / "other", name="other")
    refused = run(pack, bursts(tmp_path / "a.wav"), "--model", other, "--scores", "--format", "csv")
    assert "standard output cannot hold the scores of several models; name a folder by --out" in str(refused.exception)


def test_a_full_disk_is_told_as_one(tmp_path: Path, pack: Path) -> None:
    out = tmp_path / "all.ndjson"
    out.symlink_to("/dev/full")
    done = run(pack, bursts(tmp_path / "a.wav"), bursts(tmp_path / "b.wav"), "--scores", "--out", out)
    assert str(done.exception) == "results cannot be written: No space left on device; choose another --out"


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamclf.commands.results.find_spec", lambda name: None)
    refused = run(pack, bursts(tmp_path / "a.wav"), "--out", tmp_path / "all.parquet")
    assert "pip install 'streamclf[parquet]'" in str(refused.exception)


def test_a_result_never_takes_the_place_of_a_recording(tmp_path: Path, pack: Path) -> None:
    path = bursts(tmp_path / "a.wav")
    assert "is one of the files to hear" in str(run(pack, path, "--out", path).exception)
    assert len(soundfile.read(path)[0]) == 3 * RATE


def test_a_gain_in_decibels_lifts_what_is_quiet(tmp_path: Path, pack: Path) -> None:
    path = bursts(tmp_path / "a.wav")
    sound, _ = soundfile.read(path, dtype="float32")
    soundfile.write(path, sound / 100, RATE, subtype="FLOAT")
    plain, lifted = run(pack, path), run(pack, path, "--gain", "+40dB")
    assert (len(plain.stdout.splitlines()), len(lifted.stdout.splitlines())) == (0, 1)
    assert "such as +20dB" in str(run(pack, path, "--gain", "10").exception)


def test_what_libraries_print_is_not_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with own_errors():
        os.write(2, b"[src/libmpg123/layer3.c:1844] error: part2_3_length\n")
    os.write(2, b"ours again\n")
    assert capfd.readouterr().err == "ours again\n"


def test_a_recording_of_which_nothing_is_read_is_named_as_one_that_could_not_be(tmp_path: Path, pack: Path) -> None:
    good, broken = bursts(tmp_path / "good.wav"), tmp_path / "broken.flac"
    soundfile.write(broken, np.random.default_rng(0).uniform(-0.5, 0.5, RATE), RATE)
    data = broken.read_bytes()
    at = data.index(b"\xff\xf8")  # where its first frame begins
    broken.write_bytes(data[:at] + bytes(len(data) - at))
    done = run(pack, broken, good)
    assert done.exit_code == 1
    assert f"{broken} holds no sound that can be read" in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("name", ["all.csv", "all.ndjson", "all.parquet", "all.selections.txt"])
@pytest.mark.parametrize("what", ["--events", "--summary"])
def test_where_no_file_could_be_heard_there_is_no_table(tmp_path: Path, pack: Path, name: str, what: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is absent (pip install streamclf[parquet])")
    text, out = tmp_path / "text.wav", tmp_path / name
    text.write_text("hello")
    assert run(pack, what, "--out", out, text, tmp_path / "absent.wav").exit_code != 0
    assert not out.exists()
    heard = run(pack, what, "--out", out, text, bursts(tmp_path / "good.wav"))
    assert (heard.exit_code, out.exists()) == (1, True)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_name_that_is_not_utf8_is_heard_and_written_out(tmp_path: Path, pack: Path, jobs: str) -> None:
    bursts(tmp_path / "plain.wav")
    for stem in (b"bad\xff", b"text\xfe"):
        os.rename(bursts(tmp_path / "x.wav"), os.fsencode(tmp_path) + b"/" + stem + b".wav")
    files = sorted(tmp_path.glob("*.wav"))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/text\xfe.wav")).write_text("hello")

    done = CliRunner().invoke(classify, ["--model", str(pack), "--jobs", jobs, "--summary", *map(str, files)])

    assert {json.loads(line)["stream"] for line in done.stdout.splitlines()} == {"plain.wav", "bad\\xff.wav"}
    assert "text\\xfe.wav is not audio" in done.stderr
    assert isinstance(done.exception, Exception)
    assert "1 of 3 files could not be read" in str(done.exception)


def test_a_configuration_for_other_packs_does_not_keep_one_from_hearing(
    tmp_path: Path, pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon refuses what means nothing to its packs; those here may be others, and `kettle` was taught."""
    path, config = bursts(tmp_path / "a.wav"), tmp_path / "other.toml"
    config.write_text(
        '[segmentation.kettle]\nenter = 0.2\n[segmentation."group:random"]\nenter = 1.0\nleave = 1.0\n'
        '[species]\nfile = "none.csv"\npacks = ["birdnet"]\n[kserve]\nurl = "grpc://127.0.0.1:9"\npacks = ["birdnet"]\n'
    )
    heard = CliRunner().invoke(classify, ["--model", str(pack), "--config", str(config), "--jobs", "1", str(path)])
    assert heard.exit_code == 0, heard.exception
    assert len(heard.stdout.splitlines()) == 1
    monkeypatch.setenv("STREAMCLF_MODEL", str(pack))
    of_it = CliRunner().invoke(classify, ["--config", str(config), "--jobs", "1", str(path)])
    assert of_it.stdout == heard.stdout
