"""Where `classify` puts its results: standard output, one table for all files, or a folder with a file for each."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from streamclf.commands import formats
from streamclf.commands.batch import Heard, PackLabels
from streamclf.errors import StreamclfError, UsageError
from streamclf.text import cell

FORMATS = ("ndjson", "csv", "audacity", "raven", "npz", "parquet")
_HOLDS = {
    "events": ("ndjson", "csv", "audacity", "raven", "parquet"),
    "scores": ("ndjson", "csv", "npz", "parquet"),
    "summary": ("ndjson", "csv", "parquet"),
}
_BINARY = ("npz", "parquet")
_BY_SUFFIX = {".npz": "npz", ".parquet": "parquet", ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
_SUFFIX = {"audacity": "txt", "raven": "selections.txt"}
_BEST = 3  # labels of a summary


def format_of(form: str | None, what: str, out: Path | None) -> str:
    """The format: the one asked for, else by the suffix of `out`. Raises `UsageError` where it cannot be."""
    form = form or (_BY_SUFFIX.get(out.suffix.lower()) if out is not None else None) or "ndjson"
    if form not in _HOLDS[what]:
        raise UsageError(f"--format {form} cannot hold {what}; use one of {', '.join(_HOLDS[what])}")
    if form in _BINARY and out is None:
        raise UsageError(f"--format {form} is binary; name the file or folder with --out")
    if form == "parquet" and find_spec("pyarrow") is None:
        raise UsageError("parquet needs pyarrow, which is not installed; pip install 'streamclf[parquet]', or use .csv")
    return form


class Results:
    """What it was opened for: events, scores or summary. Close it at the end, whatever happened.

    many: whether there are several files. Raises `UsageError` where `out` cannot hold what is wanted.
    """

    def __init__(self, packs: Sequence[PackLabels], what: str, form: str, out: Path | None, *, many: bool) -> None:
        self._packs = packs
        self._what = what
        self._form = form
        self._names = {(pack.name, label.id): label.name for pack in packs for label in pack.labels}
        self._out = out
        self._many = many
        self._folder = self._folder_of(out)
        self._text: TextIO | None = None
        self._table: _Parquet | None = None
        self._headed: set[str] = set()  # what has its columns' names over it already
        self._selections = 0
        if self._folder is None and form == "parquet":
            assert out is not None
            self._table = _Parquet(out)
        elif self._folder is None and form != "npz":
            self._text = _open(out) if out is not None else sys.stdout

    def write(self, heard: Heard) -> None:
        """Results of one file."""
        suffix = _SUFFIX.get(self._form, self._form)
        if self._what == "scores":
            for one in heard.scores:
                self._scores(one, f"{one.stream}.{one.pack}.{suffix}")
        elif self._form == "parquet":
            rows = self._summary(heard) if self._what == "summary" else self._event_rows(heard)
            self._parquet(f"{heard.stream}.{suffix}", rows, self._empty())
        else:
            with self._target(f"{heard.stream}.{suffix}") as out:
                if self._what == "summary":
                    self._summarise(heard, out)
                else:
                    self._events(heard, out)

    def close(self) -> None:
        """Finish the one file that was written to."""
        if self._text is not None and self._out is not None:
            self._text.close()
        if self._table is not None:
            self._table.close()

    def _scores(self, one: formats.FileScores, name: str) -> None:
        if self._form == "npz":
            target = self._out if self._folder is None else self._folder / name
            assert target is not None
            _save(target, formats.scores_npz(one))
        elif self._form == "parquet":
            self._parquet(name, formats.score_columns(one))
        else:
            with self._target(name) as out:
                if self._form == "csv":
                    formats.scores_csv(one, out, header=self._heads(one.pack))
                else:
                    formats.scores_ndjson(one, out)

    def _events(self, heard: Heard, out: TextIO) -> None:
        events, file = heard.events, heard.path
        if self._form == "ndjson":
            formats.events_ndjson(events, out, file=file)
        elif self._form == "csv":
            formats.events_csv(events, self._names, out, file=file, header=self._heads("events"))
        elif self._form == "audacity":
            # a label track of one file is what Audacity opens as it is
            formats.events_audacity(events, self._names, out, file=file if self._text and self._many else "")
        else:
            first = self._selections + 1 if self._text else 1
            formats.events_raven(
                events, self._names, heard.rate, out, file=file, number=first, header=self._heads("events")
            )
            self._selections += len(events)

    def _summarise(self, heard: Heard, out: TextIO) -> None:
        rows = list(self._summary(heard))
        if self._form == "ndjson":
            out.writelines(json.dumps({"type": "summary", **row}, separators=(",", ":")) + "\n" for row in rows)
            return
        writer = csv.writer(out, lineterminator="\n")
        if self._heads("summary"):
            writer.writerow(self._empty())
        writer.writerows([cell(value) if isinstance(value, str) else value for value in row.values()] for row in rows)

    def _summary(self, heard: Heard) -> Iterator[dict[str, Any]]:
        """A row for each pack: the labels that came highest, whether they made an event or not."""
        for pack, best in zip(self._packs, heard.best, strict=True):
            row: dict[str, Any] = dict(self._empty())
            row |= {"file": heard.path, "stream": heard.stream, "pack": pack.name}
            row["duration_s"] = round(heard.samples / heard.rate, 3)
            row["events"] = sum(event.pack == pack.name for event in heard.events)
            shown = [at for at in best.argsort()[::-1].tolist() if not pack.labels[at].hidden]
            for rank, at in enumerate(shown[:_BEST], start=1):
                label = pack.labels[at]
                row |= {
                    f"label_{rank}": label.id,
                    f"name_{rank}": label.name,
                    f"peak_{rank}": round(float(best[at]), 4),
                }
            yield row

    def _event_rows(self, heard: Heard) -> Iterator[dict[str, Any]]:
        for event in heard.events:
            yield formats.event_row(event, self._names, file=heard.path)

    def _empty(self) -> dict[str, Any]:
        """The columns of a table, each with a value of its kind."""
        if self._what == "events":
            return formats.EVENT_COLUMNS
        best = {f"{what}_{rank}": "" if what != "peak" else 0.0
                for rank in range(1, _BEST + 1) for what in ("label", "name", "peak")}  # fmt: skip
        return {"file": "", "stream": "", "pack": "", "duration_s": 0.0, "events": 0, **best}

    def _heads(self, what: str) -> bool:
        """Whether the columns' names go first: in every file of a folder, and once in one that takes all."""
        if self._text is None:
            return True
        new = what not in self._headed
        self._headed.add(what)
        return new

    def _target(self, name: str) -> AbstractContextManager[TextIO]:
        if self._text is not None:
            return nullcontext(self._text)
        assert self._folder is not None
        return _open(_made(self._folder / name))

    def _parquet(self, name: str, rows: Any, columns: Mapping[str, Any] | None = None) -> None:
        table = self._table
        if table is not None:
            table.write(rows, columns)
            return
        assert self._folder is not None
        own = _Parquet(_made(self._folder / name))
        own.write(rows, columns)
        own.close()

    def _folder_of(self, out: Path | None) -> Path | None:
        """The folder that results go to, made if need be; None for standard output or one file."""
        if out is None:
            return None
        if not (out.is_dir() or not out.suffix):
            several = self._many if self._form == "npz" else False
            if self._what == "scores" and (several or (self._form != "ndjson" and len(self._packs) > 1)):
                what = "files" if several else "models"
                raise UsageError(f"--out {out} cannot hold the scores of several {what}; name a folder instead")
            return None
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise StreamclfError(f"{out} cannot be made a folder: {fault.strerror}; choose another --out") from None
        return out


