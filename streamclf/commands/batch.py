"""What `classify` does with one file: heard by the engine, and what came of it, as it goes from process to process."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import msgspec
import numpy as np

from streamclf.audio.gain import read_gain
from streamclf.commands.formats import FileScores
from streamclf.commands.places import day_of
from streamclf.commands.rows import Pieces
from streamclf.config import Config
from streamclf.errors import SourceError, StreamclfError, UsageError
from streamclf.text import spelt
from streamclf.types import F32, Event, FrameScores, Label, Stage


class FileWish(msgspec.Struct, frozen=True):
    """What is wanted of every file. channel: 0-based, None for the mix.

    scores: rows are kept; else events alone, so that a night takes no more memory than a minute. native: the pack's own
    rows. best: the highest probability of each class. place: degrees north and east, None where all may be told of.
    day: on which all were recorded, None where their names say it.
    """

    config: Config
    scores: bool = False
    native: bool = False
    best: bool = False
    channel: int | None = None
    place: tuple[float, float] | None = None
    day: date | None = None


class PackLabels(msgspec.Struct, frozen=True):
    """A pack that hears the files. rate: Hz."""

    name: str
    rate: int
    labels: tuple[Label, ...]


class Heard(msgspec.Struct):
    """What came of a file, `stream` as a stream. rate: Hz; samples: at that rate.

    held: of each label that is not told of at that place and time, how many events it had, and why.
    best: of each pack in order, the highest probability of each of its classes: (classes, ) float32. Rows are given on
    as they are made.
    """

    path: str
    stream: str
    rate: int
    samples: int
    events: list[Event]
    best: list[F32]
    held: dict[str, tuple[int, str]] = {}


class Failed(msgspec.Struct):
    """A file that could not be heard, and why, in a sentence."""

    path: str
    said: str


class ResultsError(StreamclfError):
    """What was heard cannot be written."""


Tell = Callable[[str], None]
TakeRows = Callable[[FileScores], None]
Advance = Callable[[float], None]
"""Takes how much of the file has been heard, 0 to 1."""


class FileEar:
    """Hears files, one after the other, with one engine. Raises what `build_engine` and `read_seasons` raise."""

    def __init__(self, wish: FileWish) -> None:
        from streamclf.engine.build import build_engine, load_packs, of_packs, read_seasons
        from streamclf.engine.seasons import Seasons

        self._wish = wish
        # it is the daemon's, which may have other packs, and labels that are loud or taught
        config = of_packs(wish.config, load_packs(wish.config.model))
        self._engine = build_engine(config, native=wish.native)
        self._seasons = Seasons()
        if wish.place is not None:
            self._seasons = read_seasons(config, self._engine.packs, wish.place)
        if wish.place is not None and not self._seasons.ranges:
            names = ", ".join(pack.manifest.name for pack in self._engine.packs)
            raise UsageError(f"--place: {names} knows of no places; name a pack that does, such as --model birdnet")
        self.packs = [
            PackLabels(runner.name, runner.pack.manifest.rate, tuple(runner.pack.labels))
            for runner in self._engine.runners
        ]

    def hear(self, path: str, name: str, *, tell: Tell, advance: Advance, rows: TakeRows) -> Heard:
        """One file, by its path as the system has it. Raises what reading raises.

        tell: takes what is damaged or hidden; rows: pieces of score rows.
        """
        from streamclf.audio.sources.file import open_blocks
        from streamclf.audio.sources.spec import SourceSpec
        from streamclf.engine.offline import run_blocks

        engine, wish = self._engine, self._wish
        day = None if wish.place is None else wish.day or day_of(path)
        gain = read_gain(wish.config.gain)
        spec = SourceSpec("file", path, name, channel=wish.channel)
        rate, total, blocks = open_blocks(Path(path), spec=spec, problem=tell, notice=tell)
        heard = Heard(spelt(path), name, rate, 0, [], [np.zeros(len(pack.labels), np.float32) for pack in self.packs])
        pieces = {pack.name: self._pieces(heard, pack, rows) for pack in self.packs}
        best = dict(zip(pieces, heard.best, strict=True))
        counted = _counted(blocks, heard, lambda samples: advance(min(1.0, samples / total)) if total else None)
        try:
            for outputs in run_blocks(engine, name, rate=rate, blocks=_by_second(counted, rate), gain=gain, keep=True):
                for output in outputs:
                    if isinstance(output, Event):
                        if output.stage is Stage.CLOSE:
                            self._tell(heard, output, day)
                    elif isinstance(output, FrameScores) and output.final:
                        if wish.scores and not wish.native:
                            pieces[output.pack].add(output.first_frame, output.rows)
                        if wish.best:
                            np.maximum(best[output.pack], output.rows.max(axis=0), out=best[output.pack])
                if wish.native:
                    self._take_native(name, pieces)
            if not heard.samples:
                raise SourceError(f"{path} holds no sound that can be read; give a recording with sound in it")
            heard.events.sort(key=lambda event: (event.onset_frame, event.pack, event.label))
            for each in pieces.values() if wish.scores else ():
                each.end()
            return heard
        finally:
            if name in engine.streams:
                engine.remove(name)

    def _tell(self, heard: Heard, event: Event, day: date | None) -> None:
        """day: of the recording at its place, None where all may be told of."""
        why = "" if day is None else self._seasons.held(event.pack, event.label, day)
        if why:
            count, _ = heard.held.get(event.label, (0, ""))
            heard.held[event.label] = count + 1, why
        else:
            heard.events.append(event)

    def _pieces(self, heard: Heard, pack: PackLabels, rows: TakeRows) -> Pieces:
        none = np.zeros((0, len(pack.labels)), dtype=np.float32)
        starts = () if self._wish.native else None
        blank = FileScores(
            heard.stream, pack.name, pack.labels, heard.rate, pack.rate, 0, none, starts, file=heard.path
        )
        return Pieces(blank, rows)

    def _take_native(self, name: str, pieces: Mapping[str, Pieces]) -> None:
        """The runs that came since the last time; a track keeps them for whoever takes them."""
        for track in self._engine.tracks[name]:
            for start, run in track.native or ():
                pieces[track.manifest.name].add(0, run, [start + at * track.hop for at in range(len(run))])
            if track.native:
                track.native.clear()


def _counted(blocks: Iterable[F32], heard: Heard, advance: Callable[[int], object]) -> Iterator[F32]:
    for block in blocks:
        yield block
        heard.samples += len(block)
        advance(heard.samples)


def _by_second(blocks: Iterable[F32], rate: int) -> Iterator[F32]:
    """The same sound in blocks of about a second, so that what is paid for each tick and run is paid once a second."""
    some: list[F32] = []
    count = 0
    for block in blocks:
        if some and count + len(block) > rate:
            yield np.concatenate(some)
            some, count = [], 0
        some.append(block.copy())  # it is valid until the next
        count += len(block)
    if some:
        yield np.concatenate(some)


def names_of(files: Sequence[Path]) -> dict[Path, str]:
    """File -> the name of its stream: its own, with the folders below the one that all of them lie in.

    So recorders that give the same names in every folder do not overwrite each other. A file named twice counts once.
    """
    places = {Path(os.path.abspath(path)): path for path in reversed(files)}
    top = Path(os.path.commonpath([place.parent for place in places]))
    return {path: spelt(place.relative_to(top).as_posix()) for place, path in reversed(places.items())}
