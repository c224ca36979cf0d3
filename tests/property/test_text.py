"""What `streamclf.text` promises, for any text."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from streamclf.text import cell, clean, one_line, plain

texts = st.text(st.one_of(st.characters(codec=None), st.sampled_from(" \t\r\n\x1b\x00\u202e\u2028\u00ad\ud800=+-@a")))
limits = st.integers(1, 60)


@given(texts, limits)
def test_clean_is_printable_bounded_and_done_once(text: str, limit: int) -> None:
    done = clean(text, limit)
    assert done.isprintable()
    assert len(done) <= limit
    assert "  " not in done
    assert clean(done, limit) == done


@given(texts)
def test_plain_is_printable_and_leaves_what_was(text: str) -> None:
    assert plain(text).isprintable()
    assert plain(plain(text)) == plain(text)
    assert (plain(text) == text) == text.isprintable()


@given(texts, limits)
def test_one_line_is_printable_and_holds_no_more_than_the_limit(text: str, limit: int) -> None:
    done = one_line(text, limit)
    assert done.isprintable()
    assert len(done) <= 10 * limit  # \U0001f426 for one character
    assert one_line(text, None) == plain(" ".join(text.split()))


@given(texts)
def test_a_cell_stays_in_its_row_and_is_no_formula(text: str) -> None:
    done = cell(text)
    assert not done.lstrip().startswith(("=", "+", "-", "@"))
    out = io.StringIO()
    csv.writer(out).writerow([done, "next"])
    assert len(list(csv.reader(io.StringIO(out.getvalue())))) == 1
