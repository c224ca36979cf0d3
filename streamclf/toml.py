"""Reads TOML that anybody may have written: values, or the line of the fault, soon and whatever the text is.

tomllib alone falls over numbers of thousands of digits and deep brackets, takes minutes for a key of many dots, and
gives values only, where a mistake should be told with its line. `lines_of` goes once over the tokens of a text that
tomllib has taken, so nothing is checked a second time, and it is called only where there is a mistake. tomlkit has no
line numbers either (it keeps the text of every item, from which they could be counted), and takes several times as long
for it: tools/bench/rules.py.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r'''
      (?P<text> """(?:[^\\]|\\.)*?"{3,5} | \'\'\'.*?\'{3,5}
              | """.* | \'\'\'.*  # never closed
              | "(?:[^"\\\n]|\\.)*"? | '[^'\n]*'? )  # the end is optional, or many quotes would take for ever
    | (?P<end> \n )
    | (?P<mark> [\[\]{}=,.] )
    | (?P<word> [^\s"'\#\[\]{}=,.]+ )
    | \#[^\n]*  # a comment
    ''',
    re.VERBOSE | re.DOTALL,
)
_FAULT = re.compile(r"(.*) \(at (?:line (\d+), column \d+|end of document)\)")
_OF_A_STATEMENT = ("Cannot ", "Unclosed ")  # faults that are found only at its end
_MOST_DEEP = 100
MOST_PARTS = 32
"""Parts of a dotted key: nobody writes more, and tomllib takes minutes for 100,000."""
_END = "end"  # of a line
_DONE = "done"


class TomlFault(Exception):  # noqa: N818 - as `Temporary`: what it says
    """This is not TOML, or not TOML that can be read. line: from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


_FIRST = _Token("", "", 1)


def parse(text: str, *, parse_float: Callable[[str], Any] = float) -> dict[str, Any]:
    """The values of a TOML text. Raises `TomlFault`, whatever the text is, and what `parse_float` raises."""
    if line := _long_key(text):
        raise TomlFault(line, f"a key has more than {MOST_PARTS} parts")
    try:
        return tomllib.loads(text, parse_float=parse_float)
    except tomllib.TOMLDecodeError as fault:
        found = _FAULT.fullmatch(str(fault))
        problem = found[1] if found else str(fault)
        line = int(found[2]) if found and found[2] else text.count("\n") + 1
        if problem.startswith(_OF_A_STATEMENT) or "end of document" in str(fault):
            line = _statement_line(text, line)
        raise TomlFault(line, problem) from None
    except RecursionError:
        raise TomlFault(deep_line(text), "lists and tables lie too deep in each other") from None
    except ValueError:
        # the one thing that tomllib does not catch: Python reads no number of more digits, for it would take too long
        most = sys.get_int_max_str_digits()
        long = (token for token in _tokens(text) if token.kind == "word" and len(token.text) > most)
        raise TomlFault(next(long, _FIRST).line, f"a number has more than {most} digits") from None


def lines_of(text: str) -> dict[Path, int]:
    """Path -> line (from 1) of every table, key and list entry of `text`, which must be valid TOML.

    An array of tables counts: the third `[[rule]]` is ("rule", 2), its name ("rule", 2, "name"), the first of its
    labels ("rule", 2, "labels", 0).
    """
    return _Scanner(text).lines()