class _Parquet:
    """One file of that format, written as results come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None
        try:
            self._file = path.open("wb")
        except OSError as fault:
            raise _unwritable(path, fault) from None

    def write(self, rows: Any, columns: Mapping[str, Any] | None = None) -> None:
        """rows: of `columns` (name -> a value of its kind), or, without these, columns of arrays."""
        import pyarrow
        from pyarrow import parquet

        if columns is None:
            table = pyarrow.table(rows)
        else:
            kinds = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
            schema = pyarrow.schema([(name, kinds[type(value)]) for name, value in columns.items()])
            table = pyarrow.Table.from_pylist(list(rows), schema=schema)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table)

    def close(self) -> None:
        """What was written is whole."""
        if self._writer is not None:
            self._writer.close()
        self._file.close()
        if self._writer is None:
            self._path.unlink(missing_ok=True)  # no file could be heard: an empty one is no table


def _open(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as fault:
        raise _unwritable(path, fault) from None


def _save(path: Path, data: bytes) -> None:
    try:
        _made(path).write_bytes(data)
    except OSError as fault:
        raise _unwritable(path, fault) from None


def _made(path: Path) -> Path:
    """`path`, in a folder that is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise _unwritable(path, fault) from None
    return path


def _unwritable(path: Path, fault: OSError) -> StreamclfError:
    return StreamclfError(f"{path} cannot be written: {fault.strerror}; choose another --out")
