"""From names that somebody gave to classes to a pack's labels. Names are other people's text, made harmless here."""

# ruff: noqa: RUF001 - letters of other alphabets are what the table below is about
import re
import unicodedata
from collections.abc import Collection, Sequence

from streamclf.errors import StreamclfError
from streamclf.text import clean
from streamclf.types import Label

_MAX_ID = 64
_MAX_NAME = 200


def make_labels(names: Sequence[str], *, hidden: Collection[int] = ()) -> tuple[Label, ...]:
    """One label a name, in order: ids of a-z, 0-9 and '_', each different, names printable and at most 200 characters.

    hidden: indexes of classes that displays leave out, such as a tokenizer's padding.
    """
    taken: dict[str, int] = {}
    labels = []
    for index, name in enumerate(names):
        ident = _unique(_slug(name) or f"class_{index}", taken)
        labels.append(Label(ident, printable(name) or f"class {index}", hidden=index in hidden))
    return tuple(labels)


def check_count(
    names: Sequence[str], expected: int, where: str, *, fault: type[StreamclfError] = StreamclfError
) -> None:
    """Raises `fault` where the names are not as many as the model's classes."""
    if len(names) != expected:
        raise fault(
            f"{where} names {len(names)} labels, but the model gives {expected} classes; "
            "they must be as many and in the order of its output, so correct them (--labels FILE, one name a line)"
        )


def slug(text: str, *, limit: int = _MAX_ID) -> str:
    """`text` as a-z, 0-9 and '_', at most `limit` characters; "" where none of it is left."""
    return _slug(text)[:limit].strip("_")


def printable(text: str) -> str:
    """`text` as a label's name, a title or a source of a pack."""
    return clean(text, _MAX_NAME)


# letters that Unicode does not take apart into one of a-z and a mark, and those that a language writes with two
_SPELT = str.maketrans(
    {
        "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "å": "a", "đ": "d", "ð": "d",
        "þ": "th", "ł": "l", "ı": "i", "ŋ": "ng", "ħ": "h", "ŧ": "t",
        # Greek, as ELOT 743 spells its letters
        "α": "a", "β": "v", "γ": "g", "δ": "d", "ε": "e", "ζ": "z", "η": "i", "θ": "th", "ι": "i", "κ": "k", "λ": "l",
        "μ": "m", "ν": "n", "ξ": "x", "ο": "o", "π": "p", "ρ": "r", "σ": "s", "ς": "s", "τ": "t", "υ": "y", "φ": "f",
        "χ": "ch", "ψ": "ps", "ω": "o",
        # Cyrillic, as passports spell it
        "а": "a", "б": "b", "в": "v", "г": "g", "д": "d", "е": "e", "ж": "zh", "з": "z", "и": "i", "й": "i", "к": "k",
        "л": "l", "м": "m", "н": "n", "о": "o", "п": "p", "р": "r", "с": "s", "т": "t", "у": "u", "ф": "f", "х": "kh",
        "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch", "ъ": "", "ы": "y", "ь": "", "э": "e", "ю": "iu", "я": "ia",
        "є": "ie", "і": "i", "ї": "i", "ґ": "g",
    }
)  # fmt: skip


def _slug(text: str) -> str:
    # composed first, so that a letter and its mark are found as one; what is not in the table loses its marks
    spelt = unicodedata.normalize("NFKC", text).lower().translate(_SPELT)
    ascii_text = unicodedata.normalize("NFKD", spelt).translate(_SPELT).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_text).strip("_")[:_MAX_ID].strip("_")


def _unique(ident: str, taken: dict[str, int]) -> str:
    """taken: every id given so far -> the number at the end of the last one that was made of it, 1 for none."""
    candidate, number = ident, taken.get(ident, 1)
    while candidate in taken:
        number += 1
        ending = f"_{number}"
        candidate = ident[: _MAX_ID - len(ending)] + ending
    taken[ident] = number
    taken.setdefault(candidate, 1)
    return candidate
