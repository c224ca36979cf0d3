"""What `classify` does with files: heard by the engine; what came of each, as it goes from process to process."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from streamclf.audio.gain import read_gain
from streamclf.commands.formats import FileScores
from streamclf.commands.places import day_of
from streamclf.commands.rowfiles import Pieces
from streamclf.config import Config
from streamclf.errors import SourceError, StreamclfError, UsageError
from streamclf.text import spelt
from streamclf.types import F32, Event, FrameScores, Label, Output, Stage

if TYPE_CHECKING:
    from streamclf.engine.derived import DerivedTrack
    from streamclf.engine.track import Track


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


Tell = Callable[[int, str], None]
"""Takes the place of a file among those asked for, and what of it is damaged or hidden."""
TakeRows = Callable[[FileScores], None]
Advance = Callable[[int, float], object]
"""Takes the place of a file among those asked for, and how much of it has been heard, 0 to 1."""

SIDE_BY_SIDE = 8
"""Files: beyond that one in a run costs hardly less (default pack: 1 alone, 0.64 of two, 0.39 of eight)."""
_RING_SECONDS = 4


class FileEar:
    """Hears files with one engine. Raises what `build_engine` and `read_seasons` raise."""

    def __init__(self, wish: FileWish) -> None:
        from streamclf.engine.build import build_engine, load_packs, of_packs, read_seasons
        from streamclf.engine.seasons import Seasons

        self.wish = wish
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

    def tell(self, heard: Heard, event: Event, day: date | None) -> None:
        """Note an event of a file. day: of the recording at its place, None where all may be told of."""
        why = "" if day is None else self._seasons.held(event.pack, event.label, day)
        if why:
            count, _ = heard.held.get(event.label, (0, ""))
            heard.held[event.label] = count + 1, why
        else:
            heard.events.append(event)

    @property
    def side_by_side(self) -> int:
        """Files that are best heard at once: many where a run over several streams costs little more than over one, and
        no rows are kept of them."""
        alone = self.wish.scores or any(runner.windows for runner in self._engine.runners)
        return 1 if alone else SIDE_BY_SIDE

    def hear(
        self, files: Sequence["FileAsked"], *, tell: Tell, advance: Advance, rows: TakeRows
    ) -> Iterator[tuple[int, Heard | Failed]]:
        """What came of files that are heard side by side, whatever is wrong with them, each by its place among them.

        rows: takes pieces of score rows, those of a file that broke off as well.
        """
        engine, active = self._engine, dict[str, _Hearing]()
        try:
            for at, asked in enumerate(files):
                try:
                    one = _Hearing(self, at, asked, tell=tell, advance=advance, rows=rows)
                    engine.add(one.stream)
                    active[asked.name] = one
                except Exception as fault:
                    yield at, failed(asked, fault)
            while active:
                ended = self._second(active)
                for name, one in ended.items():
                    result = one.fault or self._end(one, active)
                    engine.remove(name)
                    del active[name]
                    yield one.at, result
        finally:
            for name in active:
                engine.remove(name)

    def _second(self, active: Mapping[str, "_Hearing"]) -> dict[str, "_Hearing"]:
        """Hear a second of each. Returns those that have no more."""
        ended = {name: one for name, one in active.items() if not one.write()}
        try:
            self._told(self._engine.drain(), active)
        except Exception as fault:
            for one in active.values():
                one.fault = one.fault or failed(one.asked, fault)
            return dict(active)
        return ended

    def _end(self, one: "_Hearing", active: Mapping[str, "_Hearing"]) -> Heard | Failed:
        try:
            self._told(self._engine.finish(one.asked.name), active)
            return one.end()
        except Exception as fault:
            return failed(one.asked, fault)

    def _told(self, outputs: Sequence[Output], active: Mapping[str, "_Hearing"]) -> None:
        for output in outputs:
            if isinstance(output, Event | FrameScores):
                active[output.stream].take(output)
        for name, one in active.items() if self.wish.native else ():
            one.take_native(self._engine.tracks[name])


class FileAsked(msgspec.Struct, frozen=True):
    """A file to hear, by its path as the system has it, which need not be UTF-8. name: of its stream."""

    place: bytes
    name: str

    @property
    def path(self) -> str:
        """For the system."""
        return os.fsdecode(self.place)


def failed(asked: FileAsked, fault: Exception) -> Failed:
    """That it could not be heard. Raises faults that are not of this file alone."""
    path = spelt(asked.path)
    if isinstance(fault, BrokenPipeError | ResultsError):
        raise fault
    if isinstance(fault, StreamclfError):
        return Failed(path, str(fault))
    # a fault in streamclf or in a library; it stays with its file
    return Failed(path, f"{path} cannot be heard: {type(fault).__name__}: {fault}")


class _Hearing:
    """One file while it is heard. at: its place among those asked for. Raises what opening raises."""

    def __init__(self, ear: FileEar, at: int, asked: FileAsked, *, tell: Tell, advance: Advance, rows: TakeRows):
        from streamclf.audio.ring import Ring
        from streamclf.audio.sources.file import open_blocks
        from streamclf.audio.sources.spec import SourceSpec
        from streamclf.engine.stream import Stream

        path, name, wish = asked.path, asked.name, ear.wish
        self.at, self.asked = at, asked
        self.fault: Failed | None = None
        self._ear = ear
        self._day = None if wish.place is None else wish.day or day_of(path)
        spec = SourceSpec("file", path, name, channel=wish.channel)
        rate, total, blocks = open_blocks(Path(path), spec=spec, problem=partial(tell, at), notice=partial(tell, at))
        best = [np.zeros(len(pack.labels), np.float32) for pack in ear.packs]
        self._heard = heard = Heard(spelt(path), name, rate, 0, [], best)
        self._pieces = {pack.name: self._pieces_of(pack, rows) for pack in ear.packs}
        self._best = dict(zip(self._pieces, best, strict=True))
        counted = _counted(blocks, heard, lambda samples: advance(at, min(1.0, samples / total)) if total else None)
        self._seconds = _by_second(counted, rate)
        self._ring = Ring(_RING_SECONDS * rate)
        self.stream = Stream(name, rate=rate, ring=self._ring, gain=read_gain(wish.config.gain))

    def write(self) -> bool:
        """About a second more. Whether there was any."""
        try:
            block = next(self._seconds, None)
        except Exception as fault:
            self.fault = failed(self.asked, fault)
            return False
        if block is not None:
            self._ring.write(block)
        return block is not None

    def take(self, output: Event | FrameScores) -> None:
        """What the engine told of it."""
        wish = self._ear.wish
        if isinstance(output, Event):
            if output.stage is Stage.CLOSE:
                self._ear.tell(self._heard, output, self._day)
        elif output.final:
            if wish.scores and not wish.native:
                self._pieces[output.pack].add(output.first_frame, output.rows)
            if wish.best:
                best = self._best[output.pack]
                np.maximum(best, output.rows.max(axis=0), out=best)

    def take_native(self, tracks: "Sequence[Track | DerivedTrack]") -> None:
        """The runs that came since the last time; a track keeps them for whoever takes them."""
        for track in tracks:
            for start, run in track.native or ():
                self._pieces[track.manifest.name].add(0, run, [start + at * track.hop for at in range(len(run))])
            if track.native:
                track.native.clear()

    def end(self) -> Heard:
        """What came of it. Raises `SourceError` where none of it could be read."""
        heard = self._heard
        if not heard.samples:
            raise SourceError(f"{self.asked.path} holds no sound that can be read; give a recording with sound in it")
        heard.events.sort(key=lambda event: (event.onset_frame, event.pack, event.label))
        for each in self._pieces.values() if self._ear.wish.scores else ():
            each.end()
        return heard

    def _pieces_of(self, pack: PackLabels, rows: TakeRows) -> Pieces:
        heard, none = self._heard, np.zeros((0, len(pack.labels)), dtype=np.float32)
        starts = () if self._ear.wish.native else None
        return Pieces(
            FileScores(heard.stream, pack.name, pack.labels, heard.rate, pack.rate, 0, none, starts, file=heard.path),
            rows,
        )


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
