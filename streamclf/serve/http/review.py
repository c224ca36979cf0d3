"""`GET /v1/review`: the events of the last week whose answer would tell the most, and what was learnt from answers.

    limit             questions in the answer, 1 to 100, default 20

`{"questions": [{"event", "why"}], "waiting", "learnt": [{"label", "pack", "right", "wrong", "now", "proposed",
"dropped", "lost"}]}`. `event` is one of /v1/events; `why` is `new` where it is unlike all that was answered, and `many`
where it stands for many that are like it. `waiting` counts what is not answered. Of each label that was
answered, `now` are its thresholds and `proposed` those that its answers lead to, null where none are better:
`{"enter", "leave", "min_on_ms"}`; of the wrong ones `dropped` lie below, of the right ones `lost`. Answer with `mark`,
and where `pack` is made of what was taught with `teach`; `adjust` takes what is proposed.
"""

import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated

import msgspec

from streamclf.alerts.review import Doubtful, cut, ordered
from streamclf.clock import NS_PER_SECOND
from streamclf.model.activation import normalised
from streamclf.store import taught
from streamclf.store.events import StoredEvent, query
from streamclf.store.moments import moments_of
from streamclf.types import F32

SPAN_NS = 7 * 86_400 * NS_PER_SECOND
MOST = 1000
"""Events that are looked at, of each kind: answered and not; the newest."""


class ReviewQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class QuestionEntry(msgspec.Struct, frozen=True):
    """An event to ask about."""

    event: StoredEvent
    why: str


class LevelsEntry(msgspec.Struct, frozen=True):
    """Thresholds."""

    enter: float
    leave: float
    min_on_ms: int


class LearntEntry(msgspec.Struct, frozen=True):
    """What the answers of one label are good for."""

    label: str
    pack: str
    right: int
    wrong: int
    now: LevelsEntry
    proposed: LevelsEntry | None
    dropped: int
    lost: int


class ReviewAnswer(msgspec.Struct, frozen=True):
    """The answer."""

    questions: list[QuestionEntry]
    waiting: int
    learnt: list[LearntEntry]


def review_of(connection: sqlite3.Connection, wish: ReviewQuery) -> ReviewAnswer:
    """The answer."""
    since_ns = time.time_ns() - SPAN_NS
    waiting = _some(connection, since_ns, marked=False)
    answered = _some(connection, since_ns, marked=True)
    classes, examples = taught.classes(connection), taught.examples(connection)
    numbers = moments_of(connection, [event.id for event in (*waiting, *answered)])
    events = [*waiting, *answered]
    heard = [_heard(event, numbers) for event in events]
    chosen = ordered([*heard, *_shown({one.key for one in heard}, classes, examples)], most=wish.limit)
    questions = [QuestionEntry(events[at], "new" if new else "many") for at, new in chosen]
    return ReviewAnswer(questions, len(waiting), _learnt(answered))


def _some(connection: sqlite3.Connection, since_ns: int, *, marked: bool) -> list[StoredEvent]:
    found = query(connection, since_ns=since_ns, marked=marked, limit=MOST)
    return [event for event in found if event.stage == "close" and not event.test]


def _heard(event: StoredEvent, numbers: Mapping[str, F32]) -> Doubtful:
    right = None if not event.mark else event.mark == "right"
    return Doubtful(f"{event.pack}/{event.label}", event.peak, numbers.get(event.id), right)


def _shown(
    keys: Collection[str], classes: Sequence[taught.TaughtClass], examples: Sequence[taught.Example]
) -> list[Doubtful]:
    """What the classes among `keys` were taught by: of each example what is most like its class."""
    weights = {one.label: one.weights for one in classes}
    found = []
    for example in examples:
        head, numbers = weights.get(example.label), example.numbers
        if head is None or len(head) != numbers.shape[1] + 1 or not len(numbers):
            continue
        most = numbers[int((normalised(numbers) @ head[:-1]).argmax())]
        # the pack is `taught`, or `taught-HOST`, and no other label of any pack is called as one of its own
        own = [key for key in keys if key.startswith("taught") and key.endswith(f"/{example.label}")]
        found += [Doubtful(key, 1.0, most, example.said == "is", shown=True) for key in own]
    return found


def _learnt(answered: Sequence[StoredEvent]) -> list[LearntEntry]:
    """Of each label, the one that was answered last first."""
    by_label: dict[tuple[str, str], list[StoredEvent]] = {}
    for event in answered:
        by_label.setdefault((event.pack, event.label), []).append(event)
    found = []
    for (pack, label), events in by_label.items():
        newest = max(events, key=lambda event: event.onset_ns)
        now = LevelsEntry(newest.enter, newest.leave, newest.min_on_ms)
        heard = [_heard(event, {}) for event in events]
        better = cut(heard, newest.enter)
        right = sum(event.right is True for event in heard)
        proposed = None
        if better is not None:
            leave = round(newest.leave * better.enter / newest.enter, 3) if newest.enter else better.enter
            proposed = LevelsEntry(better.enter, leave, newest.min_on_ms)
        dropped, lost = (better.dropped, better.lost) if better is not None else (0, 0)
        found.append(LearntEntry(label, pack, right, len(heard) - right, now, proposed, dropped, lost))
    return found
