"""What `classify` does with one file: heard by the engine, and what came of it, as it goes from process to process."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from streamclf.audio.gain import read_gain
from streamclf.commands.formats import FileScores
from streamclf.config import Config
from streamclf.errors import SourceError
from streamclf.types import F32, Event, FrameScores, Label, Stage


class FileWish(msgspec.Struct, frozen=True):
    """What is wanted of every file. channel: 0-based, None for the mix.

    scores: rows are kept; else events alone, so that a night takes no more memory than a minute. native: the pack's own
    rows. best: the highest probability of each class.
    """

    config: Config
    scores: bool = False
    native: bool = False
    best: bool = False
    channel: int | None = None


class PackLabels(msgspec.Struct, frozen=True):
    """A pack that hears the files. rate: Hz."""

    name: str
    rate: int
    labels: tuple[Label, ...]


class Heard(msgspec.Struct):
    """What came of a file, `stream` as a stream. rate: Hz; samples: at that rate.

    best: of each pack in order, the highest probability of each of its classes: (classes, ) float32.
    """

    path: str
    stream: str
    rate: int
    samples: int
    events: list[Event]
    scores: list[FileScores]
    best: list[F32]


class Failed(msgspec.Struct):
    """A file that could not be heard, and why, in a sentence."""

    path: str
    said: str


Tell = Callable[[str], None]
Advance = Callable[[float], None]
"""Takes how much of the file has been heard, 0 to 1."""


class FileEar:
    """Hears files, one after the other, with one engine. Raises what `build_engine` raises."""

    def __init__(self, wish: FileWish) -> None:
        from streamclf.engine.build import build_engine

        self._wish = wish
        self._engine = build_engine(wish.config, native=wish.native)
        self.packs = [
            PackLabels(runner.name, runner.pack.manifest.rate, tuple(runner.pack.labels))
            for runner in self._engine.runners
        ]

    def hear(self, path: str, name: str, *, tell: Tell, advance: Advance) -> Heard:
        """One file. tell: takes what is damaged or hidden. Raises what reading it raises."""
        from streamclf.audio.sources.file import open_blocks
        from streamclf.audio.sources.spec import SourceSpec
        from streamclf.engine.offline import run_blocks

        engine, wish = self._engine, self._wish
        gain = read_gain(wish.config.gain)
        spec = SourceSpec("file", path, name, channel=wish.channel)
        rate, total, blocks = open_blocks(Path(path), spec=spec, problem=tell, notice=tell)
        heard = Heard(path, name, rate, 0, [], [], [np.zeros(len(pack.labels), np.float32) for pack in self.packs])
        parts: dict[str, list[FrameScores]] = {pack.name: [] for pack in self.packs}
        best = dict(zip(parts, heard.best, strict=True))
        counted = _counted(blocks, heard, lambda samples: advance(min(1.0, samples / total)) if total else None)
        try:
            for outputs in run_blocks(engine, name, rate=rate, blocks=counted, gain=gain, keep=True):
                for output in outputs:
                    if isinstance(output, Event):
                        if output.stage is Stage.CLOSE:
                            heard.events.append(output)
                    elif isinstance(output, FrameScores) and output.final:
                        if wish.scores:
                            parts[output.pack].append(output)
                        if wish.best:
                            np.maximum(best[output.pack], output.rows.max(axis=0), out=best[output.pack])
            if not heard.samples:
                raise SourceError(f"{path} holds no sound that can be read; give a recording with sound in it")
            heard.events.sort(key=lambda event: (event.onset_frame, event.pack, event.label))
            if wish.scores:
                heard.scores = [self._gather(heard, pack, parts.pop(pack.name)) for pack in self.packs]
            return heard
        finally:
            if name in engine.streams:
                engine.remove(name)

    def _gather(self, heard: Heard, pack: PackLabels, parts: list[FrameScores]) -> FileScores:
        def scores(first: int, rows: F32, starts: tuple[int, ...] | None = None) -> FileScores:
            return FileScores(
                heard.stream, pack.name, pack.labels, heard.rate, pack.rate, first, rows, starts, file=heard.path
            )

        empty = np.zeros((0, len(pack.labels)), dtype=np.float32)
        if self._wish.native:
            track = next(t for t in self._engine.tracks[heard.stream] if t.manifest.name == pack.name)
            runs = track.native or []
            starts = tuple(start + j * track.hop for start, run in runs for j in range(len(run)))
            return scores(0, np.concatenate([run for _, run in runs]) if runs else empty, starts)
        rows = np.concatenate([part.rows for part in parts]) if parts else empty
        return scores(parts[0].first_frame if parts else 0, rows)


def _counted(blocks: Iterable[F32], heard: Heard, advance: Callable[[int], object]) -> Iterator[F32]:
    for block in blocks:
        yield block
        heard.samples += len(block)
        advance(heard.samples)


def names_of(files: Sequence[Path]) -> dict[Path, str]:
    """File -> the name of its stream: its own, with the folders below the one that all of them lie in.

    So recorders that give the same names in every folder do not overwrite each other. A file named twice counts once.
    """
    places = {Path(os.path.abspath(path)): path for path in reversed(files)}
    top = Path(os.path.commonpath([place.parent for place in places]))
    return {path: place.relative_to(top).as_posix() for place, path in reversed(places.items())}
