"""Reads fusion.csv, and makes a `Fusion` of it for the members that are there."""

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamclf.errors import PackError
from streamclf.model.fusion import Fusion, Head, OneEach, columns_of
from streamclf.model.pack import Manifest, Pack
from streamclf.types import F32, Label

TERM_COLUMNS = ("label", "member", "labels", "weight")
_MOST_TERMS = 200_000
_MOST_WEIGHT = 1000.0
_NUMBER = re.compile(r"-?\d{1,9}(\.\d{1,17})?(e[+-]?\d{1,3})?")


class Term(NamedTuple):
    """A line of fusion.csv. member: "" for a bias, which has no labels."""

    label: str
    member: str
    labels: tuple[str, ...]
    weight: float


def terms_csv(terms: Iterable[Term]) -> bytes:
    """The text of fusion.csv."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(TERM_COLUMNS)
    rows.writerows((term.label, term.member, " ".join(term.labels), repr(float(term.weight))) for term in terms)
    return text.getvalue().encode()


def terms_of(content: bytes, where: Path) -> list[Term]:
    """The terms of a fusion.csv. where: its path, for messages. Raises `PackError`."""
    try:
        rows = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))
    except UnicodeDecodeError as error:
        raise PackError(f"{where} is not UTF-8 text (byte {error.start}); write it as UTF-8") from None
    except csv.Error as error:
        raise PackError(f"{where} is not CSV: {error}; write it with plain quoting") from None
    if not rows or tuple(rows[0]) != TERM_COLUMNS:
        found = ",".join(rows[0]) if rows else ""
        raise PackError(f"{where} begins with {found[:60]!r}; expected the columns {','.join(TERM_COLUMNS)}")
    if len(rows) > _MOST_TERMS:
        raise PackError(f"{where} has {len(rows) - 1} terms; at most {_MOST_TERMS} are expected")
    return [_term(row, f"{where}, line {number}") for number, row in enumerate(rows[1:], start=2)]


def _term(row: Sequence[str], where: str) -> Term:
    if len(row) != len(TERM_COLUMNS):
        raise PackError(f"{where}: {len(row)} values; expected {len(TERM_COLUMNS)}: {','.join(TERM_COLUMNS)}")
    label, member, labels, weight = row
    if not _NUMBER.fullmatch(weight) or not math.fabs(float(weight)) <= _MOST_WEIGHT:
        raise PackError(f"{where}: weight is {weight[:20]!r}; expected a number within +-{_MOST_WEIGHT:g}")
    if bool(member) != bool(labels.split()):
        raise PackError(f"{where}: expected a member and its labels, or neither for a bias")
    return Term(label, member, tuple(labels.split()), float(weight))


def fuse(
    manifest: Manifest,
    labels: Sequence[Label],
    members: Sequence[Pack],
    terms: Sequence[Term],
    embedded: Mapping[str, F32],
) -> Fusion:
    """The fusion of these members into these labels. embedded: of `read_heads`. Raises `PackError` where a term names
    what is not there.
    """
    index = {label.id: column for column, label in enumerate(labels)}
    places = {member.name: place for place, member in enumerate(manifest.members)}
    known = [{label.id: column for column, label in enumerate(pack.labels)} for pack in members]
    bias = np.zeros(len(labels), dtype=np.float32)
    own: list[list[tuple[int, list[int], float]]] = [[] for _ in members]  # of each member (label, classes, weight)
    for term in terms:
        if term.label not in index:
            raise PackError(
                f"fusion.csv has a term of {term.label[:70]!r}, which labels.csv does not name; add it there"
            )
        if not term.member:
            bias[index[term.label]] += term.weight
            continue
        place = places.get(term.member)
        if place is None:
            raise PackError(
                f"fusion.csv names the member {term.member[:70]!r}; there are {', '.join(places)}, so correct it"
            )
        for name in term.labels:
            if name not in known[place]:
                raise PackError(
                    f"fusion.csv names the label {name[:70]!r}, which the member {term.member} does not have; "
                    "correct it"
                )
        own[place].append((index[term.label], [known[place][name] for name in term.labels], term.weight))
    when = places[manifest.when] if manifest.when else None
    _check_whole(manifest, labels, own, when)
    opens = () if when is None else _opens(manifest, known[when])
    heads = tuple(
        _head(
            manifest,
            pack,
            some,
            len(labels),
            says_when=place == when,
            opens=opens if place == when else (),
            embedded=embedded.get(member.name),
        )
        for place, (member, pack, some) in enumerate(zip(manifest.members, members, own, strict=True))
    )
    return Fusion(bias, heads, when)


def _check_whole(
    manifest: Manifest, labels: Sequence[Label], own: Sequence[Sequence[tuple[int, list[int], float]]], when: int | None
) -> None:
    """Each member has terms that count, and each label has one. own: of each member (label, classes, weight)."""
    for member, some in zip(manifest.members, own, strict=True):
        if not some:
            raise PackError(f"fusion.csv has no term of the member {member.name}; add one, or leave the member out")
    used = {column for some in own for column, _, _ in some}
    for column, label in enumerate(labels):
        if column not in used:
            raise PackError(f"fusion.csv has no term for the label {label.id}; add one, or leave the label out")
    for place, (member, some) in enumerate(zip(manifest.members, own, strict=True)):
        if place != when and not any(weight for _, _, weight in some):
            raise PackError(
                f"fusion.csv has terms of weight 0 alone of the member {member.name}, which does not say when; leave "
                "the member out"
            )


def _head(
    manifest: Manifest,
    pack: Pack,
    own: Sequence[tuple[int, list[int], float]],
    classes: int,
    *,
    says_when: bool,
    opens: Sequence[int],
    embedded: F32 | None,
) -> Head:
    margins: list[list[tuple[int, float]]] = [[] for _ in range(classes)]
    for column, named, weight in own:
        if weight >= 0:  # what speaks against a label does not say when it begins
            margins[column] += [(one, _leave(manifest, pack, one)) for one in named]
    # a term of weight 0 only says when
    own = [term for term in own if term[2]]
    return Head(
        [named for _, named, _ in own],
        _weights(own, classes),
        activation=pack.manifest.activation,
        clip=manifest.clip,
        margins=margins if says_when else (),
        opens=opens,
        embedded=embedded,
    )


def _opens(manifest: Manifest, known: Mapping[str, int]) -> tuple[int, ...]:
    """Columns of the member that says when that open the gate of another one."""
    gates = [member.gate for member in manifest.members if member.gate is not None]
    if any(gate != gates[0] for gate in gates):
        raise PackError("members have gates that differ; state the same labels and probability for all of them")
    names = gates[0].labels if gates else ()
    for name in names:
        if name not in known:
            raise PackError(f"a gate names the label {name[:70]!r}, which {manifest.when} does not have; correct it")
    return tuple(known[name] for name in names)


def _weights(own: Sequence[tuple[int, list[int], float]], classes: int) -> F32 | OneEach:
    """(terms, classes); of a label with one term at most, that term and its weight."""
    columns = [column for column, _, _ in own]
    if len(set(columns)) == len(columns):
        one = OneEach(columns_of(np.zeros(classes, dtype=np.intp)), np.zeros(classes, dtype=np.float32))
        one.term[columns] = np.arange(len(own))
        one.weight[columns] = [weight for _, _, weight in own]
        return one
    weights = np.zeros((len(own), classes), dtype=np.float32)
    for row, (column, _, weight) in enumerate(own):
        weights[row, column] = weight
    return weights


def _leave(manifest: Manifest, pack: Pack, column: int) -> float:
    """What an event of that class of the member leaves at, as a logit; with a lag, what events of the pack leave at.

    There the others are sure that it sounds, and lower rows of the member say more about when: onsets of birds come
    40 ms late in the median instead of 120 (`python -m tools.bench.species`).
    """
    own, enter, clip = pack.manifest.segmentation, pack.labels[column].enter, manifest.clip
    leave = own.leave if enter is None or not own.enter else enter * own.leave / own.enter
    if manifest.segmentation.lag_ms:
        leave = manifest.segmentation.leave
    if not 0.0 < leave < 1.0:
        return math.copysign(clip, leave - 0.5)
    return min(clip, max(-clip, math.log(leave / (1.0 - leave))))
