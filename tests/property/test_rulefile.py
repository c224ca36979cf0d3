"""Whatever stands in a rules file, reading it gives rules or mistakes with a line, and never falls over."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.alerts.rules.rulefile import RuleFile, parse_rules
from streamclf.alerts.rules.table import EXAMPLES, PlaceTable, RuleTable
from tests.support.mistakes import KNOWN

words = st.sampled_from(
    ["robin", "group:bird", "*", "open", "day", "1h", "06:00-09:30", "UTC", "ndjson", "osc", "", "{x"]
)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(words, st.text(max_size=8), st.integers(-5, 200_000), st.floats(allow_nan=True), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=2)),
    max_leaves=4,
)
keys = st.sampled_from([*RuleTable.__struct_fields__, *PlaceTable.__struct_fields__, "type", "path", "host", "nme"])
tables = st.dictionaries(keys, values, max_size=5)
files = st.lists(st.tuples(st.sampled_from(["[[rule]]", "[place]", "[sink.a]", "[sink]", "[rule]", "[x]"]), tables))


def toml(value: Any) -> str:
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{toml(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
        case _:
            return repr(value)


def check(text: str) -> None:
    file, mistakes = parse_rules(text, known=KNOWN)
    assert not mistakes or file == RuleFile()
    for mistake in mistakes:
        assert 1 <= mistake.line <= text.count("\n") + 1
        assert mistake.problem
        assert mistake.hint


@given(files)
def test_any_tables_give_rules_or_mistakes(parts: list[tuple[str, dict[str, Any]]]) -> None:
    lines = []
    for header, table in parts:
        lines += [header, *(f"{key} = {toml(value)}" for key, value in table.items())]
    check("\n".join(lines))


@given(st.text())
def test_any_text_gives_rules_or_mistakes(text: str) -> None:
    check(text)


@given(key=st.sampled_from(sorted(set(RuleTable.__struct_fields__))), value=values)
def test_any_value_of_a_key_is_taken_or_named_by_its_line(key: str, value: Any) -> None:
    good = {"name": '"r"', "labels": '"robin"'}
    lines = ["[place]", 'timezone = "UTC"', "latitude = 1.0", "longitude = 1.0", "[[rule]]"]
    lines += [f"{other} = {text}" for other, text in good.items() if other != key]
    lines.append(f"{key} = {toml(value)}")
    file, mistakes = parse_rules("\n".join(lines), known=KNOWN)
    assert len(file.rules) == (0 if mistakes else 1)
    for mistake in mistakes:
        assert mistake.line == len(lines)
        assert f": {key}" in mistake.key


@pytest.mark.parametrize("other", ["digest", "shared_s"])  # which do not stand beside each other
def test_every_example_that_is_suggested_is_good(other: str) -> None:
    rule = "\n".join(f"{key} = {EXAMPLES[key]}" for key in RuleTable.__struct_fields__ if key not in ("days", other))
    place = "\n".join(f"{key} = {EXAMPLES[key]}" for key in PlaceTable.__struct_fields__)
    text = f'[place]\n{place}\n[sink.phone]\ntype = "desktop"\n[[rule]]\n{rule}\n'
    mistakes = parse_rules(text.replace('streams = ["garden"]', "").replace(', "group:bird"]', "]"))[1]
    assert not mistakes, [str(mistake) for mistake in mistakes]
