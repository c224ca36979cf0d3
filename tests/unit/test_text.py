"""Other people's words, made harmless."""

import difflib
import re

import pytest

from streamclf.model.recipes.recipe import read_text
from streamclf.text import cell, clean, hide_secrets, nearest, one_line, plain, public_url, some


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


@pytest.mark.parametrize("text", ["=cmd", "+1", "-1", "@x", "\t=1", "\n=1", " \t@x", "\uff1d1", "\uff20x"])
def test_a_cell_is_no_formula(text: str) -> None:
    assert cell(text).startswith("'")


def test_a_cell_is_no_formula_where_lines_are_split_at_semicolons() -> None:
    assert cell("dog;=1+1") == "dog;'=1+1"
    assert cell("=a; -b;c") == "'=a;' -b;c"


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


@pytest.mark.parametrize(
    ("text", "with_paths", "without"),
    [
        (
            "see (http://u:p@a:80), or ws://b/c/d?x=1;",
            "see (http://a:80), or ws://b/c/d?…;",
            "see (http://a:80), or ws://b/…;",
        ),
        ("'https://hooks.example/T1/B2'", "'https://hooks.example/T1/B2'", "'https://hooks.example/…'"),
        (
            'set ["http://a:80", "http://u:p@b/c"], so',
            'set ["http://a:80", "http://b/c"], so',
            'set ["http://a:80", "http://b/…"], so',
        ),
        ("http://[::1] (http://u:p@[::1]:8/x)", "http://[::1] (http://[::1]:8/x)", "http://[::1] (http://[::1]:8/…)"),
        ("url:rtsp://u:a#b@cam/x fails", "url:rtsp://… fails", "url:rtsp://… fails"),
        ("at 10:30 // no URL, a@b.c", "at 10:30 // no URL, a@b.c", "at 10:30 // no URL, a@b.c"),
    ],
)
def test_no_secret_of_a_url_stays_in_a_text(text: str, with_paths: str, without: str) -> None:
    assert hide_secrets(text) == with_paths
    assert hide_secrets(text, paths=False) == without


PASSWORDS = [
    *(
        "pa ss",
        "pa\tss",
        " pass ",
        "p@ss",
        "p@s s@",
        "pa#ss",
        "pa%ss",
        "pa/ss",
        "pa?s=s",
        "pa:ss",
        "pa'ss",
        'pa"ss',
        "pa, ss)",
    ),
    *("päß wörd", "pa\u3000ss", "鶫 @ 鶫", "pa\\ss", "pa}ss; x", "//pa ss", "pa ss " * 20, "12 34"),
]


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize(
    "text",
    [
        "rtsp://{}@cam/x",
        "cannot open url:rtsp://user:{}@cam/x: no route; try ws://a:80",
        "'rtsp://user:{}@cam/x?a=1' and \"http://b/c\"",
        "line one http://a/b\nrtsp://user:{}@cam\nline three",
        '["mailto://user:{}@example.org", "http://a"]',
    ],
)
def test_no_part_of_a_password_stays_whatever_is_in_it(password: str, text: str) -> None:
    shown = hide_secrets(text.format(password))

    for part in re.findall(r"\w{2,}", password):
        assert part not in shown
    assert ("line three" in shown) == ("line three" in text)


@pytest.mark.parametrize("password", PASSWORDS)
def test_one_url_is_shown_without_its_password(password: str) -> None:
    shown = public_url(f"rtsp://user:{password}@cam/x")

    assert "user" not in shown
    assert not any(part in shown for part in re.findall(r"\w{2,}", password))


@pytest.mark.parametrize("text", ["http://a " + "b " * 100_000, ("http://a b@" + " c" * 50) * 2000, "x://" * 50_000])
def test_a_long_text_of_many_words_is_read_once(text: str) -> None:
    hide_secrets(text)


@pytest.mark.parametrize("text", ["a" * 200_000, "http://" + ")" * 200_000 + "a"])
def test_a_long_text_is_read_once(text: str) -> None:
    assert hide_secrets(text) == text


def test_among_many_names_the_one_that_is_meant_is_found_as_among_few() -> None:
    """Few of them are compared letter by letter."""
    names = [line.partition(",")[0] for line in read_text("yamnet_labels.csv").splitlines()[1:]]
    long = [name for name in names if len(name) > 4]
    typos = [f"{name[:2]}{name[3]}{name[2]}{name[4:]}" for name in long[::3]]
    typos += [f"{name[:-3]}{name[-2:]}" for name in long[1::3]]

    assert len(names) > 500
    for typo in typos:
        first = difflib.get_close_matches(typo, names, n=1, cutoff=0.72)
        assert nearest(typo, names) == "".join(first)
