"""The score log: every row of every stream, in a folder for each day.

    scores/2026-05-01/<stream>~<pack>~<time>-<run>.scores    and  <stream>~levels~…  for how loud each frame was

Rows are gathered for ten seconds, then written as one block. They are not forced to the disk: a crash of the daemon
costs the last ten seconds, a power cut what the system had not written yet.
"""

import errno
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np

from streamclf.clock import FRAMES_PER_SECOND, NS_PER_FRAME, NS_PER_SECOND
from streamclf.store.codes import edges_of, encode, keep_top, values_of
from streamclf.store.filenames import make_below, safe_name
from streamclf.store.loudness import codes_of_rms, decibels_of_codes
from streamclf.store.packfacts import PackFacts
from streamclf.store.scorefile import SUFFIX, Header, ScoreFile, Stretch, block_record, header_record
from streamclf.types import F32, FrameScores, Label, Levels, OtherLabels, Output

FOLDER = "scores"
BLOCK_FRAMES = 10 * FRAMES_PER_SECOND
LEVELS = "levels"


@dataclass(slots=True)
class _Track:
    """What one file at a time is written of: the rows of a pack, or the levels, of one stream."""

    header: Header
    edges: F32 | None
    parts: list[F32] = field(default_factory=list)  # bound: BLOCK_FRAMES rows and one delivery
    first_frame: int = 0
    frames: int = 0
    epoch_ns: int = 0
    file: int = -1
    day: str = ""


class ScoreLog:
    """folder: the store's. run: of the daemon. packs: their labels and decisions. top_k: see `Header`.
    without: streams that are not logged.

    One thread uses it.
    """

    def __init__(
        self, folder: Path, run: str, packs: Mapping[str, PackFacts], *, top_k: int = 0, without: Container[str] = ()
    ) -> None:
        self._folder = folder / FOLDER
        self._run = run
        self._packs = packs
        self._top_k = top_k
        self._without = without
        self._edges = _edges(packs)
        self._tracks: dict[tuple[str, str], _Track] = {}

    def take(self, outputs: Sequence[Output], epochs: Mapping[str, int]) -> None:
        """Note the final rows and the levels among `outputs`. OSError: a block could not be written, and is lost."""
        for output in outputs:
            if isinstance(output, OtherLabels):
                self.use({**self._packs, output.pack: PackFacts.relabelled(output, self._packs.get(output.pack))})
            if isinstance(output, FrameScores | Levels) and output.stream in self._without:
                continue
            if isinstance(output, FrameScores) and output.final:
                self._add(output.stream, output.pack, output.first_frame, output.rows, epochs[output.stream])
            elif isinstance(output, Levels):
                rows = output.rms[:, np.newaxis]
                self._add(output.stream, LEVELS, output.first_frame, rows, epochs[output.stream])

    def close(self) -> None:
        """Write what is gathered. Raises OSError."""
        for track in self._tracks.values():
            self._flush(track)
            _close(track)

    def use(self, packs: Mapping[str, PackFacts]) -> None:
        """Packs decide otherwise from now on: new files begin, which say so. Raises OSError."""
        tracks, self._tracks = self._tracks, {}
        self._packs = packs
        self._edges = _edges(packs)
        for track in tracks.values():
            self._flush(track)
            _close(track)

    def _add(self, stream: str, pack: str, first_frame: int, rows: F32, epoch_ns: int) -> None:
        track = self._tracks.get((stream, pack))
        if track is None:
            track = self._tracks[stream, pack] = _Track(self._header(stream, pack), self._edges.get(pack))
        if track.frames and (first_frame != track.first_frame + track.frames or epoch_ns != track.epoch_ns):
            self._flush(track)
        if not track.frames:
            track.first_frame, track.epoch_ns = first_frame, epoch_ns
        track.parts.append(rows)
        track.frames += len(rows)
        if track.frames >= BLOCK_FRAMES:
            self._flush(track)

    def _header(self, stream: str, pack: str) -> Header:
        if pack == LEVELS:
            values = decibels_of_codes(np.arange(256, dtype=np.uint8))
            labels: tuple[Label, ...] = (Label("level_db", "Level, dBFS"),)
            return Header("levels", self._run, stream, pack, "", labels, (), tuple(values.tolist()))
        facts = self._packs[pack]
        return Header(
            "scores",
            self._run,
            stream,
            pack,
            facts.digest,
            tuple(label for label, _ in facts.labels.values()),
            tuple(decision for _, decision in facts.labels.values()),
            tuple(values_of(self._edges[pack]).tolist()),
            facts.look_ahead_ms,
            self._top_k,
        )

    def _flush(self, track: _Track) -> None:
        if not track.frames:
            return
        rows = np.concatenate(track.parts)
        track.parts, track.frames = [], 0
        codes = codes_of_rms(rows) if track.edges is None else keep_top(encode(rows, track.edges), rows, self._top_k)
        self._write(track, block_record(track.first_frame, track.epoch_ns, codes))

    def _write(self, track: _Track, record: bytes) -> None:
        first_ns = track.epoch_ns + track.first_frame * NS_PER_FRAME
        began = datetime.fromtimestamp(first_ns // NS_PER_SECOND, UTC)
        day = began.date().isoformat()
        if day != track.day or (track.file >= 0 and not os.fstat(track.file).st_nlink):
            _close(track)  # or it was deleted
        if track.file < 0:
            folder = make_below(self._folder.parent, FOLDER, day)
            name = f"{safe_name(track.header.stream)}~{safe_name(track.header.pack)}~{began:%H%M%S}-{self._run}{SUFFIX}"
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            track.file = os.open(folder / name, flags, 0o600)
            track.day = day
        size = os.fstat(track.file).st_size
        whole = record if size else header_record(track.header) + record
        if os.write(track.file, whole) < len(whole):
            os.ftruncate(track.file, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _edges(packs: Mapping[str, PackFacts]) -> dict[str, F32]:
    return {name: edges_of(decision for _, decision in facts.labels.values()) for name, facts in packs.items()}


def _close(track: _Track) -> None:
    if track.file >= 0:
        os.close(track.file)
        track.file = -1


def files(folder: Path, *, since_ns: int | None = None, until_ns: int | None = None) -> Iterator[ScoreFile]:
    """Every readable file of the score log in `folder` (the store's), by day and name.

    since_ns, until_ns: only those that may have rows of that time.
    """
    # a file holds a day (UTC); its last block may reach into the next one
    first = "" if since_ns is None else (_day(since_ns) - timedelta(days=1)).isoformat()
    last = "9" if until_ns is None else _day(until_ns).isoformat()
    for path in sorted((folder / FOLDER).glob(f"*/*{SUFFIX}")):
        if first <= path.parent.name <= last:
            yield ScoreFile(path)


def _day(ns: int) -> date:
    return datetime.fromtimestamp(ns // NS_PER_SECOND, UTC).date()


def read(found: Iterable[ScoreFile], *, since_ns: int, until_ns: int, label: str | None = None) -> Iterator[Stretch]:
    """The rows of these files whose frames begin in [since, until), file by file.

    label: this class alone, of the files that have it.
    """
    for file in found:
        for stretch in file.stretches() if label is None else file.column(label):
            part = stretch.between(since_ns, until_ns)
            if part is not None:
                yield part
