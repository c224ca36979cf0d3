"""`GET /v1/taught`: what was taught, with its examples. `GET /v1/like`: moments that sounded like one.

event             id of a kept event; or stream and at_ns, a moment
limit             moments in the answer, 1 to 200, default 20
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec

from streamclf.serve.http.route import NotKeptError, Query, Reply
from streamclf.serve.query import asked
from streamclf.store import taught
from streamclf.store.database import reader
from streamclf.teach.alike import find_alike


class ExampleEntry(msgspec.Struct):
    """An example. said: `is` or `not`. sound: whether it is kept as sound, too. Times in ns since 1970."""

    id: str
    said: str
    event: str
    stream: str
    at_ns: int
    until_ns: int
    sound: bool


class TaughtEntry(msgspec.Struct):
    """A class. pack: that has it as a label, "" where it is not heard. problem: why not, "" where it is."""

    label: str
    name: str
    pack: str
    host: str
    enter: float
    leave: float
    problem: str
    examples: list[ExampleEntry]


class TaughtList(msgspec.Struct):
    """All of them, in the order of the columns."""

    classes: list[TaughtEntry]


class AlikeEntry(msgspec.Struct):
    """A moment. likeness: up to 1, which is the same sound. event, label: "" where it is of no event."""

    stream: str
    at_ns: int
    event: str
    label: str
    likeness: float


class AlikeList(msgspec.Struct):
    """The most alike first."""

    moments: list[AlikeEntry]


class LikeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    event: str = ""
    stream: str = ""
    at_ns: int = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20


class Lessons(msgspec.Struct):
    """folder: of the store. names: host -> the pack of what was taught on it. problems: label -> why it is not heard.

    Any thread may ask.
    """

    folder: Path
    names: Mapping[str, str]
    problems: Callable[[], Mapping[str, str]]

    def taught(self, query: Query) -> Reply:
        """What was taught, as JSON. Raises `StoreError`, and sqlite3's own errors."""
        with closing(reader(self.folder)) as connection:
            classes, examples = taught.classes(connection), taught.examples(connection)
        problems = self.problems()
        entries = [
            TaughtEntry(
                one.label, one.name, "" if one.label in problems else self.names.get(one.host, ""), one.host, one.enter,
                one.leave, problems.get(one.label, ""),
                [
                    ExampleEntry(e.id, e.said, e.event, e.stream, e.at_ns, e.until_ns, bool(e.sound))
                    for e in examples
                    if e.label == one.label
                ],
            )
            for one in classes
        ]  # fmt: skip
        return Reply(msgspec.json.encode(TaughtList(entries)))

    def like(self, query: Query) -> Reply:
        """Moments as JSON. Raises `ServeError`, `NotKeptError`, `StoreError`, and sqlite3's own errors."""
        wish = asked(query.fields, LikeQuery, lists=())
        with closing(reader(self.folder)) as connection:
            found = find_alike(connection, event=wish.event, stream=wish.stream, at_ns=wish.at_ns, limit=wish.limit)
        if found is None:
            raise NotKeptError("nothing is kept of how that moment sounded; name an event, or a stream and a time")
        entries = [AlikeEntry(m.stream, m.at_ns, m.event, m.label, m.likeness) for m in found]
        return Reply(msgspec.json.encode(AlikeList(entries)))
