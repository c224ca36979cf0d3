"""How labels of the data find their labels of a pack."""

from pathlib import Path

import pytest

from streamclf.errors import UsageError
from streamclf.train.data.labelmap import check_map, parse_map, resolve
from streamclf.types import Label

PACK = (
    Label("dog", "Dog"),
    Label("bark", "Bark"),
    Label("crowing", "Crowing, cock-a-doodle-doo"),
    Label("sea", "Bark"),
)


def test_by_id_by_slug_of_the_name_and_as_given() -> None:
    found = resolve(
        ["Dog", "crowing cock a doodle doo", "bark", "waves", "wind"], PACK, parse_map(["waves=sea,dog,sea,gone"])
    )

    assert found.columns == {"Dog": (0,), "crowing cock a doodle doo": (2,), "bark": (1,), "waves": (3, 0)}
    assert (found.unmapped, found.background) == (("wind",), frozenset())


def test_what_is_given_comes_before_what_is_found() -> None:
    assert resolve(["dog_bark", "dog"], PACK, parse_map(["dog=bark"])).columns == {"dog": (1,)}


def test_background_by_name_and_all_the_rest() -> None:
    by_name = resolve(["wind", "rain", "dog"], PACK, parse_map(["wind="]))
    rest = resolve(["wind", "rain", "dog"], PACK, parse_map(["*=", "rain=nothing_here"]))

    assert (by_name.background, by_name.unmapped) == (frozenset({"wind"}), ("rain",))
    # what a label answers to was said of `rain`, and this pack has none of it: that is not background
    assert (rest.background, rest.unmapped) == (frozenset({"wind"}), ("rain",))


def test_entries_in_one_text_in_several_and_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "map.txt"
    file.write_text("# comment\na = x , y\n\nb=\n")

    expected = {"a": ("x", "y"), "b": ()}
    assert parse_map(["a=x,y;b="]) == expected
    assert parse_map(["a=x,y", "b="]) == expected
    assert parse_map([str(file)]) == expected


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["=dog"], "not an entry DATA=PACK"),
        (["a=x;b"], "not an entry DATA=PACK"),
        (["absent.map"], "neither an entry"),
        (["a=x", "a=y"], "names 'a' twice"),
        (["*=dog"], "`*=` can only say"),
    ],
)
def test_a_map_that_cannot_be_understood(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_map(texts)

    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dgo=dog", "'dgo', which is not a label of the data; did you mean 'dog'?"),
        ("dog=brk", "'brk', which no label of tiny is; did you mean bark?"),
        ("dog=zzz", "`streamclf models show NAME` lists them"),
        ("zzz=dog", "it has dog and rain"),
    ],
)
def test_a_map_of_names_that_are_not_there(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_map(parse_map([text]), ["dog", "rain"], {"tiny": PACK})

    assert said in str(caught.value)


def test_a_map_may_name_what_one_of_two_packs_has() -> None:
    check_map(parse_map(["Dog=dog,lion;*="]), ["dog", "rain"], {"tiny": PACK, "zoo": (Label("lion", "Lion"),)})


@pytest.mark.parametrize("text", [5000 * "9", "half\udcff", "zero\0byte", "."])
def test_what_cannot_be_a_path_is_told_in_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="--labels-map ") as caught:
        parse_map([text])

    assert len(str(caught.value)) < 250
