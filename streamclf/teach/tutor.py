"""From a lesson to a class: what the example sounds like, and the head that is fitted to all that is known of it."""

import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.clock import NS_PER_SECOND
from streamclf.engine.embed import Embedder, Host
from streamclf.engine.heads import Heads
from streamclf.errors import StreamclfError, UsageError
from streamclf.store import clips, events, moments, taught
from streamclf.store.taught import Example, TaughtClass
from streamclf.teach import fit, sound
from streamclf.types import F32, Label

GROUP = "taught"
_BACKGROUND = 4000
_AROUND_NS = 3 * NS_PER_SECOND  # of an example: what was heard then is not background
_LEAST = 40  # rows of a background; where this place has given fewer, sounds that everybody has fill it up
_DEMO_S = 12


@dataclass(frozen=True, slots=True)
class Lesson:
    """What somebody says of a sound. said: `is` or `not`. pack: the host of a new class, "" for the first there is.

    at_ns, until_ns: when it was heard; stream: where, or the file that it is from. numbers: by host, its embeddings as
    they were heard live, (n, numbers) float32. samples, rate: the sound itself, where it is at hand; keep: whether it
    may be kept. lately: by host, what was heard lately, as background.
    """

    label: str
    name: str = ""
    said: str = "is"
    event: str = ""
    stream: str = ""
    at_ns: int = 0
    until_ns: int = 0
    pack: str = ""
    numbers: Mapping[str, F32] = field(default_factory=dict)
    samples: F32 | None = None
    rate: int = 0
    keep: bool = False
    lately: Mapping[str, F32] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LearntClass:
    """made: the class as it is now. example: what was learnt from. detail: what there is to know of it, or ""."""

    made: TaughtClass
    example: Example
    examples: int
    against: int
    detail: str


