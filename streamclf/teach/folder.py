"""The examples of what was taught as a folder of recordings, for `streamclf train` and for other programs."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from streamclf.clock import NS_PER_SECOND
from streamclf.store.filenames import safe_name
from streamclf.store.taught import Example
from streamclf.teach.sound import decoded

NOT = "not_"
SOURCES = "sources.csv"


def audiofolder(out: Path, examples: Sequence[Example]) -> int:
    """A folder per class, that of what it is not with `not_` before, and sources.csv. Returns how many were written.

    `streamclf train --data` and the datasets library read it so.
    """
    rows = []
    for example in examples:
        path = _file(out, example)
        rows.append((path.relative_to(out).as_posix(), example.stream or example.id, path.parent.name, example.event))
    with (out / SOURCES).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "source", "label", "event"))
        writer.writerows(rows)
    return len(rows)


def raven(out: Path, examples: Sequence[Example]) -> int:
    """Recordings, and beside each Raven's selection table of what is in it."""
    head = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"
    for example in examples:
        path, seconds, rate = _measured(out, example)
        row = f"1\tSpectrogram 1\t1\t0.000\t{seconds:.3f}\t0\t{rate // 2}\t{_class(example)}\n"
        path.with_suffix(".selections.txt").write_text(head + row, encoding="utf-8")
    return len(examples)


def audacity(out: Path, examples: Sequence[Example]) -> int:
    """Recordings, and beside each a label track."""
    for example in examples:
        path, seconds, _ = _measured(out, example)
        path.with_suffix(".txt").write_text(f"0.000000\t{seconds:.6f}\t{_class(example)}\n", encoding="utf-8")
    return len(examples)


def label_studio(out: Path, examples: Sequence[Example]) -> int:
    """Recordings, and tasks.json with a region for each, as Label Studio imports it; its local files begin at `out`."""
    tasks = []
    for example in examples:
        path, seconds, _ = _measured(out, example)
        region = {
            "id": example.id, "from_name": "label", "to_name": "audio", "type": "labels",
            "value": {"start": 0.0, "end": round(seconds, 3), "labels": [_class(example)]},
        }  # fmt: skip
        name = path.relative_to(out).as_posix()
        tasks.append(
            {"data": {"audio": f"/data/local-files/?d={name}"}, "annotations": [{"result": [region]}]}
        )  # fmt: skip
    (out / "tasks.json").write_text(json.dumps(tasks, indent=1) + "\n", encoding="utf-8")
    return len(tasks)


FORMATS: dict[str, Callable[[Path, Sequence[Example]], int]] = {
    "audiofolder": audiofolder,
    "raven": raven,
    "audacity": audacity,
    "label-studio": label_studio,
}


def _class(example: Example) -> str:
    return example.label if example.said == "is" else f"{NOT}{example.label}"


def _file(out: Path, example: Example) -> Path:
    folder = out / safe_name(_class(example))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{example.at_ns // NS_PER_SECOND}_{example.id}.flac"
    path.write_bytes(example.sound)
    return path


def _measured(out: Path, example: Example) -> tuple[Path, float, int]:
    samples, rate = decoded(example.sound)
    return _file(out, example), len(samples) / rate, rate
