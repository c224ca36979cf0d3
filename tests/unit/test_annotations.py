"""Layouts of labelled data and the formats of annotations: what is read, and what is named as left out."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from streamclf.commands.formats import events_audacity, events_csv, events_raven
from streamclf.errors import StreamclfError, UsageError
from streamclf.train.data.annotations import Recording, Span, read_data, split_by_source
from streamclf.train.data.labelfiles import read_rows
from streamclf.train.data.tabletext import LabelFileError
from streamclf.types import Event, Stage

SPANS = (Span(0.5, 1.25, "bark"), Span(2.0, 3.0, "siren"))


def touch(*paths: Path) -> None:
    """Empty files: audio is not opened by the reader."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def one_beside(folder: Path, name: str, text: str | bytes) -> tuple[list[Recording], list[str]]:
    """`a.wav` with the file of annotations `name` beside it."""
    touch(folder / "a.wav")
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    recordings, problems = read_data(folder)
    return recordings, [f"{problem.path.name}: {problem.reason}" for problem in problems]


def test_a_folder_per_class(tmp_path: Path) -> None:
    touch(tmp_path / "dog" / "deep" / "b.WAV", tmp_path / "cat" / "a.flac", tmp_path / ".cache" / "c.wav")
    touch(tmp_path / "README.md", tmp_path / "stray.ogg")

    recordings, problems = read_data(tmp_path)

    assert [(r.path.name, r.labels, r.source, r.spans, r.fold) for r in recordings] == [
        ("a.flac", ("cat",), "cat/a", None, None),
        ("b.WAV", ("dog",), "dog/deep/b", None, None),
    ]
    assert [problem.path.name for problem in problems] == ["stray.ogg"]


def test_a_table_of_sources_keeps_clips_of_one_recording_together(tmp_path: Path) -> None:
    touch(tmp_path / "dog" / "a.wav", tmp_path / "cat" / "b.wav", tmp_path / "not_dog" / "c.wav")
    (tmp_path / "sources.csv").write_text("file,source,more\ndog/a.wav,yard,x\ndog/b.wav,yard,x\ngone.wav,roof,x\n")

    recordings, problems = read_data(tmp_path)

    assert [(r.path.name, r.labels, r.source) for r in recordings] == [
        ("b.wav", ("cat",), "yard"),
        ("a.wav", ("dog",), "yard"),
        ("c.wav", (), "not_dog/c"),
    ]
    assert [problem.reason for problem in problems] == ["sources.csv names it, but it is not there"]


@pytest.mark.parametrize(
    ("table", "words"), [(b"name,source\nx,y\n", "has the columns name, source"), (b"file,source\n\xff,y\n", "UTF-8")]
)
def test_a_table_of_sources_that_cannot_be_read_is_a_sentence(tmp_path: Path, table: bytes, words: str) -> None:
    touch(tmp_path / "dog" / "a.wav")
    (tmp_path / "sources.csv").write_bytes(table)
    with pytest.raises(StreamclfError, match=words):
        read_data(tmp_path)


def test_names_of_esc_carry_fold_and_source_over_class_folders(tmp_path: Path) -> None:
    touch(tmp_path / "dog" / "4-182395-A.ogg", tmp_path / "rain" / "4-182395-B-10.wav", tmp_path / "rain" / "x.wav")

    recordings, _ = read_data(tmp_path)

    assert [(r.fold, r.source) for r in recordings] == [(4, "182395"), (4, "182395"), (None, "rain/x")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "onset,offset,label\n0.5,1.25,bark\n2,3,siren\n"),
        ("a.csv", "\ufeffLabel;Start (s);End (s)\nsiren;2;3\nbark;0.5;1.25\n"),
        ("a.csv", "0.5,1.25,bark\n2.0,3.0,siren\n"),
        ("a.csv", "onset_ms,duration_ms,event_label\n500,750,bark\n\n2000,1000,siren\n"),
        ("a.tsv", "filename\tonset\toffset\tevent_label\na.wav\t0.5\t1.25\tbark\na.wav\t2\t3\tsiren\n"),
        ("a.txt", "0.500000\t1.250000\tbark\n\\\t100.0\t900.0\n2.000000\t3.000000\tsiren\n"),
        ("a.rttm", "SPEAKER a 1 0.5 0.75 <NA> <NA> bark <NA> <NA>\nSPEAKER a 1 2 1 <NA> <NA> siren <NA> <NA>\n"),
        (
            "a.Table.1.selections.txt",
            "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tAnnotation\n"
            "1\tWaveform 1\t1\t0.5\t1.25\t0\tbark\n1\tSpectrogram 1\t1\t0.5\t1.25\t0\tbark\n"
            "2\tSpectrogram 1\t1\t2\t3\t0\tsiren\n",
        ),
    ],
)
def test_formats_of_annotations_give_the_same_spans(tmp_path: Path, name: str, text: str) -> None:
    recordings, problems = one_beside(tmp_path, name, text)

    assert problems == []
    assert [(r.path.name, r.labels, r.spans) for r in recordings] == [("a.wav", ("bark", "siren"), SPANS)]


