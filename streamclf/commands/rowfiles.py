"""Score rows on their way from the engine to a file: in pieces of some megabytes, however long the recording is."""

import io
import shutil
import tempfile
import zipfile
from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from streamclf.clock import FRAME_MS
from streamclf.commands.formats import LINE_ROWS, FileScores
from streamclf.types import F32

_PIECE_BYTES = 4 << 20
_ROW_BYTES = 4


class Pieces:
    """Gathers the rows of one pack on one file and hands them on in pieces of whole lines of ndjson.

    blank: what they have in common, without rows. give: takes each piece, and one without rows where there were none.
    """

    def __init__(self, blank: FileScores, give: Callable[[FileScores], None]) -> None:
        self._blank, self._give = blank, give
        least = _PIECE_BYTES // (_ROW_BYTES * max(1, len(blank.labels)))
        self._most = max(1, least // LINE_ROWS) * LINE_ROWS
        self._parts: list[F32] = []  # bound: `_most` rows and those of one tick
        self._starts: list[int] = []
        self._waiting = 0
        self._following = 0
        self._given = False

    def add(self, first: int, rows: F32, starts: Sequence[int] = ()) -> None:
        """Rows from frame `first` on, which follow on those before; of native rows also where each starts."""
        if not self._parts and not self._given:
            self._following = first
        self._parts.append(rows)
        self._starts += starts
        self._waiting += len(rows)
        if self._waiting >= self._most:
            self._hand_on(self._waiting // self._most * self._most)

    def end(self) -> None:
        """Hand on what is left."""
        if self._waiting or not self._given:
            self._hand_on(self._waiting)

    def _hand_on(self, count: int) -> None:
        blank = self._blank
        rows = np.concatenate(self._parts) if self._parts else np.zeros((0, len(blank.labels)), np.float32)
        starts = None if blank.starts is None else tuple(self._starts[:count])
        self._give(replace(blank, first_frame=self._following, rows=rows[:count], starts=starts))
        self._given = True
        self._parts, self._starts = [rows[count:]], self._starts[count:]
        self._waiting -= count
        self._following += count


class NpzRows:
    """An npz of all rows of one pack on one file, made when they have all come. Until then they lie on its disk.

    It holds scores (frames, classes) float32, first_frame, labels, rate (Hz), pack, recording, frame_ms; of native rows
    start_samples and pack_rate in place of first_frame. Nothing in it is pickled. Raises OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # it has no name, so that a kill leaves nothing
        self._spool = tempfile.TemporaryFile(dir=path.parent)  # noqa: SIM115 - closed by `close` and `discard`
        self._first: FileScores | None = None
        self._starts = array("q")
        self._count = 0

    def write(self, piece: FileScores) -> None:
        """Pieces in order."""
        self._first = self._first or piece
        self._starts.extend(piece.starts or ())
        self._count += len(piece.rows)
        self._spool.write(np.ascontiguousarray(piece.rows, dtype="<f4").data)

    def close(self) -> None:
        """Make the file."""
        with self._spool:
            if self._first is None:
                return
            with zipfile.ZipFile(self._path, "w", zipfile.ZIP_DEFLATED) as out:
                shape = (self._count, len(self._first.labels))
                with out.open("scores.npy", "w", force_zip64=True) as member:
                    head = {"descr": "<f4", "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(member, head)
                    self._spool.seek(0)
                    shutil.copyfileobj(self._spool, member, 1 << 20)
                for name, value in self._facts(self._first).items():
                    buffer = io.BytesIO()
                    np.lib.format.write_array(buffer, np.asarray(value), allow_pickle=False)
                    out.writestr(f"{name}.npy", buffer.getvalue())

    def discard(self) -> None:
        """Make none."""
        self._spool.close()

    def _facts(self, first: FileScores) -> dict[str, Any]:
        native = {"start_samples": np.array(self._starts, np.int64), "pack_rate": np.int64(first.pack_rate)}
        return {
            "labels": [label.id for label in first.labels],
            "rate": np.int64(first.rate),
            "pack": first.pack,
            "recording": first.file,
            "frame_ms": np.int64(FRAME_MS),
            **({"first_frame": np.int64(first.first_frame)} if first.starts is None else native),
        }
