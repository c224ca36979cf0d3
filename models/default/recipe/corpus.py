"""All recordings, decoded once to mono 16 kHz int16, with an index of what each is and where in it something sounds."""

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile

from streamclf.errors import RateError
from streamclf.train.data.asheard import read_sound
from streamclf.train.data.scenes import audible
from streamclf.types import F32

RATE = 16_000
Kind = Literal["event", "background", "speech", "unlabelled"]
Split = Literal["train", "choose", "test"]
HEARD_ALL = "trained by the project with tools/train_default"
HELD_OUT = f"{HEARD_ALL}, its test held out"
"""How a pack's `source` begins; up to version 3 the weights that shipped had learnt from the recordings of the test."""
I16 = npt.NDArray[np.int16]

_STEADY = frozenset({"rain", "wind", "water", "fire", "helicopter", "chainsaw", "engine", "train", "crowd", "insect"})
"""What goes on between the louder moments of a recording as well."""
_PADDING = 1e-4
_HOLE = RATE // 2
_QUIET = 10 ** (-65 / 20)


@dataclass(frozen=True, slots=True)
class CorpusClip:
    """One recording, or a part of one.

    label: one of `classes.LABELS`; None for a sound of no class, and for backgrounds. name: what a sound of no class
    is, where that is known. source: id of the recording that
    it comes from; all clips of one source are in one split. high_hz: where its band ends. stretches: [first, end) in
    samples, where the sound is to be heard. unsure: classes that may sound in it as well, though nobody has said so.
    """

    path: Path
    label: str | None
    kind: Kind
    source: str
    split: Split
    licence: str
    origin: str
    high_hz: float
    stretches: tuple[tuple[int, int], ...] = ()
    unsure: tuple[str, ...] = ()
    samples: int = 0
    name: str = ""

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.samples / RATE


def build(work: Path, wanted: Iterable[CorpusClip]) -> list[str]:
    """Decode `wanted` (whose paths are recordings as they came) and write the index; returns what was left out and why.

    What has been decoded before is kept.
    """
    folder = work / "corpus"
    folder.mkdir(parents=True, exist_ok=True)
    clips, dropped = [], []
    for clip in wanted:
        # the order of clips, and so every scene, must not hang on where the folders lie
        name = "/".join((clip.source, *clip.path.parts[-3:]))
        held = folder / f"{clip.path.stem[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:10]}.npy"
        if not held.exists():
            try:
                _save(held, _read(clip.path))
            except Exception as fault:
                dropped.append(f"{clip.path}: {fault}")
                continue
        samples = np.load(held).astype(np.float32) / 32768
        if len(samples) < RATE // 20 or np.abs(samples).max() < _QUIET:
            dropped.append(f"{clip.path}: silent or under 50 ms")
            continue
        stretches = _stretches(samples, clip)
        if clip.kind in ("event", "speech") and not stretches:
            dropped.append(f"{clip.path}: nothing stands out in it")
            continue
        clips.append(replace(clip, path=held, stretches=stretches, samples=len(samples)))
    write(work, clips)
    return dropped


def write(work: Path, clips: Iterable[CorpusClip]) -> None:
    """The index of the corpus."""
    rows = [{**asdict(clip), "path": clip.path.name} for clip in clips]
    part = work / "corpus.json.part"
    part.write_text(json.dumps(rows, indent=0))
    os.replace(part, work / "corpus.json")


def load(work: Path) -> list[CorpusClip]:
    """All clips of the corpus in `work`, by path."""
    rows = json.loads((work / "corpus.json").read_text())
    return sorted(
        (
            CorpusClip(
                **{
                    **row,
                    "path": work / "corpus" / row["path"],
                    "stretches": tuple((first, end) for first, end in row["stretches"]),
                    "unsure": tuple(row["unsure"]),
                }
            )
            for row in rows
        ),
        key=lambda clip: clip.path,
    )


def samples_of(clip: CorpusClip) -> F32:
    """(n, ) float32 in [-1, 1]."""
    out: F32 = np.load(clip.path).astype(np.float32) / np.float32(32768)
    return out


def _read(path: Path) -> F32:
    try:
        return read_sound(path, RATE)
    except RateError:
        # no whole samples in 20 ms, so nothing that could run live, but good to learn from
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        common = math.gcd(RATE, rate)
        mono = samples.mean(axis=1)
        return np.asarray(scipy.signal.resample_poly(mono, RATE // common, rate // common), dtype=np.float32)


def _save(path: Path, samples: F32) -> None:
    part = path.with_suffix(".part.npy")
    np.save(part, np.round(np.clip(samples, -1.0, 32767 / 32768) * 32768).astype(np.int16))
    os.replace(part, path)


def _stretches(samples: F32, clip: CorpusClip) -> tuple[tuple[int, int], ...]:
    if clip.kind in ("background", "unlabelled"):
        return ((0, len(samples)),)
    if clip.label in _STEADY:
        return tuple(_not_padding(samples))
    return tuple(audible(samples, RATE, gap_s=0.3 if clip.label != "speech" else 0.2))


def _not_padding(samples: F32) -> list[tuple[int, int]]:
    """All of a steady sound but the digital silence that short recordings are filled up with."""
    grain = RATE // 100
    count = len(samples) // grain
    loud = np.abs(samples[: count * grain]).reshape(count, grain).max(axis=1) > _PADDING
    edges = np.flatnonzero(np.diff(np.concatenate([[False], loud, [False]])))
    stretches: list[tuple[int, int]] = []
    for first, end in zip(edges[::2] * grain, edges[1::2] * grain, strict=True):
        if stretches and first - stretches[-1][1] < _HOLE:
            stretches[-1] = (stretches[-1][0], int(end))
        else:
            stretches.append((int(first), int(end)))
    return [(first, end) for first, end in stretches if end - first >= RATE // 10]