@pytest.mark.parametrize(("name", "form"), [("a.csv", "csv"), ("a.txt", "audacity"), ("a.selections.txt", "raven")])
def test_what_classify_writes_is_read_back(tmp_path: Path, name: str, form: str) -> None:
    events = [
        Event("a.wav", "p", "1", "bark", Stage.CLOSE, 25, 62, 0.9, 0.8, 75),
        Event("a.wav", "p", "2", "siren", Stage.CLOSE, 100, 150, 0.9, 0.8, 170),
    ]
    names = {("p", "bark"): "bark", ("p", "siren"): "siren"}
    out = io.StringIO()
    if form == "csv":
        events_csv(events, names, out)
    elif form == "audacity":
        events_audacity(events, names, out)
    else:
        events_raven(events, names, 44_100, out)

    recordings, problems = one_beside(tmp_path, name, out.getvalue())

    assert problems == []
    assert recordings[0].spans == (Span(0.5, 1.24, "bark"), SPANS[1])


def test_an_empty_file_of_annotations_is_a_recording_without_events(tmp_path: Path) -> None:
    recordings, problems = one_beside(tmp_path, "a.txt", "")

    assert (problems, recordings[0].labels, recordings[0].spans) == ([], (), ())


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "onset,offset,label\n1.0,0.5,bark\n", "line 2 ends at 0.5 s, which must be after its onset at 1 s"),
        ("a.csv", "onset,offset,label\n1.0,1.0,bark\n", "line 2 ends at 1 s"),
        ("a.csv", "onset,offset,label\n-1.0,1.0,bark\n", "line 2 begins at -1 s, which is before its recording"),
        ("a.csv", "onset,offset,label\nsoon,1.0,bark\n", "line 2 has 'soon' where a time is expected"),
        ("a.csv", "onset,offset,label\nnan,1.0,bark\n", "line 2 has 'nan' where a time is expected"),
        ("a.csv", "onset,offset,label\n0,1.0,  \n", "line 2 has no label"),
        ("a.csv", "onset,offset,label\n0,1.0\n", "line 2 has no label"),
        ("a.csv", "onset,label\n0,bark\n", "give an onset but no offset"),
        ("a.csv", "onset,offset,colour\n0,1,bark\n", "none of its columns (onset, offset, colour) is a label"),
        ("a.csv", "label\nbark\n", "labels without onset and offset"),
        ("a.csv", b"onset,offset,label\n0,1,\x81\n", "not UTF-8 text"),
        ("a.txt", "0.5\n", "line 1 is not `onset TAB offset TAB label`"),
        ("a.rttm", "SPEAKER a 1 0.5\n", "line 1 has 4 of the 8"),
        ("a.tsv", "file\tonset\toffset\tlabel\nb.wav\t0\t1\tx\nc.wav\t0\t1\tx\n", "not of a.wav"),
    ],
)
def test_a_faulty_file_of_annotations_is_named_with_its_line(
    tmp_path: Path, name: str, text: str | bytes, said: str
) -> None:
    touch(tmp_path / "good.wav")
    (tmp_path / "good.csv").write_text("onset,offset,label\n0,1,bark\n")

    recordings, problems = one_beside(tmp_path, name, text)

    assert [r.path.name for r in recordings] == ["good.wav"]
    assert len(problems) == 1
    assert problems[0].startswith(("a.", "a.wav"))
    assert said in problems[0]


def test_a_recording_without_annotations_and_one_with_two_are_left_out(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a.wav", "b.wav", "b.txt", "b.csv", "c.wav", "c.txt")))

    recordings, problems = read_data(tmp_path)

    assert [r.path.name for r in recordings] == ["c.wav"]
    assert [(p.path.name, p.reason.split(",")[0]) for p in problems] == [
        ("a.wav", "it has no file of annotations; an empty one says that it holds no event"),
        ("b.wav", "it has several files of annotations"),
    ]


def test_one_table_of_spans_names_files_by_path_name_or_stem(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("x/a.wav", "x/b.wav", "y/b.wav", "c.wav", "d.wav")))
    (tmp_path / "annotations.csv").write_text(
        "file,onset,offset,label,fold,source\nx/a.wav,2,3,siren,2,tape1\na,0.5,1.25,bark,2,tape1\n"
        "y/b.wav,0,1,bark,,\nb.wav,0,1,bark,,\ngone.wav,0,1,bark,,\nc.wav,,,,,\n"
    )

    recordings, problems = read_data(tmp_path)

    assert recordings == [
        Recording(tmp_path / "c.wav", "c", (), (), None),
        Recording(tmp_path / "x/a.wav", "tape1", ("bark", "siren"), SPANS, 2),
        Recording(tmp_path / "y/b.wav", "y/b", ("bark",), (Span(0, 1, "bark"),), None),
    ]
    assert {(p.path.name, p.reason) for p in problems} == {
        ("b.wav", "2 recordings have this name; give their folders in annotations.csv"),
        ("b.wav", "annotations.csv does not name it"),
        ("gone.wav", "annotations.csv names it, but it is not there"),
        ("d.wav", "annotations.csv does not name it"),
    }


