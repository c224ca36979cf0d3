"""`GET /v1/taught`: what was taught, class by class, with its examples."""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from streamclf.serve.http.route import Query, Reply
from streamclf.store import taught
from streamclf.store.database import reader


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


class Lessons(msgspec.Struct):
    """folder: of the store. names: host -> the pack of what was taught on it. problems: label -> why it is not heard.

    Any thread may ask.
    """

    folder: Path
    names: Mapping[str, str]
    problems: Callable[[], Mapping[str, str]]

    def answer(self, query: Query) -> Reply:
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
