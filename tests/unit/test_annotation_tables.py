"""Tables of annotations as people have them: each kind is read, and an unusable row costs that row alone."""

from pathlib import Path

import pytest

from streamclf.audio.sources import ffmpeg
from streamclf.errors import SourceError, StreamclfError
from streamclf.train.data.annotations import Recording, Span, read_data, within

BIRD = (Span(1.1, 2.0, "bird"), Span(2.5, 3.5, "bird"))
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"


def folder_of(tmp_path: Path, files: dict[str, str]) -> Path:
    """Files with this text; audio is not opened by the reader."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def read(tmp_path: Path, files: dict[str, str]) -> tuple[dict[str, tuple[Span, ...] | None], list[str]]:
    recordings, problems = read_data(folder_of(tmp_path, files))
    return {r.path.name: r.spans for r in recordings}, [f"{p.path.name}: {p.reason}" for p in problems]


@pytest.mark.parametrize(
    ("case", "expected", "named"),
    [
        ("audacity_decimal_comma", {"rec.wav": BIRD}, []),
        ("audacity_point_label", {"rec.wav": BIRD}, ["rec.txt: line 2 ends at 2.2 s"]),
        ("own_output_beside", {"rec.wav": (Span(1.1, 2.0, "Bird"),)}, []),
        ("raven_one_blank_label", {"rec.wav": BIRD}, ["rec.Table.1.selections.txt: line 3 has no label"]),
        ("raven_file_sequence", {"a.wav": BIRD[:1], "b.wav": BIRD[:1]}, []),
        ("raven_two_tables_joined", {"a.wav": BIRD, "b.wav": BIRD}, []),
    ],
)
def test_a_case_that_went_wrong(
    shared: Path, case: str, expected: dict[str, tuple[Span, ...]], named: list[str]
) -> None:
    folder = shared / "cases" / "tables" / case
    if not folder.is_dir():
        pytest.skip("the shared folder has no cases of tables")

    recordings, problems = read_data(folder)

    assert {r.path.name: r.spans[: len(expected[r.path.name])] for r in recordings if r.spans} == expected
    assert [f"{p.path.name}: {p.reason}"[: len(said)] for p, said in zip(problems, named, strict=True)] == named


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rec.wav.txt", "1,1\t2,0\tbird\n2,5\t3,5\tbird\n"),
        ("rec.csv", "onset;offset;label\n1,1;2,0;bird\n2,5;3,5;bird\n"),
        (
            "rec.BirdNET.selection.table.txt",
            RAVEN + "Common Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)\n"
            "1\tSpectrogram 1\t1\t1.1\t2.0\t0\t15000\tbird\teurrob1\t0.9\t/far/away/rec.wav\t1.1\n"
            "2\tSpectrogram 1\t1\t2.5\t3.5\t0\t15000\tbird\teurrob1\t0.9\t/far/away/rec.wav\t2.5\n",
        ),
        (
            "rec.BirdNET.results.csv",
            "Start (s),End (s),Scientific name,Common name,Confidence\n1.1,2.0,Avis,bird,0.9\n2.5,3.5,Avis,bird,0.8\n",
        ),
        (
            "annotations.csv",
            "Filename,Start Time (s),End Time (s),Low Freq (Hz),High Freq (Hz),Species eBird Code\n"
            "rec.flac,1.1,2.0,1,2,bird\nrec.flac,2.5,3.5,1,2,bird\n",
        ),
        (
            "id.csv",
            "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,AUTO ID,MANUAL ID\n"
            "C:\\\\x,,rec.wav,0,1.1,0.9,wren,bird\nC:\\\\x,,rec.wav,0,2.5,1.0,bird,\n",
        ),
        ("metadata/eval.tsv", "filename\tonset\toffset\tevent_label\nrec.wav\t1.1\t2\tbird\nrec.wav\t2.5\t3.5\tbird\n"),
        (
            "audioset_strong.tsv",
            "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\nrec\t1.1\t2.0\tbird\nrec\t2.5\t3.5\tbird\n",
        ),
    ],
)
def test_kinds_of_tables_give_the_same_spans(tmp_path: Path, name: str, text: str) -> None:
    spans, problems = read(tmp_path, {"audio/rec.wav" if "/" in name or "_" in name else "rec.wav": "", name: text})

    assert problems == []
    (held,) = spans.values()
    assert [(round(s.onset_s, 3), round(s.offset_s, 3), s.label) for s in held or ()] == [
        (s.onset_s, s.offset_s, s.label) for s in BIRD
    ]


def test_weak_labels_of_dcase_are_several_in_one_cell(tmp_path: Path) -> None:
    files = {"a.wav": "", "b.wav": "", "weak.tsv": "filename\tevent_labels\na.wav\tSpeech,Dog\nb.wav\tDog\n"}

    recordings, problems = read_data(folder_of(tmp_path, files))

    assert problems == []
    assert [(r.labels, r.spans) for r in recordings] == [(("Dog", "Speech"), None), (("Dog",), None)]


def test_labels_without_a_third_column_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    spans, problems = read(tmp_path, {"rec.wav": "", "rec.txt": "1.1\t2.0\tbird\n2.1\t2.2\n2.5\t3.5\tbird\n2.9\n"})

    assert spans == {"rec.wav": BIRD}
    assert [problem.split(";")[0] for problem in problems] == [
        "rec.txt: line 2 has no label",
        "rec.txt: line 4 is not `onset TAB offset TAB label`",
    ]


def test_an_unusable_row_of_the_one_table_does_not_cost_the_folder(tmp_path: Path) -> None:
    table = "file,onset,offset,label\na.wav,1.1,2.0,bird\nb.wav,soon,2,bird\na.wav,2.5,3.5,bird\nb.wav,1,2,bird\n"

    spans, problems = read(tmp_path, {"a.wav": "", "b.wav": "", "annotations.csv": table})

    assert spans == {"a.wav": BIRD, "b.wav": (Span(1, 2, "bird"),)}
    assert problems == ["annotations.csv: line 3 has 'soon' where a time is expected; the row is left out"]


def test_joined_tables_without_names_of_files_count_anew(tmp_path: Path) -> None:
    rows = "1\tSpectrogram 1\t1\t1.1\t2.0\t1\t2\tbird\n1\tWaveform 1\t1\t1.1\t2.0\t1\t2\tbird\n"
    again = "1\tSpectrogram 1\t1\t2.5\t3.5\t1\t2\tbird\n"

    spans, problems = read(tmp_path, {"rec.wav": "", "rec.selections.txt": RAVEN + "Species\n" + rows + again})

    assert (spans, problems) == ({"rec.wav": BIRD}, [])


def test_a_table_that_is_not_understood_is_never_passed_over_for_folders(tmp_path: Path) -> None:
    files = {"dog/a.wav": "", "cat/b.wav": "", "notes.csv": "day,weather\n1,rain\n", "labels.txt": "dog\ncat\n"}

    spans, problems = read(tmp_path, files)

    assert sorted(spans) == ["a.wav", "b.wav"]
    assert [problem.split(":")[0] for problem in problems] == ["labels.txt", "notes.csv"]
    assert all("its folders were taken for classes" in problem for problem in problems)


def test_two_tables_that_name_the_recordings_are_refused_by_name(tmp_path: Path) -> None:
    table = "file,label\na.wav,x\n"
    with pytest.raises(StreamclfError, match=r"several tables of annotations, one\.csv and two\.csv"):
        read(tmp_path, {"a.wav": "", "one.csv": table, "two.csv": table})


def test_recordings_of_a_kind_that_is_not_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"dog/a.wav": "", "dog/b.m4a": "", "dog/cover.jpg": ""}
    monkeypatch.setattr(ffmpeg, "find_spec", lambda name: None)
    spans, problems = read(tmp_path, files)
    assert list(spans) == ["a.wav"]
    assert problems == ["b.m4a: .m4a is read with PyAV alone; install streamclf[url], or convert it to FLAC"]

    monkeypatch.setattr(ffmpeg, "find_spec", lambda name: object())
    assert (list(read(tmp_path, files)[0]), read(tmp_path, files)[1]) == (["a.wav", "b.m4a"], [])


def test_an_annotation_is_cut_at_the_end_of_its_recording_and_left_out_beyond_it() -> None:
    spans = (BIRD[0], Span(3.0, 60.0, "dog"), Span(50.0, 60.0, "cat"))
    recording = Recording(Path("rec.wav"), "rec", ("bird", "cat", "dog"), spans)

    kept, problems = within(recording, 4.0)

    assert (kept.spans, kept.labels) == ((BIRD[0], Span(3.0, 4.0, "dog")), ("bird", "dog"))
    assert [problem.reason.partition("annotation ")[2] for problem in problems] == [
        "'dog' goes from 3.00 to 60.00 s; it is cut there",
        "'cat' goes from 50.00 to 60.00 s; it is left out",
    ]
    assert within(recording, 59.5) == (recording, [])
    with pytest.raises(SourceError, match="check that they belong to it"):
        within(recording, 0.5)


STUDIO = '[{"start": 1.1, "end": 2.0, "labels": ["bird"]}, {"start": 2.5, "end": 3.5, "labels": ["bird"]}]'
UPLOADED = "/data/upload/7/0a1b2c3d-rec.wav"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rec.txt", "1.1\t2.0\tbird\n2.5\t3.5\tbird\n".encode("utf-16")),
        ("rec.txt", "1.1\t2.0\tbird\n2.5\t3.5\tbird\n".encode("utf-16-le")),
        ("rec.csv", b"\xef\xbb\xbfsep=;\r\nonset;offset;label\r\n1,1;2,0;bird\r\n2,5;3,5;bird\r\n"),
        ("rec.csv", b"onset,offset,label\n0:01.1,00:02,bird\n0:00:02.5,3.5,bird\n"),
        ("rec.txt", b"00:01.1\t00:02,0\tbird\n00:02.5\t00:03.5\tbird\n"),
        ("rec.txt", b"1.1   2.0  bird\n2.5 3.5 bird\n"),
        ("REC.TXT", b"1.1\t2.0\tbird\n2.5\t3.5\tbird\n"),
        ("rec.BirdNET.results.txt", b"1.1\t2.0\tbird\t0.9\n2.5\t3.5\tbird\t0.8\n"),
        ("all.txt", (RAVEN + "Begin Path\tAnnotation\n1\tS\t1\t1.1\t2\t0\t1\tC:\\x\\rec.wav\tbird\n"
                     "2\tS\t1\t2.5\t3.5\t0\t1\tC:\\x\\rec.wav\tbird\n").encode()),
        ("onehot.csv", b"file,start_time,end_time,bird,cat\nrec.wav,1.1,2,1,0\nrec.wav,2.5,3.5,1,0\nrec.wav,5,6,0,0\n"),
        ("min.json", f'[{{"audio": "{UPLOADED}", "label": {STUDIO}}}]'.encode()),
        ("whole.json", (b'[{"data": {"clip": "/data/local-files/?d=x/rec.wav"}, "annotations": [{"result": ['
                        b'{"type": "labels", "value": {"start": 1.1, "end": 2.0, "labels": ["bird"]}},'
                        b'{"type": "labels", "value": {"start": 2.5, "end": 3.5, "labels": ["bird"]}}]}]}]')),
        ("min.csv", 'audio,id,label\n{},1,"{}"\n'.format(UPLOADED, STUDIO.replace('"', '""')).encode()),
    ],
)  # fmt: skip
def test_tables_as_other_programs_and_systems_write_them(tmp_path: Path, name: str, text: bytes) -> None:
    (tmp_path / name).write_bytes(text)

    spans, problems = read(tmp_path, {"rec.wav": ""})

    assert (spans, problems) == ({"rec.wav": BIRD}, [])


def test_a_name_in_two_signs_as_a_mac_writes_it_is_the_same_name(tmp_path: Path) -> None:
    spans, problems = read(tmp_path, {"tu\u0308r.csv": "onset,offset,label\n1.1,2,bird\n", "t\u00fcr.wav": ""})
    (tmp_path / "more").mkdir()
    (tmp_path / "tu\u0308r.csv").unlink()
    named, _ = read(tmp_path, {"all.csv": "file,onset,offset,label\nTu\u0308r.flac,1.1,2,bird\n"})

    assert spans == named == {"t\u00fcr.wav": BIRD[:1]}
    assert problems == []


def test_text_of_another_encoding_is_read_and_told(tmp_path: Path) -> None:
    (tmp_path / "rec.csv").write_bytes("onset,offset,label\n1,2,Mönch\n".encode("latin-1"))

    spans, problems = read(tmp_path, {"rec.wav": ""})

    assert spans == {"rec.wav": (Span(1, 2, "Mönch"),)}
    assert problems == ["rec.csv: it is not UTF-8 text; it was read as Windows-1252 (Latin-1), so look at its labels"]


def test_clips_of_urbansound_have_no_times_of_their_own_and_stay_with_their_source(tmp_path: Path) -> None:
    table = "slice_file_name,fsID,start,end,salience,fold,classID,class\n7-3.wav,7,60.5,64.5,1,2,3,dog_bark\n"
    recordings, problems = read_data(folder_of(tmp_path, {"fold2/7-3.wav": "", "metadata.csv": table}))

    assert [(r.labels, r.spans, r.fold, r.source) for r in recordings] == [(("dog_bark",), None, 2, "7")]
    assert problems == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"rec.TextGrid": "x"}, r"it is a TextGrid of Praat, which is not read; Praat's Down to Table"),
        ({"rec.ann": "x"}, r"rec\.ann beside it is not\); save them as CSV with onset, offset and label"),
        ({"rec.csv": "PK\x03\x04x"}, "it is a spreadsheet's own file or an archive, not text; save it as CSV"),
        ({"all.csv": "a,b\n1,2\n"}, r"none of its columns \(a, b\) is a label"),
        ({"rec.txt": "-0.1\t1\tbird\n"}, "line 1 begins at -0.1 s, which is before its recording"),
        ({"tasks_label.json": "[1]"}, "a list of tasks is expected"),
    ],
)
def test_what_is_not_read_is_named_first_with_what_to_do(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(StreamclfError, match=said):
        read(tmp_path, {"rec.wav": "", **files})