def test_one_table_of_clip_labels(tmp_path: Path) -> None:
    touch(tmp_path / "audio" / "1-100-A-0.wav", tmp_path / "audio" / "b.wav")
    (tmp_path / "annotations.csv").write_text(
        "filename,fold,category\n1-100-A-0.wav,1,dog\nb.wav,3,rain\nb.wav,3,wind\n"
    )

    recordings, problems = read_data(tmp_path)

    assert problems == []
    assert [(r.labels, r.spans, r.fold, r.source) for r in recordings] == [
        (("dog",), None, 1, "100"),
        (("rain", "wind"), None, 3, "audio/b"),
    ]


def test_one_rttm_for_several_recordings(tmp_path: Path) -> None:
    touch(tmp_path / "a.wav", tmp_path / "b.wav")
    (tmp_path / "annotations.rttm").write_text(
        "SPKR-INFO a 1 <NA> <NA> <NA> unknown anna <NA>\n"
        "SPEAKER a 1 0.0 1.0 <NA> <NA> anna <NA> <NA>\nSPEAKER b 1 0.5 1.0 <NA> <NA> ben <NA> <NA>\n"
    )

    recordings, problems = read_data(tmp_path)

    assert problems == []
    assert [r.spans for r in recordings] == [(Span(0.0, 1.0, "anna"),), (Span(0.5, 1.5, "ben"),)]


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda folder: None, StreamclfError, "no labelled recording (of 0 audio files)"),
        (lambda folder: touch(folder / "a.wav"), StreamclfError, "a.wav: it lies in no folder of a class"),
        (
            lambda folder: (folder / "annotations.csv").write_text("file,onset,offset,label\nx,1,0,bark\n"),
            StreamclfError,
            "annotations.csv: line 2 ends at 0 s",
        ),
        (
            lambda folder: (folder / "annotations.csv").write_text("onset,offset,label\n0,1,bark\n"),
            StreamclfError,
            "no column that names the recording",
        ),
    ],
)
def test_a_folder_without_labelled_recordings(
    tmp_path: Path, make: Callable[[Path], object], error: type[StreamclfError], said: str
) -> None:
    make(tmp_path)

    with pytest.raises(error) as caught:
        read_data(tmp_path)

    assert said in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        read_data(tmp_path / "absent")
    touch(tmp_path / "a.wav")
    with pytest.raises(UsageError, match="is a file"):
        read_data(tmp_path / "a.wav")


def test_read_rows_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match="No such file"):
        read_rows(tmp_path / "absent.csv")


def recordings_of(sources: dict[str, tuple[str, int]]) -> list[Recording]:
    return [
        Recording(Path(f"{source}-{take}.wav"), source, (label,))
        for source, (label, takes) in sources.items()
        for take in range(takes)
    ]


def test_a_split_keeps_sources_whole_and_labels_in_proportion() -> None:
    data = recordings_of({f"{label}{n}": (label, 1 + n % 3) for label in ("cat", "dog") for n in range(30)})

    parts = split_by_source(data, (0.6, 0.2, 0.2), seed=3)

    assert sorted(r.path for part in parts for r in part) == sorted(r.path for r in data)
    sources = [{r.source for r in part} for part in parts]
    assert not sources[0] & sources[1] and not sources[0] & sources[2] and not sources[1] & sources[2]  # noqa: PT018
    for label in ("cat", "dog"):
        share = [sum(r.labels == (label,) for r in part) / 60 for part in parts]
        assert share == pytest.approx([0.6, 0.2, 0.2], abs=0.05)


def test_a_split_is_the_same_for_its_seed_in_any_order_and_another_for_another() -> None:
    data = recordings_of({f"s{n}": ("cat", 1) for n in range(20)})

    assert split_by_source(data, (1, 1), seed=1) == split_by_source(data[::-1], (1, 1), seed=1)
    assert split_by_source(data, (1, 1), seed=1) != split_by_source(data, (1, 1), seed=2)


def test_a_share_of_nothing_gets_nothing() -> None:
    data = recordings_of({"a": ("cat", 1), "b": ("dog", 2)})

    assert [len(part) for part in split_by_source(data, (1.0, 0.0))] == [3, 0]
    with pytest.raises(ValueError, match="not all 0"):
        split_by_source(data, (0.0, 0.0))