class Tutor:
    """hosts: packs that give embeddings. folder: of the store. read: a connection that reads it.

    One thread uses it at a time.
    """

    def __init__(self, hosts: Sequence[Host], folder: Path, read: Callable[[], sqlite3.Connection]) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.taken: Sequence[str] = ()
        """Labels of the packs that run, which nothing that is taught may have."""
        self._folder = folder
        self._read = read
        self._embedders: dict[str, Embedder] = {}
        self._elsewhere: dict[str, F32] = {}

    def learn(self, lesson: Lesson, *, now_ns: int) -> LearntClass:
        """Make or mend the class that the lesson is of. Nothing is kept yet: the caller does so.

        Raises `StreamclfError` where nothing can be learnt from it, in words for whoever has taught.
        """
        with closing(self._read()) as connection:
            known = {one.label: one for one in taught.classes(connection)}
            before = known.get(lesson.label)
            host = self._host(lesson, before)
            if before is None and lesson.said == "not":
                raise StreamclfError(
                    f"nobody has taught what '{lesson.label}' is, so it cannot be told what it is not; show it first"
                )
            example = self._example(connection, lesson, host, now_ns)
            name = lesson.name or (before.name if before else lesson.label.replace("_", " ").capitalize())
            some = taught.examples(connection, [lesson.label])
            again = next((one for one in some if _same(one, example)), None)
            if again is not None:  # what is said of it last counts
                example = replace(example, id=again.id)
                some = [one for one in some if one is not again]
            some = [*some, example]
            if not any(one.said == "is" for one in some):
                raise StreamclfError(
                    f"that is the only example of what '{lesson.label}' is; show another one first, or forget it"
                )
            made, detail = self._fit(connection, lesson.label, name, host, some, lesson.lately.get(host.name), now_ns)
        count = sum(one.said == "is" for one in some)
        if again is not None and again.said == example.said:
            detail = f"that very sound was shown before and counts once{'; ' * bool(detail)}{detail}"
        if not example.sound and not detail:
            detail = "its sound is not kept, so another version of its pack could not learn from it"
        return LearntClass(made, example, count, len(some) - count, detail)

    def forget(self, label: str, example: str, *, lately: Mapping[str, F32], now_ns: int) -> TaughtClass | None:
        """The class without that example, None where nothing is left of it. Raises `StreamclfError`."""
        with closing(self._read()) as connection:
            before = {one.label: one for one in taught.classes(connection)}.get(label)
            if before is None:
                raise StreamclfError(f"nobody has taught '{label}'; `streamclf teach list` tells what was")
            if not example:
                return None
            some = taught.examples(connection, [label])
            rest = [one for one in some if one.id != example]
            if len(rest) == len(some):
                raise StreamclfError(f"'{label}' has no example '{example[:60]}'; `streamclf teach show {label}`")
            if not any(one.said == "is" for one in rest):
                return None
            host = self._host(Lesson(label), before)
            return self._fit(connection, label, before.name, host, rest, lately.get(host.name), now_ns)[0]

    def renamed(self, label: str, name: str) -> TaughtClass:
        """The class with another name for people. Raises `StreamclfError`."""
        with closing(self._read()) as connection:
            before = {one.label: one for one in taught.classes(connection)}.get(label)
        if before is None:
            raise StreamclfError(
                f"nobody has taught '{label}', so there is nothing to call {name!r}; show it, or see `teach list`"
            )
        return replace(before, name=name)

    def again(self, label: str, *, lately: Mapping[str, F32], now_ns: int) -> TaughtClass | None:
        """The class fitted anew to what this place has sounded like since, None where that cannot be done."""
        with closing(self._read()) as connection:
            before = {one.label: one for one in taught.classes(connection)}.get(label)
            host = self.hosts.get(before.host) if before is not None else None
            if before is None or host is None or host.identity != before.identity:
                return None
            some = taught.examples(connection, [label])
            return self._fit(connection, label, before.name, host, some, lately.get(host.name), now_ns)[0]

    def mended(self, *, now_ns: int) -> list[tuple[TaughtClass, list[Example], str]]:
        """Classes whose pack is another version now, fitted anew to the sounds of their examples.

        With each the examples that were heard anew, and why it cannot be used, "" where it can.
        """
        found = []
        with closing(self._read()) as connection:
            for one in taught.classes(connection):
                host = self.hosts.get(one.host)
                if host is None or host.identity == one.identity:
                    continue
                some = [self._anew(example, host) for example in taught.examples(connection, [one.label])]
                if any(e.said == "is" and e.identity == host.identity for e in some):
                    made, _ = self._fit(connection, one.label, one.name, host, some, None, now_ns)
                    found.append((made, [e for e in some if e.identity == host.identity], ""))
                else:
                    empty = replace(one, weights=np.zeros(0, dtype=np.float32))
                    why = f"{one.host} is another version now, and no sound of an example is kept to learn from"
                    found.append((empty, [], f"{why}; show '{one.label}' again"))
        return found

    def _host(self, lesson: Lesson, before: TaughtClass | None) -> Host:
        name = before.host if before is not None else lesson.pack
        if not self.hosts:
            raise StreamclfError(
                "no pack that runs gives embeddings, so nothing can be taught; run default, everyday or yamnet too"
            )
        if not name:
            return next(iter(self.hosts.values()))
        if name not in self.hosts:
            raise StreamclfError(
                f"'{lesson.label}' rests on the pack {name}, which does not run here or gives no embeddings; "
                f"there is {', '.join(self.hosts)}"
            )
        return self.hosts[name]

    def _example(self, connection: sqlite3.Connection, lesson: Lesson, host: Host, now_ns: int) -> Example:
        samples, rate, keep = lesson.samples, lesson.rate, lesson.keep
        numbers = lesson.numbers.get(host.name)
        kept = events.find(connection, lesson.event) if lesson.event else None
        if lesson.event and kept is None:
            raise StreamclfError(f"there is no event '{lesson.event[:200]}' in the store; /v1/events has their ids")
        if samples is None and kept is not None and kept.clip:
            try:
                samples, rate = sound.read_sound(self._folder / clips.FOLDER / kept.clip)
                keep = True
            except StreamclfError:
                pass  # it had to go for want of space; what was heard of it may still be there
        if samples is not None:
            samples = sound.loud_part(samples, rate)
            sound.check_heard(samples, rate)
            if numbers is None or not len(numbers):
                numbers = sound.numbers_of(self.embedder(host), samples, rate)
        if (numbers is None or not len(numbers)) and kept is not None:
            moment = moments.moment_of(connection, lesson.event)
            if moment is not None and moment.identity == host.identity:
                numbers = moment.numbers[None]
        if numbers is None or not len(numbers):
            raise StreamclfError(
                "nothing is held of that moment any more; what can be shown is the last two minutes, an event with a "
                "clip or a moment, or a recording"
            )
        return Example(
            id=secrets.token_hex(6),
            label=lesson.label,
            said=lesson.said,
            event=lesson.event,
            stream=lesson.stream or (kept.stream if kept else ""),
            at_ns=lesson.at_ns or (kept.onset_ns if kept else now_ns),
            until_ns=lesson.until_ns or (kept.offset_ns or kept.decided_ns if kept else now_ns),
            made_ns=now_ns,
            identity=host.identity,
            numbers=sound.spread(numbers),
            sound=sound.encoded(samples, rate) if samples is not None and keep else b"",
        )

    def _fit(
        self,
        connection: sqlite3.Connection,
        label: str,
        name: str,
        host: Host,
        some: Sequence[Example],
        lately: F32 | None,
        now_ns: int,
    ) -> tuple[TaughtClass, str]:
        usable = [one for one in some if one.identity == host.identity]
        examples = [one.numbers for one in usable if one.said == "is"]
        if not examples:
            raise StreamclfError(f"no example of '{label}' is of this version of {host.name}; show it again")
        against = [one.numbers for one in usable if one.said == "not"]
        rows = [self._background(connection, label, host, usable)]
        if lately is not None and len(lately):
            rows.append(lately[_unlike(lately, examples)])
        others = [e.numbers for e in taught.examples(connection) if e.label != label and e.identity == host.identity]
        background = np.concatenate([*rows, *others])
        if len(background) < _LEAST:
            background = np.concatenate([background, self._noises(host)])
        fitted = fit.fit(examples, against, background)
        detail = ""
        if len(usable) < len(some):
            detail = f"{len(some) - len(usable)} of its examples are of another version of {host.name} and do not count"
        elif fitted.margin < 0:
            detail = "something that is heard here is taken for it: show more examples, or tell what it is not"
        return TaughtClass(label, name, host.name, host.identity, fitted.weights, fit.ENTER, fit.LEAVE, now_ns), detail

    def _background(self, connection: sqlite3.Connection, label: str, host: Host, usable: Sequence[Example]) -> F32:
        """What this place has sounded like, but for what is known to be the class."""
        found = moments.read_moments(connection, host.identity, most=_BACKGROUND, spread=True)
        if not len(found.numbers):
            return np.zeros((0, usable[0].numbers.shape[1]), dtype=np.float32)
        keep = np.array([one != label for one in found.labels])
        for example in usable:
            if example.said == "is":
                near = (found.at_ns > example.at_ns - _AROUND_NS) & (found.at_ns < example.until_ns + _AROUND_NS)
                keep &= ~(near & np.array([stream == example.stream for stream in found.streams]))
        rows: F32 = found.numbers[keep]
        return rows

    def _noises(self, host: Host) -> F32:
        """What silence, hiss of several loudnesses and the demo recording are to the host."""
        if host.name not in self._elsewhere:
            random = np.random.default_rng(1)
            loud = np.repeat([10 ** (db / 20) for db in (-70, -45, -25)], sound.KEPT_RATE)
            noise = (random.standard_normal(len(loud)) * loud).astype(np.float32)
            demo, rate = sound.read_sound(DEMO_FILE)
            embedder = self.embedder(host)
            heard = [embedder(noise, sound.KEPT_RATE)[1], embedder(demo[: _DEMO_S * rate], rate)[1]]
            self._elsewhere[host.name] = np.concatenate(heard)
        return self._elsewhere[host.name]

    def _anew(self, example: Example, host: Host) -> Example:
        """The example as this host hears it, where its sound is kept."""
        if example.identity == host.identity or not example.sound:
            return example
        samples, rate = sound.decoded(example.sound)
        return example.heard_as(host.identity, sound.spread(sound.numbers_of(self.embedder(host), samples, rate)))

    def embedder(self, host: Host) -> Embedder:
        """What hears a recording as that host would."""
        if host.name not in self._embedders:
            self._embedders[host.name] = Embedder(host.graph)
        return self._embedders[host.name]