def line_of(lines: Mapping[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest table around it; 1 where there is none."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _long_key(text: str) -> int:
    """The line of a key with more than `MOST_PARTS` parts, 0 where there is none."""
    # tokens take longer than a whole file without such a key is worth
    if all(line.count(".") < MOST_PARTS for line in text.split("\n")):
        return 0
    dots = 0
    for kind, mark, line in _tokens(text):
        if (kind, mark) == ("mark", "."):
            dots += 1
            if dots >= MOST_PARTS:
                return line
        elif kind in ("mark", _END):
            dots = 0
    return 0


def _statement_line(text: str, line: int) -> int:
    """The line at which the statement begins that `line` belongs to. text: good up to there."""
    begins, depth, first = True, 0, line
    for kind, mark, at in _tokens("\n".join(text.split("\n")[:line])):
        if begins and kind not in (_END, _DONE):
            first, begins = at, False
        if kind == "mark":
            depth += (mark in "[{") - (mark in "]}")
        elif kind == _END and depth == 0:
            begins = True
    return first


def deep_line(text: str) -> int:
    """The first line that is inside of more brackets than anybody writes; 1 where there is none."""
    depth = 0
    for kind, mark, at in _tokens(text):
        if kind == "mark":
            depth += (mark in "[{") - (mark in "]}")
            if depth > _MOST_DEEP:
                return at
    return 1


class _Scanner:
    """One pass over the tokens of a TOML text."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._found: dict[Path, int] = {}

    def lines(self) -> dict[Path, int]:
        """See `lines_of`."""
        arrays: dict[Path, int] = {}
        table: Path = ()
        while (token := self._peek()).kind != _DONE:
            if token.kind == _END:
                self._at += 1
            elif token.text == "[" and token.kind == "mark":
                table = self._header(arrays, token.line)
            else:
                self._pair(table)
        return self._found

    def _header(self, arrays: dict[Path, int], line: int) -> Path:
        """`[a.b]` or `[[a.b]]`: the path of the table that it opens."""
        self._at += 1
        array = self._skip("[")
        keys = self._key("]")
        self._at += 2 if array else 1
        table: Path = ()
        for depth, key in enumerate(keys, 1):
            table = (*table, key)
            self._found.setdefault(table, line)
            if array and depth == len(keys):
                arrays[table] = arrays.get(table, -1) + 1
            if table in arrays:
                table = (*table, arrays[table])
        self._found[table] = line
        return table

    def _pair(self, table: Path) -> None:
        """`a.b = value`."""
        line = self._peek().line
        path = table
        for key in self._key("="):
            path = (*path, key)
            self._found.setdefault(path, line)
        self._at += 1
        self._value(path)

    def _value(self, path: Path) -> None:
        token = self._peek()
        if token.kind == "mark" and token.text == "[":
            self._at += 1
            for at, _ in enumerate(self._until("]")):
                self._found[*path, at] = self._peek().line
                self._value((*path, at))
        elif token.kind == "mark" and token.text == "{":
            self._at += 1
            for _ in self._until("}"):
                self._pair(path)
        else:
            # a number or a time may be of several tokens: 1.5, 06:00:00.25, 1979-05-27 07:32:00
            while token.kind not in (_END, _DONE) and not (token.kind == "mark" and token.text in ",]}"):
                self._at += 1
                token = self._peek()

    def _key(self, until: str) -> list[str]:
        """The parts of a dotted key up to `until`, which is left in place."""
        parts = []
        while (token := self._peek()).text != until or token.kind != "mark":
            self._at += 1
            if token.kind == "text":
                parts.append(str(tomllib.loads(f"k = {token.text}")["k"]))
            elif token.kind == "word":
                parts.append(token.text)
        return parts

    def _skip(self, mark: str) -> bool:
        """Whether `mark` comes next; it is then behind us."""
        token = self._peek()
        found = token.kind == "mark" and token.text == mark
        self._at += found
        return found

    def _until(self, bracket: str) -> Iterator[None]:
        """Once for each entry between a bracket and `bracket`, over commas and line ends."""
        while True:
            while (token := self._peek()).kind == _END or token[:2] == ("mark", ","):
                self._at += 1
            if self._skip(bracket):
                return
            yield

    def _peek(self) -> _Token:
        return self._tokens[self._at]


def _tokens(text: str) -> Iterator[_Token]:
    """One by one, so that who looks for what comes first reads no further."""
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind is not None:
            yield _Token(kind, match[0], line)
        line += match[0].count("\n")
    yield _Token(_DONE, "", line)
