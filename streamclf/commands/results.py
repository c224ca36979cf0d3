"""Where `classify` puts its results: standard output, one table for all files, or a folder with a file for each."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TextIO

from streamclf.commands import formats
from streamclf.commands.fileear import Heard, PackLabels, ResultsError
from streamclf.commands.rowfiles import NpzRows
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


@contextmanager
def _writing() -> Iterator[None]:
    """A disk that refuses is told in a sentence; a reader that has gone away is the caller's affair."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as fault:
        raise ResultsError(f"results cannot be written: {fault.strerror}; choose another --out") from None


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
        self._heard = False  # anything of any file
        self._rows: dict[tuple[str, str], _RowFile] = {}  # of (stream, pack); bound: the files that are heard at once
        if self._folder is None and form == "parquet":
            assert out is not None
            self._table = _Parquet(out)
        elif self._folder is None and form != "npz":
            self._text = _open(out) if out is not None else sys.stdout

    @property
    def apart(self) -> bool:
        """Whether each file has its own, so that they may come in any order."""
        return self._folder is not None

    @_writing()
    def rows(self, piece: formats.FileScores) -> None:
        """Score rows of one file and pack, a piece behind the other."""
        self._heard = True
        if self._table is not None:
            self._table.write(formats.score_columns(piece))
        elif self._text is not None:
            _rows_as_text(piece, self._form, self._text, header=self._heads(piece.pack))
        else:
            key = (piece.stream, piece.pack)
            if key not in self._rows:
                self._rows[key] = self._row_file(f"{piece.stream}.{piece.pack}.{self._form}")
            self._rows[key].write(piece)

    @_writing()
    def end(self, stream: str, *, whole: bool) -> None:
        """There is no more of a file. Rows that have one of their own and are not whole are thrown away."""
        for key in [key for key in self._rows if key[0] == stream]:
            own = self._rows.pop(key)
            if whole:
                own.close()
            else:
                own.discard()

    @_writing()
    def write(self, heard: Heard) -> None:
        """Events or the summary of one file."""
        self._heard = True
        suffix = _SUFFIX.get(self._form, self._form)
        if self._what == "scores":
            return
        if self._form == "parquet":
            rows = self._summary(heard) if self._what == "summary" else self._event_rows(heard)
            self._parquet(f"{heard.stream}.{suffix}", rows, self._empty())
        else:
            with self._target(f"{heard.stream}.{suffix}") as out:
                if self._what == "summary":
                    self._summarise(heard, out)
                else:
                    self._events(heard, out)

    @_writing()
    def close(self) -> None:
        """Finish what was written to."""
        for own in self._rows.values():
            own.discard()
        if self._text is not None and self._out is not None:
            self._text.close()
            if not self._heard:
                self._out.unlink(missing_ok=True)  # an empty one is no table
        if self._table is not None:
            self._table.close()

    def _row_file(self, name: str) -> "_RowFile":
        if self._form == "npz":
            path = self._out if self._folder is None else _made(self._folder / name)
            assert path is not None
            try:
                return NpzRows(_made(path))
            except OSError as fault:
                raise _unwritable(path, fault) from None
        assert self._folder is not None
        path = _made(self._folder / name)
        return _ParquetRows(path) if self._form == "parquet" else _TextRows(path, self._form)

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
        if out is None or not (out.is_dir() or not out.suffix):
            several = self._many if self._form == "npz" else False
            if self._what == "scores" and (several or (self._form != "ndjson" and len(self._packs) > 1)):
                what = "files" if several else "models"
                where = "standard output" if out is None else f"--out {out}"
                raise UsageError(f"{where} cannot hold the scores of several {what}; name a folder by --out")
            return None
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise StreamclfError(f"{out} cannot be made a folder: {fault.strerror}; choose another --out") from None
        return out


class _RowFile(Protocol):
    """What takes the score rows of one file and pack."""

    def write(self, piece: formats.FileScores) -> None: ...

    def close(self) -> None: ...

    def discard(self) -> None: ...


def _rows_as_text(piece: formats.FileScores, form: str, out: TextIO, *, header: bool) -> None:
    if form == "csv":
        formats.scores_csv(piece, out, header=header)
    else:
        formats.scores_ndjson(piece, out)


class _TextRows:
    """A table of its own; the columns' names go first."""

    def __init__(self, path: Path, form: str) -> None:
        self._path, self._form, self._new = path, form, True
        self._out = _open(path)

    def write(self, piece: formats.FileScores) -> None:
        """A piece."""
        _rows_as_text(piece, self._form, self._out, header=self._new)
        self._new = False

    def close(self) -> None:
        """What was written is whole."""
        self._out.close()

    def discard(self) -> None:
        """It is not, and goes."""
        self._out.close()
        self._path.unlink(missing_ok=True)


class _ParquetRows:
    """One file of that format."""

    def __init__(self, path: Path) -> None:
        self._path, self._table = path, _Parquet(path)

    def write(self, piece: formats.FileScores) -> None:
        """A piece."""
        self._table.write(formats.score_columns(piece))

    def close(self) -> None:
        """What was written is whole."""
        self._table.close()

    def discard(self) -> None:
        """It is not, and goes."""
        self._table.close()
        self._path.unlink(missing_ok=True)


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


def _made(path: Path) -> Path:
    """`path`, in a folder that is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise _unwritable(path, fault) from None
    return path


def _unwritable(path: Path, fault: OSError) -> ResultsError:
    return ResultsError(f"{path} cannot be written: {fault.strerror}; choose another --out")
