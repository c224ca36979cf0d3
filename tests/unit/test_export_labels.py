"""Names of others become labels that a pack accepts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.errors import StreamclfError, UsageError
from streamclf.model.labellists import read_lines
from streamclf.model.labels import check_count, make_labels, slug
from streamclf.model.loader import _LABEL_ID


@given(names=st.lists(st.text(max_size=300), min_size=1, max_size=40))
def test_any_names_give_ids_that_differ_and_names_that_print(names: list[str]) -> None:
    labels = make_labels(names)
    assert len({label.id for label in labels}) == len(names)
    for label in labels:
        assert _LABEL_ID.fullmatch(label.id)
        assert label.name.strip()
        assert label.name.isprintable()
        assert len(label.name) <= 200


def test_ids_stay_short_where_long_names_clash() -> None:
    labels = make_labels(["x" * 100] * 12)
    assert labels[0].id == "x" * 64
    assert labels[11].id == "x" * 61 + "_12"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dog (bark)", "dog_bark"),
        ("Krähe", "kraehe"),
        ("größer Ωmega", "groesser_omega"),
        ("Grŏßer", "grosser"),
        ("\u0421\u043e\u0440\u043e\u043a\u0430", "soroka"),
        ("鳥", ""),
        ("__a--B__", "a_b"),
        ("", ""),
    ],
)
def test_slugs(text: str, expected: str) -> None:
    assert slug(text) == expected


def test_hidden_are_those_of_the_given_indexes() -> None:
    assert [label.hidden for label in make_labels(["a", "b", "c"], hidden={0, 2})] == [True, False, True]


def test_a_list_of_another_length_is_refused() -> None:
    with pytest.raises(StreamclfError, match=r"x\.txt names 2 labels, but the model gives 3 classes"):
        check_count(("a", "b"), 3, "x.txt")
    check_count(("a", "b"), 2, "x.txt")


def test_names_are_read_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Song sparrow\n\nCrow\n")
    assert read_lines(tmp_path / "a.txt") == ("Song sparrow", "Crow")
    (tmp_path / "b.txt").write_bytes(np.arange(128, 256, dtype=np.uint8).tobytes())
    for name in ("b.txt", "absent.txt"):
        with pytest.raises(UsageError, match="one name a line"):
            read_lines(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map.csv", 'index,mid,display_name\n1,/m/2,"Rain, heavy"\n0,/m/1,Dog\n'),
        ("labels.csv", 'Label\nDog\n"Rain, heavy"\n'),
        ("labels.tsv", "id\tname\n0\tDog\n1\tRain, heavy\n"),
        ("plain.csv", "Dog\nRain, heavy\n"),
        ("list.json", '["Dog", "Rain, heavy"]'),
        ("names.json", '{"1": "Rain, heavy", "0": "Dog"}'),
        ("ids.json", '{"Rain, heavy": 1, "Dog": 0}'),
        ("config.json", '{"model_type": "ast", "id2label": {"0": "Dog", "1": "Rain, heavy"}}'),
    ],
)
def test_lists_of_labels_as_they_come_with_models(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_lines(tmp_path / name) == ("Dog", "Rain, heavy")


@pytest.mark.parametrize("text", ["{", "[]", '{"0": "a", "2": "b"}', "[1, 2]", '{"a": "b"}', '"a"'])
def test_json_that_is_no_list_of_labels_is_refused_with_what_to_give(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match="give a text file with one name a line, in the order of the output"):
        read_lines(tmp_path / "a.json")
