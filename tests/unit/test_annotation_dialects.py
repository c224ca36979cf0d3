"""Tables as other programs and languages write them: read rightly, or refused with what was found."""

from pathlib import Path

import pytest

from streamclf.errors import StreamclfError
from streamclf.train.data.annotations import Span, read_data

BIRD = (Span(0.5, 1.5, "wren"), Span(2.0, 3.5, "wren"))
RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"
STUDIO = '[{"data":{"audio":"/data/upload/1/ab12cd34-rec.wav"},"annotations":[%s]}]'


def read(tmp_path: Path, name: str, text: str | bytes, *audio: str) -> tuple[dict[str, object], list[str]]:
    """Recording -> its spans, or its labels where they have no times; and what was left out."""
    for file, content in ((name, text), *((one, "") for one in audio or ("rec.wav",))):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    recordings, problems = read_data(tmp_path)
    held = {one.path.name: one.labels if one.spans is None else one.spans for one in recordings}
    return dict(held), [f"{one.path.name}: {one.reason}" for one in problems]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rec.csv", "Beginn;Ende;Art\r\n0,5;1,5;wren\r\n2,0;3,5;wren\r\n"),
        ("liste.csv", "Datei;Startzeit (s);Endzeit (s);Vogelart\nrec.wav;0,5;1,5;wren\nrec.wav;2;3,5;wren\n"),
        ("liste.csv", "Fichier;Début;Fin;Espèce\nrec.wav;0,5;1,5;wren\nrec.wav;2;3,5;wren\n"),
        ("rec.csv", "inicio;fin;especie\n0,5;1,5;wren\n2;3,5;wren\n"),
        ("rec.csv", "onset,offset,label\n0.5,1.5,wren\n2,3.5,wren\n".encode("utf-32")),
        ("rec.tsv", "# onset\toffset\tevent_label\n0.5\t1.5\twren\n2\t3.5\twren\n"),
        ("rec.csv", "#,Name,Start,End,Length\nR1,wren,0:00.5,0:01.5,0:01\nR2,wren,0:02,0:03.5,0:01.5\n"),
        ("rec.csv", "TIME,VALUE,DURATION,LABEL\n0.5,4,1.0,wren\n2.0,4,1.5,wren\n"),
        ("rec.txt", "Tier\tBegin Time - hh:mm:ss.ms\tEnd Time - hh:mm:ss.ms\tAnnotation\n"
                    "a\t00:00:00.5\t00:00:01.5\twren\na\t00:00:02\t00:00:03.5\twren\n"),
        ("rec.txt", "Begin Time - msec\tEnd Time - msec\tAnnotation\n500\t1500\twren\n2000\t3500\twren\n"),
        ("rec.txt", "0.5\t1.5\twren\n\\\t2000.0\t5000.0\n2\t3.5\twren\n\\\t-1.0\t-1.0\n"),
        ("rec.csv", "duration,stop,label\n1.0,1.5,wren\n1.5,3.5,wren\n"),
        ("all.csv", "rec.wav,0.5,1.5,wren\nrec.wav,2,3.5,wren\n"),
        ("meta.txt", "audio/rec.wav\thome\t0.5\t1.5\twren\naudio/rec.wav\thome\t2\t3.5\twren\n"),
        ("annot.csv", "label,onset_s,offset_s,onset_sample,notated_path\nwren,0.5,1.5,1,/x/rec.wav\n"
                      "wren,2,3.5,1,/x/rec.wav\n"),
        ("a.csv", "filename,window_start,window_end,scientific_name\nrec.wav,0.5,1.5,wren\nrec.wav,2,3.5,wren\n"),
        ("p.json", STUDIO % '{"was_cancelled":true,"result":[{"value":{"start":0,"end":9,"labels":["x"]}}]},{"result":['
                   '{"value":{"start":0.5,"end":1.5,"labels":["wren"]}},'
                   '{"value":{"start":2.0,"end":3.5,"taxonomy":[["bird","wren"]]}}]}'),
    ],
)  # fmt: skip
def test_dialects_that_are_read(tmp_path: Path, name: str, text: str | bytes) -> None:
    spans, problems = read(tmp_path, name, text)

    assert (spans, problems) == ({"rec.wav": BIRD}, [])


