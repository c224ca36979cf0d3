"""What the documents name is there: links and headings, files, commands with their options, keys of configuration."""

import re
import tomllib
from pathlib import Path

import click
import pytest

from streamclf.alerts.rules.rulefile import parse_rules
from streamclf.cli import cli
from streamclf.config import load
from tests.support.documents import README, ROOT, Block, anchors, blocks, code, commands, links, pages

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
TOML = [pytest.param(block, id=block.name) for page in pages() for block in blocks(page, "toml")]
# folders of the repository whose files documents name in full
_FILE = re.compile(r"(?<![\w/.-])((?:tools|tests|docs|models|examples)/[\w./-]+)")
# a file of the package, as docs/design names it: by its room
_MODULE = re.compile(r"^(?:streamclf/)?((?!tests/|tools/|examples/)[a-z]+/[\w/]+\.py)$")


def test_the_readme_is_two_screens() -> None:
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 200
    assert len(text.split()) <= 1400


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in links(page):
        place, _, anchor = link.partition("#")
        if "://" in place or place.startswith("mailto:"):
            continue
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: Path) -> None:
    text = re.sub(r"\]\([^)]*\)", "]", page.read_text("utf-8"))  # links are looked at above
    named = {path.rstrip("./") for path in _FILE.findall(text)}
    named |= {f"streamclf/{found[1]}" for text in code(page) if (found := _MODULE.match(text))}
    assert {path for path in named if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_their_options_exist(page: Path) -> None:
    written = [words for block in blocks(page, "sh") for words in commands(block.text)]
    written += [words for text in code(page) if text.startswith("streamclf ") for words in commands(text)]
    faults = [fault for words in written if (fault := _fault(words))]
    assert not faults


@pytest.mark.parametrize("block", TOML)
def test_toml_is_a_configuration_or_a_rules_file(block: Block, tmp_path: Path) -> None:
    if re.search(r"^\[\[rule\]\]|^\[sink\.", block.text, re.MULTILINE):
        _, mistakes = parse_rules(block.text)
        assert not mistakes, "\n".join(map(str, mistakes))
    elif block.page.name != "pack-toml.md":  # that page and its examples have tests of their own
        file = tmp_path / "config.toml"
        file.write_text(block.text)
        load(file=file, environ={})


def _fault(words: list[str]) -> str:
    """What is wrong with a command of ours; "" for a good one, and for programs of others."""
    names = [word.rpartition("/")[2] for word in words]
    if "streamclf" not in names[:1]:
        return ""
    command: click.Command = cli
    rest = words[1:]
    context = click.Context(cli, info_name="streamclf")
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        if rest[0].isupper():  # COMMAND stands for any
            return ""
        found = command.get_command(context, rest[0])
        if found is None:
            # a group such as `events` also does something by itself
            return f"{' '.join(words)}: no command {rest[0]}" if command is cli else ""
        command, rest = found, rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h"}
    unknown = [word for word in rest if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in known]
    return f"{' '.join(words)}: no option {', '.join(unknown)}" if unknown else ""


def test_every_extra_that_is_for_users_is_told() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    told = re.findall(r"^\| `streamclf\[(\w+)\]`", (ROOT / "docs/start/debian.md").read_text("utf-8"), re.MULTILINE)
    assert sorted(told) == sorted(set(extras) - {"unit", "docs", "dev"})
