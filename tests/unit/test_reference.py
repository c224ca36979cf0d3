"""The reference in docs/ is what the code says: not stale, complete, and every example in it holds."""

import json
import re
import struct
import tomllib
from pathlib import Path

import click
import msgspec
import pytest

from streamclf.alerts.rules.rulefile import parse_rules
from streamclf.alerts.rules.table import EXAMPLES as RULE_EXAMPLES
from streamclf.alerts.rules.table import RuleTable
from streamclf.alerts.rules.template import FIELDS, MEANINGS
from streamclf.alerts.sinks import kinds
from streamclf.cli import cli
from streamclf.config import SECTIONS, Config, variables
from streamclf.protocol import asyncapi, packed, sound, spectrum, wire
from streamclf.types import Shape
from tools.reference import __main__, commands, configuration, http, messages, packs, protocol, rules
from tools.reference.__main__ import COMMAND
from tools.reference.markdown import prose, table
from tools.reference.pages import DOCS, PAGES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_is_stale(path: Path) -> None:
    assert (path.read_text(encoding="utf-8") if path.is_file() else "") == PAGES[path](), f"run: {COMMAND}"


def test_pages_are_the_same_in_any_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    before = commands.text()
    monkeypatch.setenv("COLUMNS", "40")

    assert commands.text() == before


def test_a_stale_page_is_told_with_the_command_to_run_and_written_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "reference" / "page.md"
    monkeypatch.setattr(__main__, "PAGES", {page: lambda: "new\n"})
    monkeypatch.setattr(__main__, "DOCS", tmp_path)

    assert __main__.main(["--check"]) == 1
    told = capsys.readouterr()
    assert "docs/reference/page.md is stale" in told.out
    assert COMMAND in told.err
    assert not page.exists()

    assert __main__.main([]) == 0
    assert page.read_text() == "new\n"
    assert __main__.main(["--check"]) == 0


def test_every_command_and_every_option_is_there() -> None:
    page = commands.text()

    for name, command in commands.walk(cli, "streamclf"):
        assert f"\n## {name}\n" in page
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert f"`{option.opts[0]}`" in page


def test_every_key_of_the_configuration_is_there_with_its_variable() -> None:
    page = configuration.text()

    for name, path in variables().items():
        assert f"`{name}" in page
        assert path[0] == "segmentation" or f"| `{'.'.join(path)}` |" in page
    assert set(SECTIONS) < set(Config.__struct_fields__)
    assert "`STREAMCLF_SERVER_PORT`, `--port`" in page
    assert "`STREAMCLF_STORE_ENABLED`, `--no-store`" in page


def test_the_examples_of_rules_and_sinks_hold() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", rules.text(), re.DOTALL)
    rule = rules.example(RuleTable, "[[rule]]", RULE_EXAMPLES).replace("garden", "x")

    for text in [*blocks, rule]:
        _, mistakes = parse_rules(text)
        assert mistakes == []
    assert len(blocks) == len(kinds())
    assert set(MEANINGS) == set(FIELDS)


@pytest.mark.parametrize("example", messages.EXAMPLES, ids=lambda example: type(example).__name__)
def test_an_example_of_a_message_is_one(example: wire.Message) -> None:
    text = json.dumps(msgspec.to_builtins(example))
    decode = wire.decode_client if type(example) in wire.CLIENT_MESSAGES else wire.decode_server

    assert decode(text) == example


def test_every_message_has_an_example() -> None:
    assert {type(example) for example in messages.EXAMPLES} == {*wire.SERVER_MESSAGES, *wire.CLIENT_MESSAGES}


@pytest.mark.parametrize(
    ("name", "header"),
    [("binary_scores", packed._HEADER), ("picture", spectrum._HEADER), ("sound", sound._HEADER)],
    ids=["binary_scores", "picture", "sound"],
)
def test_offsets_of_bytes_are_those_of_the_header(name: str, header: struct.Struct) -> None:
    description = asyncapi.document()["components"]["messages"][name]["payload"]["description"]
    letters = {"2s": "2s", "u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q", "f32": "f"}
    told = [(int(offset), letters[kind]) for offset, kind, _ in protocol.layout(description) if kind in letters]

    at, found = 0, []
    for kind in re.findall(r"\d*[a-zA-Z]", header.format.lstrip("<")):
        many = 1 if kind.endswith("s") else int(kind[:-1] or 1)
        for _ in range(many):
            letter = kind if kind.endswith("s") else kind[-1]
            if letter != "x":
                found.append((at, letter))
            at += struct.calcsize(f"<{letter}")
    assert told == found
    assert protocol.layout(description)[len(found)][0] == str(header.size)


def test_every_route_is_told_with_its_role() -> None:
    page = http.text()

    for path, route in http.table_of_routes().items():
        row = next(line for line in page.splitlines() if line.startswith("|") and f"`{path}`" in line)
        assert f"| {route.role.name.lower()} |" in row


def test_what_a_shape_needs_is_found_by_leaving_it_out() -> None:
    needed = packs.needed()

    assert needed["step"] == [Shape.STATEFUL]
    assert needed["row_at"] == [Shape.WINDOW_ROW]
    assert needed["rate"] == list(packs.FOLDERS)
    assert "exclusive" not in needed
    for shape in packs.FOLDERS:
        assert tomllib.loads(packs.example(shape))["shape"] == shape


def test_every_link_between_its_pages_leads_somewhere() -> None:
    for path, text in PAGES.items():
        for link in re.findall(r"\]\(([^)#:]+\.md)", text()):
            target = (path.parent / link).resolve()
            assert target in PAGES or target.is_file(), f"{path.relative_to(DOCS)}: {link}"


def test_markup_is_only_what_is_meant_as_such() -> None:
    assert prose("a * b <c> `d * <e>` and *so*") == r"a \* b &lt;c> `d * <e>` and *so*"
    assert table(("A", "B"), [("x|y", "")]) == "| A |\n| --- |\n| x&#124;y |"