@pytest.mark.parametrize(
    ("name", "text", "audio", "expected"),
    [
        ("t.csv", "file,dog,cat\na.wav,1,0\nb.wav,0,0\n", ("a.wav", "b.wav"), {"a.wav": ("dog",), "b.wav": ()}),
        ("ff.csv", "itemid,hasbird\n64486,0\n2525,1\n", ("w/64486.wav", "w/2525.wav"),
         {"2525.wav": ("hasbird",), "64486.wav": ()}),
        ("seg.csv", "# made on Sunday\n# YTID, start_seconds, end_seconds, positive_labels\n"
                    '-0RWZT-miFs, 420.000, 430.000, "/m/03v3yw,/m/0k4j"\n--BfvyPmVMo, 20.000, 30.000, "/m/03l9g"\n',
         ("-0RWZT-miFs_420.wav", "Y--BfvyPmVMo.wav"),
         {"-0RWZT-miFs_420.wav": ("/m/03v3yw", "/m/0k4j"), "Y--BfvyPmVMo.wav": ("/m/03l9g",)}),
        ("meta.txt", "audio/a.wav\thome\naudio/b.wav\tpark\n", ("audio/a.wav", "audio/b.wav"),
         {"a.wav": ("home",), "b.wav": ("park",)}),
        ("p.json", STUDIO % '{"result":[]}', ("rec.wav",), {"rec.wav": ()}),
    ],
)  # fmt: skip
def test_labels_of_whole_clips(
    tmp_path: Path, name: str, text: str, audio: tuple[str, ...], expected: dict[str, object]
) -> None:
    assert read(tmp_path, name, text, *audio) == (expected, [])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("rec.csv", "onset,offset,label\n0,5,1,5,wren\n", "line 2 has more cells than there are names of columns"),
        ("rec.csv", "0.5,4,1.0,wren\n2.0,4,1.5,wren\n", "its column 3 holds numbers where labels are expected"),
        ("rec.csv", "0.5,1.0,a\n2.0,0.5,b\n3.0,0.4,b\n", "2 of its 3 lines would end before they begin"),
        (
            "rec.txt",
            f'{RAVEN}\tAnnotation\n1\tS\t1\t0\t1\t0\t1\t"x\n2\tS\t1\t2\t3\t0\t1\ty\n',
            "in line 2 is never closed",
        ),
        (
            "all.txt",
            f"{RAVEN}\tBegin File\n1\tS\t1\t0\t1\t0.0\t1\trec.wav\n",
            "High Freq .* is a label; name one `label`",
        ),
        ("a.csv", "file,onset,offset,channel\nrec.wav,0.5,1.5,1\n", r"\(file, onset, offset, channel\) is a label"),
        ("xc.csv", "id,gen,sp,ssp,file,lat\n1,Turdus,merula,,rec.wav,1\n", "is a label; name one `label`"),
        ("a.csv", "file,end,label\nrec.wav,3.0,wren\n", "give an offset but no onset"),
        ("a.csv", "name,onset,offset,label\nrec.wav,0.5,1.5,wren\n", "no column names the recording; name one `file`"),
        ("all.csv", "rec.wav,3,0.5,1.5,wren,me\n", "names a recording where names of columns are expected; put a line"),
        ("rec.srt", "1\n00:00:00,500 --> 00:00:01,500\nwren\n", "a file of subtitles, which is not read"),
        ("p.json", STUDIO % "", "it holds no annotation"),
    ],
)
def test_what_could_be_taken_wrongly_is_refused(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(StreamclfError, match=said):
        read(tmp_path, name, text)


def test_columns_that_look_like_times_and_are_not_read_are_told(tmp_path: Path) -> None:
    held, problems = read(tmp_path, "a.csv", "file,label,Center Time (s)\nrec.wav,wren,1.5\n")

    assert held == {"rec.wav": ("wren",)}
    assert [problem.split(" are not")[0] for problem in problems] == ["a.csv: its columns Center Time (s)"]


@pytest.mark.parametrize("name", ["site/a.TextGrid", "tg/a.TextGrid", "site/a.eaf", "site/a.wav.data", "site/a.xml"])
def test_files_of_other_programs_are_never_passed_over_for_folders(tmp_path: Path, name: str) -> None:
    held, problems = read(tmp_path, name, "x", "site/a.wav", "other/b.wav")

    assert held == {"a.wav": ("site",), "b.wav": ("other",)}
    (said,) = problems
    assert "is not read" in said
    assert said.endswith("its folders were taken for classes")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels/a.csv", "onset,offset,label\n0.5,1.5,wren\n2,3.5,wren\n"),
        ("labels/a.txt", "0.5\t1.5\twren\n2\t3.5\twren\n"),
        (
            "sel/a.Table.1.selections.txt",
            f"{RAVEN}\tSpecies\n1\tS\t1\t0.5\t1.5\t0\t1\twren\n2\tS\t1\t2\t3.5\t0\t1\twren\n",
        ),
    ],
)
def test_annotations_in_a_folder_of_their_own(tmp_path: Path, name: str, text: str) -> None:
    held, problems = read(tmp_path, name, text, "audio/a.wav", "audio/b.wav")

    assert held == {"a.wav": BIRD}
    assert problems == ["b.wav: it has no file of annotations; an empty one says that it holds no event"]


def test_prose_under_a_recordings_name_elsewhere_is_no_label_track(tmp_path: Path) -> None:
    held, problems = read(tmp_path, "notes/a.txt", "I heard a wren.\n", "dog/a.wav", "cat/b.wav")

    assert (held, problems) == ({"a.wav": ("dog",), "b.wav": ("cat",)}, [])
