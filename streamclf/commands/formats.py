"""What `classify` writes: score rows and events in the formats that other programs read.

Labels and stream names are other people's text. They are written as data only: quoted in CSV, and a cell that a
spreadsheet would take for a formula gets an apostrophe in front.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from streamclf.clock import FRAME_MS
from streamclf.text import cell
from streamclf.types import F32, Event, Label

LINE_ROWS = 50
"""Of a message in ndjson."""
EVENT_FORMATS = ("ndjson", "csv", "audacity", "raven")
EVENT_COLUMNS: dict[str, Any] = {
    "stream": "",
    "pack": "",
    "onset_s": 0.0,
    "offset_s": 0.0,
    "label": "",
    "name": "",
    "peak": 0.0,
    "mean": 0.0,
    "duration_s": 0.0,
    "id": "",
    "file": "",
}
"""Of a table of events, each with a value of its kind."""


@dataclass(frozen=True, slots=True)
class FileScores:
    """Rows of one pack on one file, all of them or a piece.

    rows: (frames, classes) float32; row i belongs to frame `first_frame + i`, or, with `native`, to the run that
    starts at sample `starts[i]` of the pack's rate.
    """

    stream: str
    pack: str
    labels: tuple[Label, ...]
    rate: int
    pack_rate: int
    first_frame: int
    rows: F32
    starts: tuple[int, ...] | None = None
    file: str = ""
    """The recording, as it was named."""


def seconds(frame: int) -> float:
    """Start of a frame in seconds."""
    return frame * FRAME_MS / 1000


def scores_ndjson(scores: FileScores, out: TextIO, *, batch: int = LINE_ROWS) -> None:
    """One message of up to `batch` rows a line, shaped like the wire's score message."""
    ids = [label.id for label in scores.labels]
    for at in range(0, len(scores.rows), batch):
        rows = scores.rows[at : at + batch]
        message: dict[str, Any] = {
            "type": "scores",
            "stream": scores.stream,
            "file": scores.file,
            "pack": scores.pack,
            "first_frame": scores.first_frame + at,
            "count": len(rows),
            "labels": ids,
            "rows": [[round(p, 6) for p in row] for row in rows.tolist()],
            "final": True,
        }
        if scores.starts is not None:
            del message["first_frame"]
            message["native"] = True
            message["start_samples"] = list(scores.starts[at : at + batch])
            message["sample_rate"] = scores.pack_rate
        out.write(json.dumps(message, separators=(",", ":")) + "\n")


def scores_csv(scores: FileScores, out: TextIO, *, header: bool = True) -> None:
    """A line per row: the file, start in seconds, then one column per label id. header: over it, the columns' names."""
    writer = csv.writer(out, lineterminator="\n")
    first = "frame" if scores.starts is None else "start_sample"
    if header:
        writer.writerow(["file", first, "start_s", *(label.id for label in scores.labels)])
    file = cell(scores.file)
    for index, values in enumerate(scores.rows):
        row = values.tolist()
        if scores.starts is None:
            position, start = scores.first_frame + index, seconds(scores.first_frame + index)
        else:
            position, start = scores.starts[index], scores.starts[index] / scores.pack_rate
        writer.writerow([file, position, f"{start:.3f}", *(f"{p:.6f}" for p in row)])


def score_columns(scores: FileScores) -> dict[str, Any]:
    """The file, the frame (or the sample, of native rows), its start in seconds, then a column for each label id."""
    count = len(scores.rows)
    if scores.starts is None:
        frames = np.arange(scores.first_frame, scores.first_frame + count, dtype=np.int64)
        place = {"frame": frames, "start_s": frames * FRAME_MS / 1000}
    else:
        starts = np.array(scores.starts, dtype=np.int64)
        place = {"start_sample": starts, "start_s": starts / scores.pack_rate}
    labels = {label.id: scores.rows[:, at] for at, label in enumerate(scores.labels)}
    return {"file": [scores.file] * count, **place, **labels}


