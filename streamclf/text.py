"""Other people's words: names of streams and labels, messages of servers, errors of libraries. Made harmless here.

What each function promises holds for any text, lone surrogates too:

    clean      for people (a message, a picture, a name that is kept): one line, printable, tidy, of a bounded length
    plain      for a terminal: nothing is lost, and nothing steers it
    spelt      for a file or a message: names of files that are not UTF-8
    one_line   for a terminal or a log, of an error: one line of a bounded length, printable
    cell       for a table that a spreadsheet may open: one line that is not a formula
    some       names in a sentence, not more than fit into it
    near       what of some names was probably meant, or all that there is

and what keeps a URL's secrets out of all that is shown, logged or kept:

    public_url      one URL, of which no more is shown than is surely not secret
    hide_secrets    any text, in which URLs may stand
"""

import difflib
import heapq
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import islice, pairwise
from os import PathLike, fspath

_NEAR = 0.72  # one wrong letter of four, two that changed places; "wren" is no misspelling of "green"
_COMPARED = 40  # names that a word is compared with letter by letter, which takes 12 µs each: tools/bench/rules.py
_FORMULA = re.compile(r"(^|;)(\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")  # wide ones are formulas in Japan and China
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}")
# A password may hold spaces: up to the last @ of the line that lies before the next URL all is taken to be of this one.
# Behind the URL may come the end of its sentence, of a quotation, of a list or of brackets; "]" alone ends an IPv6
# address. What is repeated has a bound, so that the time goes with the length of a text.
_URL = re.compile(
    rf"{_SCHEME.pattern}://(?:\S*(?:[^\S\r\n]+(?!\S*://)\S+)*[^\S\r\n]*@)?\S*?"
    r"(?=(?:['\"]\]{1,4})?[)}>'\",;:.!?…]{0,8}(?:\s|$))"
)
_HOST = re.compile(r"(\[[^\s\[\]@]*\]|[^\s:@]*)(:[0-9]*)?")


def clean(text: str, limit: int) -> str:
    """`text` for people, of at most `limit` characters: what is cut off ends in "…".

    All of it is printable. White space, line breaks, control characters, marks that change the direction of a text, and
    others without a shape become one space between words.
    """
    return _cut(" ".join("".join(c if c.isprintable() else " " for c in text).split()), limit)


def plain(text: str) -> str:
    """`text` with everything that could steer a terminal made visible, such as \\x1b. What is printable stays."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def spelt(path: str | PathLike[str]) -> str:
    """`path` with the bytes of its name that are no UTF-8 written out, as \\xff; else as it is."""
    text = fspath(path)
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(text: str, limit: int | None = 300) -> str:
    """`plain` text on one line, with single spaces: at most `limit` characters of it."""
    text = " ".join(text.split())
    return plain(text if limit is None else _cut(text, limit))


def cell(text: str) -> str:
    """`text` on its line, with an apostrophe in front where a spreadsheet would take it for a formula.

    Also behind a semicolon, at which many languages' spreadsheets split lines that others split at commas.
    """
    return _FORMULA.sub(r"\1'\2", "".join(" " if ord(c) < 32 else c for c in text))


def words_of(error: Exception) -> str:
    """What an error of a library says, on one line and without its end; its type where it says nothing."""
    return one_line(str(error)).rstrip(" .;") or type(error).__name__


def some(names: Sequence[str], most: int = 8) -> str:
    """The first `most` names for a sentence: "a", "a and b", "a, b and c", "a, b and 3 more", "none"."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names) or "none"


def nearest(word: str, known: Iterable[str]) -> str:
    """The one of `known` that `word` is a misspelling of, "" where none is near enough for that."""
    names = {name.lower(): name for name in known} if word else {}
    found = difflib.get_close_matches(word.lower(), _alike(word.lower(), names), n=1, cutoff=_NEAR)
    return names[found[0]] if found else ""


def near(word: str, known: Collection[str]) -> str:
    """A hint: what of `known` was probably meant, or all that there is."""
    return meant(nearest(word, known), known)


def meant(found: str, known: Collection[str]) -> str:
    """A hint: `found` where it is a word, or all that there is, as far as that can be read."""
    if found:
        return f"did you mean {found}?"
    return (
        f"there is {', '.join(islice(known, 30))}{', ...' if len(known) > 30 else ''}" if known else "there is none yet"
    )


def _alike(word: str, names: Collection[str]) -> Collection[str]:
    """Of many names those that share most letters, and pairs of them, with the word, and are about as long."""
    if len(names) <= _COMPARED:
        return names
    # of two texts that are a misspelling of each other, the shorter one has this share of the longer one's length
    least = _NEAR / (2 - _NEAR)
    long_enough = [name for name in names if least * len(word) <= len(name) <= len(word) / least]
    parts = {*word, *map("".join, pairwise(word))}

    def shared(name: str) -> int:
        return sum(map(name.__contains__, parts)) - abs(len(name) - len(word))

    return heapq.nlargest(_COMPARED, long_enough, key=shared)


def public_url(url: str) -> str:
    """A URL without user, password and query: "rtsp://camera/x?…".

    A password that was not quoted (with a / or # or a space in it) makes it unclear where the host begins: then it is
    "rtsp://…".
    """
    scheme, mark, rest = url.partition("://")
    if not mark or not _SCHEME.fullmatch(scheme):
        scheme, mark, rest = "", "", url
    place, path, query = re.fullmatch(r"([^/?#\\]*)([^?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    host = place.rpartition("@")[2]
    if "@" in path + query or len(place.split()) > 1 or not _HOST.fullmatch(host):
        return f"{scheme}{mark}…"
    return f"{scheme}{mark}{host}{path}{'?…' if query[:1] == '?' else ''}"


def hide_secrets(text: str, *, paths: bool = True) -> str:
    """`text` with every URL in it as `public_url`. paths: whether those may be shown; a webhook's is its secret."""
    return _URL.sub(lambda url: _shown(url[0], path=paths), text)


def _shown(url: str, *, path: bool) -> str:
    shown = public_url(url)
    scheme, _, rest = shown.partition("://")
    host, slash, _ = rest.partition("/")
    return shown if path or not slash else f"{scheme}://{host}/…"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
