"""What is judged, and which labels of a pack answer it: by whole words of its id and name, and by its group.

`crow` is not in `crowd`, nor `owl` in `howl`, nor `rain` in `train`: a phrase is found only where its words stand as
whole words one after the other. Both tables are CSV files beside this module:

    classes.csv  class, title, within (the class that it is a kind of), also (classes that may be heard beside it, so
                 that they are neither right nor wrong there), groups (of packs, whose labels answer it), words
                 (phrases that answer it), without (phrases that are taken out of a label first)
    finer.csv    label of an index, words of a file's name, the finer class that they say it is, and what may also be
                 heard in it
"""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from streamclf.model.labels import slug
from streamclf.types import Label

_HERE = Path(__file__).parent
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JudgedClass:
    """One class. within: what it is a kind of, "" for none. also: what may be heard beside it."""

    name: str
    title: str
    within: str
    also: frozenset[str]
    groups: frozenset[str]
    phrases: tuple[Words, ...]
    without: tuple[Words, ...]


@dataclass(frozen=True, slots=True)
class Truth:
    """What a recording holds. leaf: its one class, the finest that is known; "" for sounds of none.

    own: leaf and what it is a kind of. also: what may be heard as well. An event that answers some of `own` is right,
    one that answers only others is wrong, unless it answers some of `also`: then it is not judged.
    """

    leaf: str
    own: frozenset[str]
    also: frozenset[str]

    def judge(self, answered: frozenset[str]) -> bool | None:
        """Whether a label that answers these classes is right here; None where that is not judged."""
        if answered & self.own:
            return True
        return None if not answered or answered & self.also else False


@dataclass(frozen=True, slots=True)
class Answers:
    """What the labels of a pack answer, by column. direct: by their words. full: with kinds and groups as well.

    by_class: columns whose labels answer a class; by_name: those of them whose name it is. shared: class -> classes
    that some label answers together with it.
    """

    direct: tuple[frozenset[str], ...]
    full: tuple[frozenset[str], ...]
    by_class: Mapping[str, tuple[int, ...]]
    shared: Mapping[str, frozenset[str]]
    by_name: Mapping[str, tuple[int, ...]]

    def columns(self, name: str) -> list[int]:
        """Columns whose labels answer class `name`."""
        return list(self.by_class.get(name, ()))

    def named(self, name: str) -> list[int]:
        """Columns of the labels that are class `name` by their own name, where there are such; else as `columns`.

        A shout is right about a recording of speech; where speech begins and ends the label of speech says.
        """
        return list(self.by_name.get(name) or self.columns(name))

    def widest(self, column: int) -> str:
        """One class that the label of that column answers: what it is a kind of, where it answers that by itself."""
        own = self.direct[column] or self.full[column]
        return min(own, key=lambda name: (len(own & set(_parents(name))), name))

    def is_negative(self, name: str, truth: Truth) -> bool:
        """Whether a recording counts as one without `name`.

        It does not where the class may be heard, where the recording is of a kind that is not known finer, nor where
        one of the labels stands for both: a label "alarm, bell or phone" is not wrong about a bell.
        """
        if name in truth.own | truth.also or (truth.leaf and truth.leaf in _parents(name)):
            return False
        return not truth.own & self.shared.get(name, frozenset())


@cache
def judged_classes() -> Mapping[str, JudgedClass]:
    """All classes by name, in the table's order."""
    with (_HERE / "classes.csv").open(encoding="utf-8", newline="") as file:
        return {
            row["class"]: JudgedClass(
                row["class"],
                row["title"],
                row["within"],
                frozenset(_split(row["also"])),
                frozenset(_split(row["groups"])),
                tuple(map(words, _split(row["words"]))),
                tuple(map(words, _split(row["without"]))),
            )
            for row in csv.DictReader(file)
        }


def words(text: str) -> Words:
    """The words of `text`, lower case, without digits at their ends."""
    return tuple(bare for word in slug(text, limit=1000).split("_") if (bare := re.sub(r"\d+$", "", word) or word))


def holds(said: Words, phrase: Words) -> bool:
    """Whether the words of `phrase` stand in `said` one after the other, each whole; a plural's s is not looked at."""
    return _place(said, phrase) is not None


def answered(text: str) -> frozenset[str]:
    """Classes that a name answers by its words."""
    own = words(text)
    return frozenset(one.name for one in judged_classes().values() if _answers(own, one))


def answers_of(labels: Sequence[Label]) -> Answers:
    """What the labels of a pack answer. A hidden label tells nothing, so it answers nothing."""
    direct = tuple(frozenset() if label.hidden else answered(label.id) | answered(label.name) for label in labels)
    full = tuple(
        frozenset() if label.hidden else own | {p for name in own for p in _parents(name)} | _of_group(label.group)
        for label, own in zip(labels, direct, strict=True)
    )
    by_class = {name: tuple(at for at, own in enumerate(full) if name in own) for name in judged_classes()}
    shared = {
        name: frozenset().union(*(direct[at] for at in columns if name in direct[at]))
        for name, columns in by_class.items()
    }
    by_name = {
        name: tuple(
            at for at in columns if name in direct[at] and words(name) in (words(labels[at].id), words(labels[at].name))
        )
        for name, columns in by_class.items()
    }
    return Answers(direct, full, by_class, shared, by_name)


def truth_of(label: str, file: str) -> Truth:
    """What a recording with this label in the index, and this name, holds. `other` and unknown labels are of no class.

    Raises KeyError where a table names a class that is not there.
    """
    classes = judged_classes()
    own = words(file.rpartition(".")[0] or file)
    leaf, also = (label if label in classes else ""), set()
    found = False
    for row in _finer():
        if row["label"] == label and any(holds(own, words(phrase)) for phrase in _split(row["words"])):
            also |= set(_split(row["also"]))
            if row["class"] and not found:
                leaf, found = row["class"], True
    right = {leaf, *_parents(leaf)} if leaf else set()
    if label in classes:
        also.add(label)
    for name in right:
        also |= classes[name].also
    also -= right
    # what a recording may hold it may hold in every finer kind
    also |= {one.name for one in classes.values() if one.within in also}
    return Truth(leaf, frozenset(right), frozenset(also - right))


@cache
def _finer() -> tuple[dict[str, str], ...]:
    with (_HERE / "finer.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def _parents(name: str) -> tuple[str, ...]:
    """Classes that `name` is a kind of, the nearest first."""
    one = judged_classes().get(name)
    return (one.within, *_parents(one.within)) if one and one.within else ()


def _of_group(group: str) -> frozenset[str]:
    return frozenset(one.name for one in judged_classes().values() if group and group in one.groups)


def _answers(own: Words, one: JudgedClass) -> bool:
    for phrase in one.without:
        while (at := _place(own, phrase)) is not None:
            own = (*own[:at], "", *own[at + len(phrase) :])
    return any(holds(own, phrase) for phrase in one.phrases)


def _place(said: Words, phrase: Words) -> int | None:
    size = len(phrase)
    return next((at for at in range(len(said) - size + 1) if _same(said[at : at + size], phrase)), None)


def _same(said: Iterable[str], phrase: Iterable[str]) -> bool:
    return all(one in (other, f"{other}s") for one, other in zip(said, phrase, strict=True))


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]
