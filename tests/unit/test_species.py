"""Lists of species: who may be told of when and where, and mistakes by their line."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from streamclf.engine.segment import Decision, Segmenter
from streamclf.engine.specieslist import read
from streamclf.errors import ConfigError
from streamclf.types import Label, Stage

LABELS = [
    Label("turdus_merula", "Eurasian Blackbird (Turdus merula)", "bird"),
    Label("apus_apus", "Common Swift (Apus apus)", "bird"),
    Label("bombycilla_garrulus", "Bohemian Waxwing (Bombycilla garrulus)", "bird"),
    Label("dog", "Dog"),
]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "species.csv"
    path.write_text(text, "utf-8")
    return path


def test_a_species_may_be_told_of_on_its_days_and_in_its_place(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "label,from,to,place\nTurdus merula,,,\ncommon swift,04-25,08-10,home\ncommon swift,01-01,12-31,kenya\n"
        "bombycilla_garrulus,11-15,03-31,\n",
    )
    home, kenya = (read(path, LABELS, place=place) for place in ("home", "kenya"))

    assert home.allowed(date(2026, 6, 1)) == {"turdus_merula", "apus_apus"}
    assert home.allowed(date(2026, 8, 10)) == {"turdus_merula", "apus_apus"}
    assert home.allowed(date(2026, 8, 11)) == {"turdus_merula"}
    assert (
        home.allowed(date(2026, 12, 24)) == home.allowed(date(2026, 3, 31)) == {"turdus_merula", "bombycilla_garrulus"}
    )
    assert kenya.allowed(date(2026, 12, 24)) == {"turdus_merula", "apus_apus", "bombycilla_garrulus"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "label\nTurdus merulla\n",
            r"species\.csv: no pack .+ \('Turdus merulla' in line 2, did you mean turdus merula\?\)",
        ),
        ("label,from\ndog,\nApus apus,4-25\n", r"species\.csv:3: '4-25' is not a day of the year; write MM-DD"),
        ("species;from\n", "its header is label, and if they matter from, to and place"),
        ("label,place\ndog,elsewhere\n", "has no line for place 'home'; nothing would ever be told"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        read(written(tmp_path, text), LABELS, place="home")


def test_a_name_that_no_pack_knows_is_told_and_the_others_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    listed = read(written(tmp_path, "label\ndog\nApus apsu\nTyrannosaurus\n"), LABELS, place="")
    assert listed.allowed(date(2026, 6, 1)) == {"dog"}
    assert listed.unknown == ("'Apus apsu' in line 3, did you mean apus apus?", "'Tyrannosaurus' in line 4")
    assert "2 lines are left out, for no pack knows it" in caplog.text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("label\n" + 140_000 * "x" + "\n", r"species\.csv:2 is not CSV: field larger than field limit"),
        (140_000 * "x" + "\n", r"species\.csv:1 is not CSV: field larger than field limit"),
        ("label\n" + 1000 * "x" + "\n", r"no pack of the list knows a label of it \('x{60}' in line 2\)"),
        ("#" * (9 << 20), "is not a regular file of at most 8 MiB"),
    ],
)
def test_what_is_no_list_is_told_in_a_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        read(written(tmp_path, content), LABELS, place="home")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("path", ["half\udcff", "zero\0byte", ".", "/dev/zero"])
def test_what_is_no_file_is_told_in_a_sentence(path: str) -> None:
    with pytest.raises(ConfigError, match=r"species\.file .+(cannot be read|is not a regular file)"):
        read(Path(path), LABELS, place="home")


def test_only_what_is_allowed_begins_and_what_is_open_goes_on() -> None:
    segmenter = Segmenter("mic", "birds", LABELS, [Decision(min_on=1, min_off=2)] * 4)
    loud, quiet = np.full((3, 4), 0.9, dtype=np.float32), np.zeros((3, 4), dtype=np.float32)
    opened = segmenter.push(0, loud[:1])
    segmenter.allow({"dog"})
    closed = segmenter.push(1, quiet)
    again = segmenter.push(4, loud)
    segmenter.allow(None)

    assert {event.label for event in opened} == {label.id for label in LABELS}
    assert [event.stage for event in closed] == [Stage.CLOSE] * 4
    assert [event.label for event in again if event.stage is Stage.OPEN] == ["dog"]
