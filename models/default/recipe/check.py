"""A second opinion on every recording: what else YAMNet hears in it, and whether it hears what the label says."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.default.recipe import more
from models.default.recipe.classes import BACKGROUND, BY_ESC10, COLUMN, IMPLIED
from models.default.recipe.corpus import RATE, CorpusClip, samples_of
from models.default.recipe.speaking import Silero
from models.default.recipe.teacher import Teacher

_HEARD = 0.2
"""A class of at least this score in some second may be there, though nobody has said so."""
_UNHEARD, _SURE = 0.02, 0.6
"""Below the one for what a label says, above the other for something else: the label is taken to be wrong."""
_TRUSTED = frozenset({"ESC-10", "espeak-ng and flite", "synthesised", "fluid-soundfont-gm", "bucklespring-data"})
_HEARD_IN_NAMED = 0.5
"""As `_HEARD`, of a sound of which it is known what it is, and that it is no class."""
_SHORTEST = int(1.1 * RATE)
_LONGEST = 60 * RATE


def checked(clips: Sequence[CorpusClip], work: Path, models: Path) -> tuple[list[CorpusClip], list[str]]:
    """(clips with what may be in them as well, those left out and why)."""
    kept, wrong = [], []
    scores = heard(clips, work, models)
    for clip in clips:
        if not _asked(clip):
            kept.append(clip)
            continue
        said = scores[clip.path.name]
        own = {clip.label or "", *IMPLIED.get(clip.label or "", ())}
        least = _HEARD if clip.label or not clip.name else _HEARD_IN_NAMED
        others = {label for label, score in said.items() if score >= least and label not in own}
        loudest = max((said[label], label) for label in said if label not in own)
        if clip.origin not in _TRUSTED and clip.label and said[clip.label] < _UNHEARD and loudest[0] > _SURE:
            wrong.append(f"{clip.path.name}: said to be {clip.label}, sounds like {loudest[1]} ({loudest[0]:.2f})")
            continue
        if clip.origin == "ESC-10":
            # its classes were told apart by people, from recordings of one sound each
            others -= set(BY_ESC10.values())
        kept.append(replace(clip, unsure=tuple(sorted({*clip.unsure, *others} - own))))
    return kept, wrong


def _asked(clip: CorpusClip) -> bool:
    """Of speech there is too much to ask, and of places people have said what is in them, but for those in `more`."""
    return clip.kind != "speech" and (clip.kind != "background" or bool(clip.name))


def spoken(clips: Sequence[CorpusClip], models: Path) -> list[CorpusClip]:
    """The clips; those of voices in `more` sound where Silero hears speech, so that a pause is none."""
    silero = Silero(models)
    return [
        replace(clip, stretches=silero.stretches(samples_of(clip), clip.stretches))
        if clip.kind == "speech" and clip.source.startswith(more.PREFIX)
        else clip
        for clip in clips
    ]


def heard(clips: Sequence[CorpusClip], work: Path, models: Path) -> dict[str, dict[str, float]]:
    """File name -> class -> the best score that any of YAMNet's classes for it has in any second; asked once."""
    held = work / "heard.json"
    scores: dict[str, dict[str, float]] = json.loads(held.read_text()) if held.exists() else {}
    missing = [clip for clip in clips if _asked(clip) and clip.path.name not in scores]
    if missing:
        teacher = Teacher(models)
        for clip in missing:
            samples = samples_of(clip)[:_LONGEST]
            samples = np.pad(samples, (0, max(0, _SHORTEST - len(samples))))
            best = teacher.heard(teacher.logits(samples)).max(axis=0)
            scores[clip.path.name] = {
                label: round(float(best[at]), 3) for label, at in COLUMN.items() if at != BACKGROUND
            }
        held.write_text(json.dumps(scores))
    return scores