def _same(one: Example, other: Example) -> bool:
    """Whether it is the same event, or the same recording."""
    if one.event or other.event:
        return one.event == other.event
    return bool(one.sound) and one.sound == other.sound


def _unlike(lately: F32, examples: Sequence[F32]) -> np.ndarray:
    """Rows that are none of the examples themselves: what was heard lately holds those, too."""
    shown = np.concatenate(examples)
    nearest = np.array([np.abs(shown - row).max(axis=1).min() for row in lately])
    return nearest > 0.05 * max(1e-6, float(np.abs(shown).max()))


def heads_of(classes: Sequence[TaughtClass]) -> tuple[Heads, list[Label]]:
    """The heads of those that can be used, all of one host, and the labels of their columns."""
    usable = [one for one in classes if len(one.weights)]
    size = len(usable[0].weights) if usable else 1
    weights = np.array([one.weights for one in usable], dtype=np.float32).reshape(len(usable), size).T
    labels = [Label(one.label, one.name, GROUP, one.enter) for one in usable]
    return Heads([one.label for one in usable], weights), labels


def check_label(label: str, taken: Sequence[str]) -> None:
    """Raises `UsageError` where a label of a pack that runs has that id: two would be one to every rule."""
    if label in taken:
        raise UsageError(f"'{label}' is a label of a pack that runs already; give what you teach another name")
