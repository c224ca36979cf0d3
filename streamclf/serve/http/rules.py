"""`GET /v1/rules`: the rules in force, in words. They are shown here and changed in their file alone.

`{"place", "rules": [{"name", "labels", "told_when", "not_told_when", "sinks"}], "sinks": [{"name", "type"}], "file",
"problem"}`. `file` is the name of the rules file without its folder; `problem` says why the file as it is now is not in
force, "" where it is.
"""

import msgspec

from streamclf.alerts.rules.reload import RulesWatch
from streamclf.alerts.rules.words import conditions, limits, place_in_words
from streamclf.alerts.sinks import kind_of
from streamclf.serve.http.route import Query, Reply


class RuleEntry(msgspec.Struct, frozen=True):
    """A rule as `streamclf rules show` prints it. labels: ids, `group:NAME` or `*`."""

    name: str
    labels: tuple[str, ...]
    told_when: str
    not_told_when: str
    sinks: tuple[str, ...]


class SinkEntry(msgspec.Struct, frozen=True):
    """Whom rules tell; no address, and nothing else that it was set up with."""

    name: str
    type: str


class RulesAnswer(msgspec.Struct, frozen=True):
    """The answer."""

    place: str
    rules: list[RuleEntry]
    sinks: list[SinkEntry]
    file: str
    problem: str


class Rules:
    """watch: of the daemon; on the loop's thread, as that is."""

    def __init__(self, watch: RulesWatch) -> None:
        self._watch = watch

    def answer(self, query: Query) -> Reply:
        """JSON."""
        file = self._watch.file
        found = RulesAnswer(
            place=place_in_words(file.place),
            rules=[
                RuleEntry(
                    rule.name,
                    rule.labels,
                    "; ".join([*self._watch.known.waiting([rule]), conditions(rule)]),
                    limits(rule),
                    rule.sinks,
                )
                for rule in file.rules
            ],
            sinks=[SinkEntry(name, kind_of(config).name) for name, config in file.sinks.items()],
            file=self._watch.path.name,
            problem=self._watch.problem,
        )
        return Reply(msgspec.json.encode(found))
