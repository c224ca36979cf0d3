"""Reads a Dockerfile and its .dockerignore, as far as examples/deploy uses them."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. word: in capitals. flags: what stands as --name=value in front. text: the rest, on one line."""

    word: str
    flags: Mapping[str, str]
    text: str
    line: int

    @property
    def words(self) -> list[str]:
        """The text as a list: of a JSON array its members, else as a shell splits it."""
        if self.text.startswith("["):
            found: list[str] = json.loads(self.text)
            return found
        return shlex.split(self.text)

    @property
    def pairs(self) -> dict[str, str]:
        """Of ARG, ENV and LABEL: name -> value; "" where there is none."""
        return {name: value for name, _, value in (word.partition("=") for word in self.words)}


@dataclass(frozen=True, slots=True)
class ImageStage:
    """From one FROM to the next. name: "" for none."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def all(self, word: str) -> list[Instruction]:
        """Those of one kind, in order."""
        return [each for each in self.instructions if each.word == word]


def stages(text: str) -> list[ImageStage]:
    """The stages of a Dockerfile, with the defaults of the ARGs in front of the first FROM filled in."""
    defaults: dict[str, str] = {}
    found: list[tuple[str, str, list[Instruction]]] = []
    for each in _instructions(text):
        if each.word == "FROM":
            base, *rest = each.words
            for name, value in defaults.items():
                base = base.replace(f"${{{name}}}", value)
            found.append((base, rest[1] if rest else "", []))
        elif found:
            found[-1][2].append(each)
        elif each.word == "ARG":
            defaults |= each.pairs
        else:
            raise ValueError(f"line {each.line}: {each.word} stands in front of the first FROM")
    return [ImageStage(base, name, tuple(instructions)) for base, name, instructions in found]


def _instructions(text: str) -> Iterator[Instruction]:
    waiting, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not waiting):
            continue
        first = first or number
        if line.rstrip().endswith("\\"):
            waiting += line.rstrip().removesuffix("\\").strip() + " "
            continue
        word, _, rest = (waiting + line.strip()).partition(" ")
        flags, rest = _flags(rest.strip())
        yield Instruction(word.upper(), flags, rest, first)
        waiting, first = "", 0


def _flags(text: str) -> tuple[dict[str, str], str]:
    flags: dict[str, str] = {}
    while found := re.match(r"--([a-z-]+)=(\S+)\s+", text):
        flags[found[1]] = found[2]
        text = text[found.end() :]
    return flags, text


def context(root: Path, ignore: str) -> list[Path]:
    """The files below `root` that a build is given, relative to it. ignore: the text of its .dockerignore."""
    lines = [line.strip() for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
    rules = [(line.removeprefix("!"), not line.startswith("!")) for line in lines]
    return sorted(_walk(root, Path(), rules))


def _walk(root: Path, folder: Path, rules: list[tuple[str, bool]]) -> Iterator[Path]:
    for path in sorted((root / folder).iterdir()):
        below = folder / path.name
        if _left_out(below, rules):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(root, below, rules)
        else:
            yield below


def _left_out(path: Path, rules: list[tuple[str, bool]]) -> bool:
    """The last rule that fits the path or a folder above it decides."""
    out = False
    places = [*(str(parent) for parent in path.parents if str(parent) != "."), str(path)]
    for rule, leaves_out in rules:
        parts = rule.removeprefix("**/")
        if any(_fits(place, rule) or (parts != rule and fnmatchcase(Path(place).name, parts)) for place in places):
            out = leaves_out
    return out


def _fits(place: str, rule: str) -> bool:
    """`*` is any name, and no part of a path."""
    names, patterns = place.split("/"), rule.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))
