"""Other people's words, made harmless."""

import pytest

from streamclf.text import cell, clean, one_line, plain, some


def test_clean_text_is_one_tidy_line() -> None:
    assert clean("a\r\nb\x1b[31m\u202ec\u2028d", 99) == "a b [31m c d"
    assert clean("  a \t\u00a0 b\0", 99) == "a b"
    assert clean("x" * 9, 5) == "xxxx…"
    assert clean("Großer Brachvogel \u9d6b 🐦", 99) == "Großer Brachvogel \u9d6b 🐦"


def test_plain_text_loses_nothing_and_steers_nothing() -> None:
    assert plain("a\x1b[2J\n\u202eb\ud800") == "a\\x1b[2J\\n\\u202eb\\ud800"
    assert plain("so  wie es ist: äöü") == "so  wie es ist: äöü"


def test_an_error_is_one_line() -> None:
    assert one_line("  it\nfell \t over \x07 ") == "it fell over \\x07"
    assert one_line("x" * 400) == "x" * 299 + "…"
    assert one_line("x" * 400, None) == "x" * 400


@pytest.mark.parametrize("text", ["=cmd", "+1", "-1", "@x", "\t=1", "\n=1", " \t@x"])
def test_a_cell_is_no_formula(text: str) -> None:
    assert cell(text).startswith("'")


def test_a_cell_stays_on_its_line() -> None:
    assert [cell(text) for text in ("a\nb=c", "", "Bird, song", "1 = 1")] == ["a b=c", "", "Bird, song", "1 = 1"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("", "none"),
        ("a", "a"),
        ("ab", "a and b"),
        ("abc", "a, b and c"),
        ("abcd", "a, b, c and 1 more"),
        ("abcdefgh", "a, b, c and 5 more"),
    ],
)
def test_names_in_a_sentence(names: str, said: str) -> None:
    assert some(list(names), 3) == said
