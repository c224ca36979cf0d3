"""What an address answers: plain HTTP questions and answers, without the HTTP."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamclf.errors import ServeError
from streamclf.serve.query import Wish, asked
from streamclf.serve.roles import Role
from streamclf.store.database import reader


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


def from_store(
    folder: Path, kind: type[Wish], find: Callable[[sqlite3.Connection, Wish], msgspec.Struct]
) -> Callable[[Query], Reply]:
    """An answer in JSON of what `find` finds in the store, for the query as a `kind`. Any thread may ask.

    It raises `ServeError`, `StoreError`, and sqlite3's own errors. Each request has a connection of its own.
    """

    def answer(query: Query) -> Reply:
        wish = asked(query.fields, kind)
        with closing(reader(folder)) as connection:
            return Reply(msgspec.json.encode(find(connection, wish)))

    return answer
