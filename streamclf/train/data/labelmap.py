"""Which labels of a pack answer a label of the data: by id, by the slug of a name, or as the user says."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamclf.errors import UsageError
from streamclf.model.labels import slug
from streamclf.text import clean, some
from streamclf.types import Label

REST = "*"
Given = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class LabelMap:
    """How the data's labels stand to one pack.

    columns: data label -> columns of the pack's rows, of which the largest counts. background: labels that the user
    says no label of the pack stands for. unmapped: labels nothing is known of.
    """

    columns: dict[str, tuple[int, ...]]
    background: frozenset[str]
    unmapped: tuple[str, ...]


def parse_map(texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Entries `DATA=PACK[,PACK ...]`, several split by `;`, or the path of a file with one a line (`#` comments).

    `DATA=` says that no label of the pack stands for it, `*=` says so of all that are not named otherwise. Raises
    UsageError for what is neither.
    """
    given: dict[str, tuple[str, ...]] = {}
    for text in texts:
        for entry in _entries(text):
            data, equals, packs = entry.partition("=")
            data = data.strip()
            if not equals or not data:
                raise UsageError(f"--labels-map {entry!r} is not an entry DATA=PACK,PACK; write `dog_bark=dog,bark`")
            if data in given:
                raise UsageError(f"--labels-map names {data!r} twice; give all labels of the pack in one entry")
            given[data] = tuple(name.strip() for name in packs.split(",") if name.strip())
    if given.get(REST):
        raise UsageError("--labels-map `*=` can only say that all other labels are background; leave its right empty")
    return given


def check_map(given: Given, data_labels: Collection[str], packs: Mapping[str, Sequence[Label]]) -> None:
    """Every name in the map must mean something: a label of the data, a label of one of the packs at least."""
    known = {label.id for labels in packs.values() for label in labels}
    known |= {slug(label.name) for labels in packs.values() for label in labels}
    slugs = {slug(label) for label in data_labels}
    for data, names in given.items():
        if data != REST and slug(data) not in slugs:
            near = difflib.get_close_matches(data, data_labels, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {some(sorted(data_labels))}"
            raise UsageError(f"--labels-map names {data!r}, which is not a label of the data; {hint}")
        for name in names:
            if slug(name) not in known:
                near = difflib.get_close_matches(slug(name), known, n=1)
                hint = f"did you mean {near[0]}?" if near else "`streamclf models show NAME` lists them"
                raise UsageError(f"--labels-map names {name!r}, which no label of {', '.join(packs)} is; {hint}")


def resolve(data_labels: Sequence[str], labels: Sequence[Label], given: Given) -> LabelMap:
    """The map of `data_labels` to the columns of a pack's `labels`."""
    at: dict[str, int] = {}
    for column, label in enumerate(labels):
        at.setdefault(slug(label.name), column)
    # an id is what a label is called by, so it comes before another label's name
    at.update({label.id: column for column, label in enumerate(labels)})
    wanted = {slug(data): names for data, names in given.items() if data != REST}
    columns, background, unmapped = {}, set(), []
    for data in data_labels:
        names = wanted.get(slug(data), (data,))
        found = tuple(dict.fromkeys(at[slug(name)] for name in names if slug(name) in at))
        if found:
            columns[data] = found
        elif not names or (REST in given and slug(data) not in wanted):
            background.add(data)
        else:
            unmapped.append(data)
    return LabelMap(columns, frozenset(background), tuple(unmapped))


def _entries(text: str) -> list[str]:
    if "=" in text:
        return [entry for entry in text.split(";") if entry.strip()]
    path = Path(text)
    shown = clean(text, 100)
    try:
        if not path.is_file():
            raise UsageError(f"--labels-map {shown!r} is neither an entry DATA=PACK,PACK nor a file; check the path")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or type(fault).__name__
        raise UsageError(f"--labels-map file {shown!r} cannot be read: {why}; give a text file in UTF-8") from None
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
