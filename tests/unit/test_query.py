"""Queries of addresses: moments in words."""

import msgspec
import pytest

from streamclf.errors import ServeError
from streamclf.serve.query import asked, query_of
from streamclf.times import moment_ns


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    since_ns: int = 0
    limit: int = 1


def test_a_moment_may_be_in_words() -> None:
    assert asked(query_of("/v1/x?since=2026-05-01T06:30Z&limit=3"), Wish) == Wish(moment_ns("2026-05-01T06:30Z", 0), 3)
    assert asked(query_of("/v1/x?since_ns=5"), Wish) == Wish(5)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [("since=soon", "since 'soon' is not a time; write 2026"), ("since=1h&since_ns=5", "since"), ("limt=3", "limit")],
)
def test_what_is_none_is_told(query: str, sentence: str) -> None:
    with pytest.raises(ServeError, match=sentence):
        asked(query_of(f"/v1/x?{query}"), Wish)
