"""The scenes that a run learns from, made once: spectra, truth and the teacher's answers, `SHARD` scenes a file."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from models.default.recipe.classes import CLASSES, LABELS
from models.default.recipe.corpus import CorpusClip, Split, load
from models.default.recipe.features import spectra
from models.default.recipe.scenes import EVALUATION, TRAINING, FramedScene, FramedScenes
from models.default.recipe.teacher import Teacher
from streamclf.errors import StreamclfError
from streamclf.types import F32

SHARD = 100
PLAIN = replace(
    TRAINING, beds=(0.6, 0.4, 0.0, 0.0), events=(1, 1), whole=1.0, snr_db=(5.0, 40.0), band=0.1, speed=0.6, clip=0.0
)
"""One recording by itself, as it is: how clips are judged, and how one sound in a quiet room is heard."""
DIALOGUE = replace(TRAINING, beds=(0.05, 0.35, 0.6, 0.0), events=(1, 4), snr_db=(-5.0, 25.0))
"""Speakers in noise, weather and engines."""
_TEN = {one.label for one in CLASSES if one.esc10}
_OF_TEN, _OF_ALL, _DIALOGUES = 1, 4, 6
"""Of ten scenes 1 is a plain one of ESC-10's classes, 3 are plain ones of any, 2 dialogues, the others full."""
Part = Literal["train", "choose", "backgrounds"]
"""What scenes are for: to learn from; and, of the recordings kept for choosing, with sounds or of backgrounds alone."""
BACKGROUNDS = frozenset({"rain", "water", "fire", "wind"})
"""Sounds that are backgrounds to all others."""
_BEHIND_SPEECH = frozenset({"rain", "water", "fire", "helicopter", "engine", "train", "wind"})
BEFORE = Path(__file__).parents[1]
"""The pack of the default model that stands beside the recipe: what it hears is taught as well."""
_BANKS = 12
"""Of noises: what a threshold has to stand, since no recording tells what hums in other people's rooms."""
_NOISE = replace(PLAIN, beds=(0.0, 1.0, 0.0, 0.0), events=(0, 0))
_PLACES = replace(PLAIN, beds=(0.0, 0.0, 0.5, 0.5), events=(0, 0))


@dataclass(frozen=True, slots=True)
class Pool:
    """n scenes. spectra: (n, frames, bands); strong: (n, rows, classes); known: (n, classes); taught: (n, windows,
    teacher's classes), log odds; heard: (n, windows, classes), what these say of the net's own classes. No windows
    where no teacher was asked.
    """

    spectra: npt.NDArray[np.float16]
    strong: npt.NDArray[np.bool_]
    known: npt.NDArray[np.bool_]
    taught: npt.NDArray[np.float16]
    heard: npt.NDArray[np.float16]

    def first(self, count: int) -> "Pool":
        """The first `count` scenes."""
        return Pool(*(getattr(self, one.name)[:count] for one in fields(self)))


class SceneSource(Protocol):
    """A row of scenes."""

    def scene(self, number: int) -> FramedScene:
        """Scene `number`, from 0 on."""


class Mixture:
    """Scenes of several kinds in turn: full ones, and single recordings as they are."""

    def __init__(self, clips: Sequence[CorpusClip], split: Split, *, seed: int = 0) -> None:
        self._full = FramedScenes(clips, split, TRAINING if split == "train" else EVALUATION, seed=seed)
        self._plain = FramedScenes(clips, split, PLAIN, seed=seed)
        self._ten = FramedScenes([clip for clip in clips if clip.label in _TEN], split, PLAIN, seed=seed)
        self._dialogues = FramedScenes(_spoken(clips), split, DIALOGUE, seed=seed)

    def scene(self, number: int) -> FramedScene:
        """Scene `number`, from 0 on."""
        kind = number % 10
        if kind < _OF_TEN:
            return self._ten.scene(number)
        if kind < _OF_ALL:
            return self._plain.scene(number)
        return (self._dialogues if kind < _DIALOGUES else self._full).scene(number)


