"""The audio of a data set: decoded once, at the pack's rate, into one file that is mapped into memory.

It is what packs hear of a recording live (asheard.py).
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from streamclf.audio.sources.hush import own_errors
from streamclf.clock import hop_of
from streamclf.errors import RateError, SourceError, StreamclfError
from streamclf.train.data.annotations import LeftOut, Recording
from streamclf.train.data.asheard import heard
from streamclf.types import F32

_SAMPLE_BYTES = 4
_HEARD = "2"  # 1: with the offset that lay under it; what was decoded in another way is decoded anew


class _Index(msgspec.Struct):
    """What a file of samples holds. places: path -> (first sample, samples). problems: path -> why it is not in it."""

    key: str
    places: dict[str, tuple[int, int]] = {}
    problems: dict[str, str] = {}
    notes: list[str] = []

    @property
    def samples(self) -> int:
        return sum(count for _, count in self.places.values())


class Corpus:
    """Audio of recordings. rate: in Hz. notes: what of the files could be read only in part, a sentence each."""

    def __init__(self, data: Path, rate: int, index: _Index) -> None:
        self.rate = rate
        self.notes = index.notes
        self._places = index.places
        # memory holds what is in use, the system drops the rest; the file is as long as all recordings together
        self._samples: F32 = np.memmap(data, dtype=np.float32, mode="r") if index.samples else np.zeros(0, np.float32)

    def audio(self, recording: Recording) -> F32:
        """All samples of a recording: (n, ) float32, read only."""
        first, count = self._places[str(recording.path)]
        return self._samples[first : first + count]

    def seconds(self, recording: Recording) -> float:
        """Length of a recording."""
        return self._places[str(recording.path)][1] / self.rate


def decode(
    recordings: Sequence[Recording],
    rate: int,
    folder: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Corpus, list[Recording], list[LeftOut]]:
    """Decode all recordings into `folder`, or take what is there where nothing has changed since.

    Returns the corpus, the recordings that could be read, and those that could not with the reason. Raises RateError
    for a rate without whole 20 ms frames, StreamclfError where no recording can be read.
    """
    hop_of(rate)
    folder.mkdir(parents=True, exist_ok=True)
    where, data = folder / "audio.json", folder / "audio.f32"
    key = _key(recordings, rate)
    index = _held(where, data, key)
    if index is None:
        index = _decode(recordings, rate, data, key, progress)
        part = where.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(index))
        os.replace(part, where)
    problems = [LeftOut(Path(path), reason) for path, reason in index.problems.items()]
    lost = {problem.path for problem in problems}
    good = [recording for recording in recordings if recording.path not in lost]
    if not good:
        raise StreamclfError(f"none of {len(recordings)} recordings can be read; the first: {problems[0].reason}")
    return Corpus(data, rate, index), good, problems


def _decode(
    recordings: Sequence[Recording], rate: int, data: Path, key: str, progress: Callable[[int, int], None]
) -> _Index:
    index = _Index(key)
    part = data.with_suffix(".part")
    written = 0
    with part.open("wb") as out, own_errors():
        for done, recording in enumerate(recordings):
            progress(done, len(recordings))
            path, begun = str(recording.path), written
            try:
                for block in heard(recording.path, rate, problem=index.notes.append, notice=index.notes.append):
                    written += out.write(block.tobytes()) // _SAMPLE_BYTES
            except (SourceError, RateError) as fault:
                index.problems[path] = str(fault) if path in str(fault) else f"{path}: {fault}"
                continue
            if written == begun:
                index.problems[path] = f"{path} holds no samples that can be read"
            else:
                index.places[path] = (begun, written - begun)
    os.replace(part, data)
    progress(len(recordings), len(recordings))
    return index


def _key(recordings: Sequence[Recording], rate: int) -> str:
    digest = hashlib.sha256(f"{_HEARD} {rate}".encode())
    for recording in recordings:
        try:
            facts = recording.path.stat()
            digest.update(f"{recording.path}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
        except OSError:
            digest.update(f"{recording.path}\0absent\0".encode())
    return digest.hexdigest()


def _held(where: Path, data: Path, key: str) -> _Index | None:
    """What an earlier call left, if it is of the same files at the same rate and whole."""
    try:
        index = msgspec.json.decode(where.read_bytes(), type=_Index)
        whole = index.key == key and data.stat().st_size == index.samples * _SAMPLE_BYTES
    except (OSError, msgspec.MsgspecError):
        return None
    return index if whole else None