def events_ndjson(events: Sequence[Event], out: TextIO, *, file: str = "") -> None:
    """One closed event a line, shaped like the wire's event message, with onset and offset in seconds as well.

    file: the recording that they were heard in, "" where they were heard live; here and below.
    """
    for event in events:
        offset = event.offset_frame if event.offset_frame is not None else event.onset_frame
        message = {
            "type": "event",
            "stream": event.stream,
            **({"file": file} if file else {}),
            "pack": event.pack,
            "id": event.id,
            "label": event.label,
            "stage": str(event.stage),
            "onset_frame": event.onset_frame,
            "offset_frame": event.offset_frame,
            "onset_s": seconds(event.onset_frame),
            "offset_s": seconds(offset),
            "peak": round(event.peak, 6),
            "mean": round(event.mean, 6),
        }
        out.write(json.dumps(message, separators=(",", ":")) + "\n")


def events_csv(
    events: Sequence[Event], names: dict[tuple[str, str], str], out: TextIO, *, file: str = "", header: bool = True
) -> None:
    """A line per closed event. names: (pack, label id) -> display name. header: the columns' names over them."""
    writer = csv.writer(out, lineterminator="\n")
    columns = [name for name in EVENT_COLUMNS if file or name != "file"]
    if header:
        writer.writerow(columns)
    for event in events:
        row = event_row(event, names, file=file)
        writer.writerow([_text(name, row[name]) for name in columns])


def event_row(event: Event, names: dict[tuple[str, str], str], *, file: str) -> dict[str, Any]:
    """`EVENT_COLUMNS` of one event."""
    offset = event.offset_frame if event.offset_frame is not None else event.onset_frame
    values = (
        event.stream,
        event.pack,
        seconds(event.onset_frame),
        seconds(offset),
        event.label,
        names[event.pack, event.label],
        round(event.peak, 6),
        round(event.mean, 6),
        seconds(offset - event.onset_frame),
        event.id,
        file,
    )
    return dict(zip(EVENT_COLUMNS, values, strict=True))


def _text(name: str, value: Any) -> str:
    """Of a cell."""
    if isinstance(value, str):
        return cell(value)
    return f"{value:.3f}" if name.endswith("_s") else f"{value:.4f}"


def events_audacity(events: Sequence[Event], names: dict[tuple[str, str], str], out: TextIO, *, file: str = "") -> None:
    """Audacity's label track: onset, offset and text, split by tabs; where `file` is named, it follows."""
    for event in events:
        onset, offset = _span(event)
        more = f"\t{cell(file)}" if file else ""
        out.write(f"{onset}\t{offset}\t{cell(names[event.pack, event.label])}{more}\n")


def events_raven(
    events: Sequence[Event],
    names: dict[tuple[str, str], str],
    rate: int,
    out: TextIO,
    *,
    file: str = "",
    number: int = 1,
    header: bool = True,
) -> None:
    """Raven's selection table; the frequency bounds are those of the file, since a label has none of its own.

    number: of the first selection. Times are those of the file also where several share a table: then its columns
    `Begin File` and `File Offset (s)` tell.
    """
    columns = ["Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"]
    if header:
        more = ["Begin File", "File Offset (s)"] if file else []
        out.write("\t".join([*columns, "Annotation", "Score", "Pack", *more]) + "\n")
    for at, event in enumerate(events, start=number):
        onset, offset = _span(event)
        name = cell(names[event.pack, event.label])
        row = [str(at), "Spectrogram 1", "1", onset, offset, "0", str(rate // 2), name]
        more = [cell(file), onset] if file else []
        out.write("\t".join([*row, f"{event.peak:.4f}", event.pack, *more]) + "\n")


def _span(event: Event) -> tuple[str, str]:
    offset = event.offset_frame if event.offset_frame is not None else event.onset_frame
    return f"{seconds(event.onset_frame):.3f}", f"{seconds(offset):.3f}"
