import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.errors import PackError
from streamclf.model import loader
from streamclf.model.loader import load_pack
from streamclf.model.packwriter import labels_csv
from streamclf.types import Label
from tools.lab.tinypack import put_file, stateful_pack

names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30)
label_lists = st.lists(
    st.builds(
        Label,
        id=st.text("abc_09", min_size=1, max_size=9),
        name=names,
        group=st.text("abc_", max_size=5),
        enter=st.none() | st.integers(1, 100).map(lambda percent: percent / 100),
        hidden=st.booleans(),
    ),
    min_size=1,
    unique_by=lambda label: label.id,
)


@given(label_lists)
def test_labels_survive_writing_and_reading(labels: list[Label]) -> None:
    assert list(loader.labels_of(labels_csv(labels), Path("labels.csv"))) == labels


def test_thresholds_of_other_sensitivities_survive_and_stand_in_columns_of_their_own() -> None:
    labels = [Label("owl", "Owl", "bird", 0.5, enter_low=0.75, enter_high=0.25), Label("dog", "Dog")]
    text = labels_csv(labels)
    assert text.startswith(b"id,name,group,enter,hidden,enter_low,enter_high\n")
    assert list(loader.labels_of(text, Path("labels.csv"))) == labels


def test_durations_of_a_label_survive_alone_and_behind_the_thresholds() -> None:
    rain, dog = Label("rain", "Rain", min_on_ms=500, min_off_ms=2000), Label("dog", "Dog", min_off_ms=0)
    text = labels_csv([rain, dog])
    assert text.splitlines() == [
        b"id,name,group,enter,hidden,min_on_ms,min_off_ms",
        b"rain,Rain,,,false,500,2000",
        b"dog,Dog,,,false,,0",
    ]
    assert list(loader.labels_of(text, Path("labels.csv"))) == [rain, dog]
    both = [rain, replace(dog, enter_low=0.9)]
    assert list(loader.labels_of(labels_csv(both), Path("labels.csv"))) == both


@pytest.mark.parametrize("said", ["-20", "0.5", "600001", "1e3", "long"])
def test_a_faulty_duration_is_told(said: str) -> None:
    text = f"id,name,group,enter,hidden,min_off_ms\nowl,Owl,bird,,false,{said}\n"
    with pytest.raises(PackError, match=r"min_off_ms is .*; expected whole milliseconds up to 600000, or nothing"):
        loader.labels_of(text.encode(), Path("labels.csv"))


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ("0.5,false,0.4,", "out of order"),
        ("0.5,false,,0.6", "out of order"),
        (",false,0.2,0.6", "out of order"),
        ("0.5,false,often,", "enter_low is 'often'"),
        ("0.5,false", "5 values; expected 7"),
    ],
)
def test_a_faulty_threshold_of_a_sensitivity_is_told(values: str, what: str) -> None:
    text = f"id,name,group,enter,hidden,enter_low,enter_high\nowl,Owl,bird,{values}\n"
    with pytest.raises(PackError, match=what):
        loader.labels_of(text.encode(), Path("labels.csv"))


LABEL_FAULTS = [
    (["loud", "Loud", "level", "", "maybe"], "hidden is 'maybe'"),
    (["Loud", "Loud", "level", "", "false"], "the id 'Loud'"),
    (["lo ud", "Loud", "level", "", "false"], "the id 'lo ud'"),
    (["c1", "Loud", "level", "", "false"], "'c1' twice"),
    (["loud", "\x1b[31mred", "level", "", "false"], "the name"),
    (["loud", "right\u202eleft", "level", "", "false"], "the name"),
    (["loud", "", "level", "", "false"], "the name ''"),
    (["loud", "Loud", "a b", "", "false"], "the group 'a b'"),
    (["loud", "Loud", "level", "1.5", "false"], "enter is '1.5'"),
    (["loud", "Loud", "level", "0", "false"], "enter is '0'"),
    (["loud", "Loud", "level", "1e-1", "false"], "enter is '1e-1'"),
    (["loud", "Loud", "level", ""], "4 values"),
]


@pytest.mark.parametrize(("row", "what"), LABEL_FAULTS)
def test_a_faulty_label_is_told_with_its_line(tmp_path: Path, row: list[str], what: str) -> None:
    folder = stateful_pack(tmp_path / "p")
    rows = list(csv.reader(io.StringIO((folder / "labels.csv").read_text())))
    rows[1] = row
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    put_file(folder, "labels.csv", text.getvalue().encode())

    with pytest.raises(PackError) as caught:
        load_pack(folder)

    assert what in str(caught.value)
    assert "labels.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "expected the columns id,name,group,enter,hidden"),
        (b"id,name\na,b\n", "begins with 'id,name'"),
        (b"id,name,group,enter,hidden\n", "has 0 labels"),
        (b"id,name,group,enter,hidden\n\xff,b,,,false\n", "not UTF-8"),
        (b'id,name,group,enter,hidden\n"a"x,b,,,false\n', "not CSV"),
    ],
)
def test_a_faulty_list_of_labels_is_refused(tmp_path: Path, content: bytes, what: str) -> None:
    folder = stateful_pack(tmp_path / "p")
    put_file(folder, "labels.csv", content)

    with pytest.raises(PackError, match=r"labels\.csv") as caught:
        load_pack(folder)

    assert what in str(caught.value)
