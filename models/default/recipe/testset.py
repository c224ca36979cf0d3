"""What the default model is judged on, as folders of recordings: made out of the test split alone, the same every time.

Written as FLAC with their labels beside them, so that `streamclf eval --data FOLDER` can read each of them as well.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from models.default.recipe.classes import IMPLIED
from models.default.recipe.colours import noise_beds
from models.default.recipe.corpus import RATE, CorpusClip, samples_of
from streamclf.train.data.annotations import Recording, Span
from streamclf.train.data.scenes import LoneSound, Scene, Scenes, SceneSpec, write_scenes
from streamclf.train.evaluate.merit import merged
from streamclf.types import F32

NOISE = "noise"
"""Label of recordings that hold nothing to be named."""
_MIXED = SceneSpec(turns=(1, 4), seconds=10.0, level_db=(-45.0, -25.0))
_DIALOGUE = SceneSpec(seconds=30.0, turns=(4, 8), turn=(2, 5), overlap=False, snr_db=(0.0, 20.0))
_BEHIND_SPEECH = ("rain", "water", "fire", "helicopter", "engine", "train", "wind")
_BEHIND_NOTHING = ("rain", "water", "fire", "wind")
_BESIDE = frozenset({"speech", "music", "bird", "dog", "crowd"})
"""What, if it may sound in a recording as well, would be an event of its own that nobody has marked."""
_BACKGROUND_S = 30
_LEAST_S = 1.0


@dataclass(frozen=True, slots=True)
class BackgroundSet:
    """Recordings without what is to be found. real_s: seconds of different recorded material in them."""

    recordings: list[Recording]
    real_s: float


def clips(test: Sequence[CorpusClip], folder: Path) -> list[Recording]:
    """Every event of the test split by itself, up to 30 s of it; its labels include what is implied."""
    made = []
    for clip in test:
        if clip.kind != "event":
            continue
        path = _write(folder / f"{clip.path.stem}.flac", samples_of(clip)[: 30 * RATE])
        own = (clip.label, *IMPLIED.get(clip.label, ())) if clip.label else ("other",)
        made.append(Recording(path, clip.source, tuple(sorted(own))))
    return made


def mixed(test: Sequence[CorpusClip], folder: Path, count: int) -> list[Recording]:
    """Sounds of all classes at known times in noise of many colours."""
    clear = [clip for clip in test if clip.label and not _BESIDE & set(clip.unsure)]
    # a stretch under 0.1 s has no onset that a 20 ms grid could place
    sounds = [sound for clip in clear for sound in _sounds(clip) if len(sound.samples) > RATE // 10]
    scenes = Scenes(sounds, _beds(), _MIXED, seed=11)
    return _written(folder, [_implied(scenes.scene(number)) for number in range(count)])


def dialogues(test: Sequence[CorpusClip], folder: Path, count: int) -> list[Recording]:
    """Unseen speakers taking turns, in weather, engines and noise."""
    spoken = [sound for clip in test if clip.kind == "speech" for sound in _sounds(clip)]
    behind = [
        LoneSound(samples_of(clip), "", clip.source)
        for clip in test
        if clip.label in _BEHIND_SPEECH and not {"speech", "crowd", "music"} & set(clip.unsure)
    ]
    scenes = Scenes(spoken, [*behind, *_beds()[:8]], _DIALOGUE, seed=12)
    return _written(folder, [scenes.scene(number) for number in range(count)])


def backgrounds(test: Sequence[CorpusClip], folder: Path, hours: float) -> BackgroundSet:
    """Weather, water, fire, places and noise, for `hours` in all: a third noise of many colours, the rest recorded.

    What is shorter than `_LEAST_S` would be heard as a beat. Each recording bears every label that it has or may have,
    so that it counts for the others alone.
    """
    real = [
        clip
        for clip in test
        if clip.seconds >= _LEAST_S and (clip.kind in ("background", "unlabelled") or clip.label in _BEHIND_NOTHING)
    ]
    rng = np.random.default_rng(13)
    beds, made = _beds(), []
    for number in range(round(hours * 3600 / _BACKGROUND_S)):
        if number % 3 == 2 or not real:
            samples = beds[int(rng.integers(len(beds)))].samples
            labels: tuple[str, ...] = (NOISE,)
        else:
            clip = real[int(rng.integers(len(real)))]
            samples, labels = samples_of(clip), tuple(sorted({clip.label or NOISE, *clip.unsure}))
        heard = _looped(samples, rng) * np.float32(10 ** (rng.uniform(-20.0, 0.0) / 20))
        path = _write(folder / f"background-{number:04d}.flac", heard)
        made.append(Recording(path, f"background-{number}", labels))
    return BackgroundSet(made, sum(clip.seconds for clip in real))


def _beds() -> list[LoneSound]:
    made = noise_beds(np.random.default_rng(14))
    return [LoneSound(bed * np.float32(0.05), "", f"bed-{number}") for number, bed in enumerate(made)]


def _sounds(clip: CorpusClip) -> list[LoneSound]:
    samples = samples_of(clip)
    return [LoneSound(samples[first:end], clip.label or "", clip.source) for first, end in clip.stretches]


def _looped(samples: F32, rng: np.random.Generator) -> F32:
    """30 s from somewhere in `samples`, each end of which runs into its beginning over 0.2 s."""
    length, over = _BACKGROUND_S * RATE, RATE // 5
    if len(samples) < length + over:
        fade = np.linspace(0.0, 1.0, over, dtype=np.float32)
        ring = samples[:-over].copy()
        ring[:over] = ring[:over] * np.sqrt(fade) + samples[-over:] * np.sqrt(1 - fade)
        samples = np.tile(ring, -(-(length + over) // len(ring)))
    first = int(rng.integers(len(samples) - length))
    return samples[first : first + length]


def _implied(scene: Scene) -> Scene:
    spans = [Span(s.onset_s, s.offset_s, label) for s in scene.spans for label in (s.label, *IMPLIED.get(s.label, ()))]
    return replace(scene, spans=tuple(merged(spans)))


def _written(folder: Path, scenes: Iterable[Scene]) -> list[Recording]:
    scenes = list(scenes)
    if folder.exists():
        shutil.rmtree(folder)
    write_scenes(folder, scenes)
    return [
        Recording(path, path.stem, tuple(sorted({span.label for span in scene.spans})), scene.spans)
        for path, scene in zip(sorted(folder.glob("*.flac")), scenes, strict=True)
    ]


def _write(path: Path, samples: F32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path
