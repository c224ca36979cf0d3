"""What an address answers: plain HTTP questions and answers, without the HTTP."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from streamclf.errors import ServeError
from streamclf.serve.roles import Role


class NotKeptError(ServeError):
    """What was asked for does not exist, or is not kept."""


class Query(NamedTuple):
    """What was asked of an address: the fields behind its `?`, and by whom."""

    fields: Mapping[str, list[str]]
    role: Role


class Reply(NamedTuple):
    """A body, its media type, and headers besides the usual."""

    body: bytes
    kind: str = "application/json"
    headers: Mapping[str, str] = {}


class Route(NamedTuple):
    """Who may ask, and what answers: on the loop's thread, or in one of its own where it reads from a disk.

    The answer may raise `ServeError` (the client's mistake: 400), `NotKeptError` (404), and `StreamclfError` or what
    sqlite3 raises (503).
    """

    role: Role
    answer: Callable[[Query], Reply]
    in_thread: bool = False
