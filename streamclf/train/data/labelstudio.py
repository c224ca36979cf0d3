"""What Label Studio exports: JSON of tasks, whole or short (JSON-MIN). Its CSV holds the same JSON in a cell.

Names of recordings are those of its storage, which puts eight digits before an uploaded file's name.
"""

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from streamclf.train.data.tabletext import LabelFileError

Region = tuple[str, str, Any, Any]
"""(file, label, onset, offset), the last two as they stand there."""

_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
_KINDS = ("labels", "choices", "timeserieslabels", "taxonomy")


def tasks(text: str) -> Iterator[Region]:
    """The regions of an export. Raises `LabelFileError`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise LabelFileError("it is no JSON") from None
    for task in found if isinstance(found, list) else [found]:
        if not isinstance(task, dict):
            raise LabelFileError("it is no export of Label Studio: a list of tasks is expected")
        whole = task.get("data")
        name = _recording(whole if isinstance(whole, dict) else task)
        if not name:
            raise LabelFileError("it is no export of Label Studio: a task names no recording")
        regions = list(_of_task(task))
        for region in regions:
            yield from _labels(name, region)
        if not regions and any(isinstance(one, dict) and not one.get("was_cancelled") for one in _annotations(task)):
            yield name, "", None, None  # somebody has listened, and nothing is there


def regions(cell: str) -> list[dict[str, Any]] | None:
    """What the cell of a CSV holds, None where it is no such list."""
    if not cell.startswith("["):
        return None
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else None


def name_of(place: str) -> str:
    """The recording's name in its storage's address: "/data/upload/1/ab12cd34-rec.wav" is "rec.wav"."""
    parts = urlsplit(place)
    path = parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    return str(PurePosixPath(path).with_name(_UPLOADED.sub("", PurePosixPath(path).name, count=1))) if path else ""


def labels_of(region: dict[str, Any]) -> list[str]:
    """The labels of a region, whatever kind of tag gave it."""
    found = (one for kind in _KINDS if isinstance(region.get(kind), list) for one in region[kind])
    # of a taxonomy's path, which goes from the widest to the narrowest, the last
    return [str(one[-1] if isinstance(one, list) and one else one) for one in found]


def _of_task(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for annotation in _annotations(task):
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result", ()):
            if isinstance(result, dict) and isinstance(result.get("value"), dict):
                yield result["value"]
    short = task.get("label")
    yield from (one for one in short if isinstance(one, dict)) if isinstance(short, list) else ()


def _annotations(task: dict[str, Any]) -> list[Any]:
    found = task.get("annotations") or task.get("completions")
    return found if isinstance(found, list) else []


def _labels(name: str, region: dict[str, Any]) -> Iterator[Region]:
    for label in labels_of(region):
        yield name, label, region.get("start"), region.get("end")


def _recording(data: dict[str, Any]) -> str:
    """The first value that looks like a file's place; people name the field as they like."""
    for key in ("audio", "sound", "url", *data):
        value = data.get(key)
        if isinstance(value, str) and PurePosixPath(urlsplit(value).path + urlsplit(value).query).suffix:
            return name_of(value)
    return ""