class BackgroundScenes:
    """In turn: noise of many colours, places, and weather, water and the like by themselves."""

    def __init__(self, clips: Sequence[CorpusClip], split: Split) -> None:
        steady = [clip for clip in clips if clip.label in BACKGROUNDS]
        self._noises = [FramedScenes([], split, _NOISE, seed=seed) for seed in range(_BANKS)]
        self._others = [FramedScenes(clips, split, _PLACES), FramedScenes(steady, split, PLAIN)]

    def scene(self, number: int) -> FramedScene:
        """Scene `number`, from 0 on."""
        turn, kind = divmod(number, 1 + len(self._others))
        return (self._others[kind - 1] if kind else self._noises[turn % _BANKS]).scene(number)


def _spoken(clips: Sequence[CorpusClip]) -> list[CorpusClip]:
    """Speech, and what may lie behind it."""
    behind = [
        replace(clip, kind="background", unsure=(*clip.unsure, clip.label))
        for clip in clips
        if clip.label in _BEHIND_SPEECH and not {"speech", "crowd", "music"} & set(clip.unsure)
    ]
    return [clip for clip in clips if clip.kind in ("speech", "background")] + behind


def source(part: Part, clips: Sequence[CorpusClip]) -> SceneSource:
    """The scenes of `part` out of the clips of the whole corpus."""
    if part == "backgrounds":
        return BackgroundScenes(clips, "choose")
    return Mixture(clips, "choose" if part == "choose" else "train")


def render(
    work: Path, part: Part, count: int, *, models: Path | None, processes: int, say: Callable[[str], None]
) -> None:
    """Write the first `count` scenes of `part` into `work`, but for the files that are there. models: the folder with
    the teacher's pack, None to ask none.
    """
    folder = work / "pool"
    folder.mkdir(parents=True, exist_ok=True)
    todo = [at for at in range(-(-count // SHARD)) if not _shard(work, part, at).exists()]
    if not todo:
        return
    with ProcessPoolExecutor(processes, initializer=_begin, initargs=(work, part, models)) as workers:
        for done, at in enumerate(workers.map(_render, todo), start=1):
            say(f"{part}: scenes to {(at + 1) * SHARD} ({done} of {len(todo)} files)")


def read(work: Path, part: Part, count: int) -> Pool:
    """The first `count` scenes, whole files."""
    parts: dict[str, list[Any]] = {"spectra": [], "strong": [], "known": [], "taught": [], "heard": []}
    for at in range(-(-count // SHARD)):
        with np.load(_shard(work, part, at)) as held:
            if tuple(held["labels"]) != LABELS or not set(parts) <= set(held):
                raise StreamclfError(
                    f"{work / 'pool'} was made by another version; remove the folder, it is made again"
                )
            for name, pile in parts.items():
                pile.append(held[name])
    return Pool(**{name: np.concatenate(pile) for name, pile in parts.items()})


def _shard(work: Path, part: Part, at: int) -> Path:
    return work / "pool" / f"{part}-{at:04d}.npz"


_worker: Any = None


def _begin(work: Path, part: Part, models: Path | None) -> None:
    """A process's own scenes and teacher."""
    global _worker
    scenes = source(part, load(work))
    teacher = None
    if models:
        # torch is for those that ask alone
        from models.default.recipe import start

        teacher = Teacher(models, start.listener(BEFORE))
    _worker = work, part, scenes, teacher


def _render(at: int) -> int:
    work, part, scenes, teacher = _worker
    made = [scenes.scene(number) for number in range(at * SHARD, (at + 1) * SHARD)]
    told: list[tuple[F32, F32]] = [(np.zeros((0, 0), dtype=np.float32),) * 2] * len(made)
    if teacher:
        told = [teacher.told(scene.samples, asked=not scene.known.all()) for scene in made]
    taught, heard = zip(*told, strict=True)
    path = _shard(work, part, at)
    unfinished = path.with_suffix(".part.npz")
    np.savez(
        unfinished,
        labels=np.array(LABELS),
        spectra=np.concatenate([spectra(scene.samples[None]) for scene in made]).astype(np.float16),
        strong=np.stack([scene.strong for scene in made]),
        known=np.stack([scene.known for scene in made]),
        taught=np.asarray(taught, dtype=np.float16),
        heard=np.asarray(heard, dtype=np.float16),
    )
    os.replace(unfinished, path)
    return at
