"""Whatever TOML is written, each of its keys and list entries has the line on which it was written."""

import json
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamclf.toml import Path, TomlFault, lines_of, parse

text = st.text(st.sampled_from("ab\"'[]{}=,.# \n\\é"), max_size=6)
scalars = st.one_of(text, st.integers(-9, 9), st.floats(-9, 9), st.booleans())
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=2)),
    max_leaves=5,
)
tables = st.dictionaries(text, values, max_size=4)
files = st.lists(st.tuples(st.booleans(), text, tables), max_size=4)


class Writer:
    """Writes TOML and notes the line of everything; lists one entry a line, long texts over several."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.lines: dict[Path, int] = {}

    def write(self, part: str) -> None:
        self.parts.append(part)

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, sum(part.count("\n") for part in self.parts) + 1)

    def value(self, value: Any, path: Path, *, flat: bool = False) -> None:
        match value:
            case str() if "\n" in value and not flat:
                self.write('"""\n' + value.replace("\\", "\\\\").replace('"', '\\"') + '"""')
            case str():
                self.write(json.dumps(value, ensure_ascii=False))
            case bool():
                self.write(str(value).lower())
            case list():
                self.write("[ # ]\n" if not flat else "[")
                for at, entry in enumerate(value):
                    self.note((*path, at))
                    self.value(entry, (*path, at), flat=flat)
                    self.write(", # [\n\n" if not flat else ", ")
                self.write("]")
            case dict():
                self.write("{")
                for at, (key, inner) in enumerate(value.items()):
                    self.write(", " if at else " ")
                    self.note((*path, key))
                    self.write(json.dumps(key, ensure_ascii=False) + " = ")
                    self.value(inner, (*path, key), flat=True)
                self.write(" }")
            case _:
                self.write(repr(value))

    def table(self, path: Path, table: dict[str, Any]) -> None:
        for key, value in table.items():
            self.note((*path, key))
            self.write(json.dumps(key, ensure_ascii=False) + " = ")
            self.value(value, (*path, key))
            self.write("\n")


@given(files)
def test_each_path_has_the_line_on_which_it_was_written(parts: list[tuple[bool, str, dict[str, Any]]]) -> None:
    writer, counts = Writer(), dict[str, int]()
    kinds: dict[str, bool] = {}
    for array, name, table in parts:
        if kinds.setdefault(name, array) != array or (not array and name in counts):
            continue
        counts[name] = counts.get(name, -1) + 1
        path: Path = (name, counts[name]) if array else (name,)
        writer.note((name,))
        writer.note(path)
        quoted = json.dumps(name, ensure_ascii=False)
        writer.write(f"[[{quoted}]]\n" if array else f"[{quoted}]  # x\n")
        writer.table(path, table)
    written = "".join(writer.parts)
    tomllib.loads(written)
    assert lines_of(written) == writer.lines


@given(st.text(st.sampled_from("ab01\"'[]{}=,.# \n\r\\-_")))
def test_any_text_has_values_and_lines_or_a_fault_with_its_line(text: str) -> None:
    try:
        parse(text)
        lines = list(lines_of(text).values())
    except TomlFault as fault:
        lines = [fault.line]
    assert all(1 <= line <= text.count("\n") + 1 for line in lines)
