"""Line numbers of TOML: every key, table and list entry at its line, and what is not TOML told at the right one."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from streamclf.toml import Path, TomlFault, line_of, lines_of, parse

TEXT = '''\
# a comment with [brackets] and "quotes
[place]
timezone = "UTC"  # ] here as well

[[rule]]
name = """
a = 1
[x]
""\\"""""
labels = [
  "robin", "wren",
  # between
  'tit',
]
a.b."c.d" = 1
a.e = { x = 1, "y]" = [ [1], { z = 2 } ] }
when = 1979-05-27 07:32:00.25
[rule.sub]
k = 1.5
[[rule]]
"min_peak" = 3
[sink.phone.more]
type = "x"
'''


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    """Of every value in `value`."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from paths(inner, (*path, at))


WANTED = {
    ("place",): 2,
    ("place", "timezone"): 3,
    ("rule",): 5,
    ("rule", 0): 5,
    ("rule", 0, "name"): 6,
    ("rule", 0, "labels"): 10,
    ("rule", 0, "labels", 0): 11,
    ("rule", 0, "labels", 1): 11,
    ("rule", 0, "labels", 2): 13,
    ("rule", 0, "a"): 15,
    ("rule", 0, "a", "b"): 15,
    ("rule", 0, "a", "b", "c.d"): 15,
    ("rule", 0, "a", "e"): 16,
    ("rule", 0, "a", "e", "x"): 16,
    ("rule", 0, "a", "e", "y]"): 16,
    ("rule", 0, "a", "e", "y]", 0): 16,
    ("rule", 0, "a", "e", "y]", 0, 0): 16,
    ("rule", 0, "a", "e", "y]", 1): 16,
    ("rule", 0, "a", "e", "y]", 1, "z"): 16,
    ("rule", 0, "when"): 17,
    ("rule", 0, "sub"): 18,
    ("rule", 0, "sub", "k"): 19,
    ("rule", 1): 20,
    ("rule", 1, "min_peak"): 21,
    ("sink",): 22,
    ("sink", "phone"): 22,
    ("sink", "phone", "more"): 22,
    ("sink", "phone", "more", "type"): 23,
}


def test_dots_that_are_not_those_of_a_key_are_let_be() -> None:
    numbers = ", ".join(["0.5"] * 200)
    text = f'a = "{"." * 200}"  # {"." * 200}\nb = [{numbers}]\nc = """\n{"x." * 200}\n"""\n'
    assert parse(text)["b"] == [0.5] * 200


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_path_has_its_line(ending: str) -> None:
    text = TEXT.replace("\n", ending)
    assert lines_of(text) == WANTED
    assert set(paths(tomllib.loads(text))) == set(WANTED)


def test_a_path_that_is_not_there_has_the_line_of_what_is_around_it() -> None:
    lines = lines_of(TEXT)
    assert line_of(lines, ("rule", 1, "labels")) == 20
    assert line_of(lines, ("nothing",)) == 1


FAULTS = {
    "key twice": ("a = 1\na = 2\n", 2),
    "key twice, at the end of the file": ("a = 1\na = 2", 2),
    "key twice, of a long list": ("a = 1\na = [\n1,\n2\n]\n", 2),
    "key twice, of a long text": ('a = 1\na = """\nb\nc\n"""\n', 2),
    "table twice": ("[a]\nb = 1\n[a]\nc = 1\n", 3),
    "table after a dotted key": ("a.b = 1\n[a]\n", 2),
    "dotted key below a value": ("a = 1\nb = 2\na.b = 2\n", 3),
    "dotted key below an inline table": ("a = { b = 1 }\na.c = [\n1]\n", 2),
    "array of tables over a table": ("[a]\n[[a]]\n", 2),
    "list never closed": ("b = 1\na = [1,\n2\n", 2),
    "list closed too late": ('b = 1\na = [\n"x",\n[[rule]]\nname = "r"\n', 4),
    "text never closed": ('b = 1\na = """\n[x]\nc = 1\n\n', 2),
    "literal text never closed": ("b = 1\na = '''\n[x]\nc = 1\n\n", 2),
    "line of text never closed": ('b = 1\na = "robin\nc = 1\n', 2),
    "no value": ("a = 1\nb =\n", 2),
    "no such day": ("a = 1\nb = 2026-02-30\n", 2),
    "number of many digits": ('a = "1"\nb = ' + 5000 * "9" + "\n", 2),
    "number of many digits in a list": ("a = [\n1,\n" + 5000 * "9" + ",\n]\n", 3),
    "a key of many dots": ("b = 1\n" + 100_000 * "a." + "a = 1\n", 2),
    "a key of dots and foreign line ends": ("b = 1\n" + 100_000 * '"\u2028".' + "a = 1\n", 2),
    "a table of many dots": ("b = 1\n[" + 100_000 * "a . " + "a]\n", 2),
    "quotes without end": ("b = 1\na = " + 200_000 * '"\\' + "\n", 2),
    "brackets without end": ("a = 1\nb = " + 100_000 * "[" + "\n", 2),
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_toml_is_told_at_its_line(fault: str, ending: str) -> None:
    text, line = FAULTS[fault]
    with pytest.raises(TomlFault) as raised:
        parse(text.replace("\n", ending))
    assert raised.value.line == line
    assert str(raised.value)
    assert "\n" not in str(raised.value)
