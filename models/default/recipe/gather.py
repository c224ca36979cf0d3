"""Stage 1: everything that is to be heard, from the data folder, from Debian packages, and made out of parts."""

import json
from collections.abc import Iterator
from pathlib import Path

from models.default.recipe import check, corpus, debian, made, more, packages, sources
from models.default.recipe.classes import LABELS
from models.default.recipe.corpus import RATE, CorpusClip, Split

_MADE = "made from parts"


def gather(data: Path, work: Path, models: Path) -> None:
    """Fill `work`/corpus and write its index; what is there already is kept.

    data: the folder of recordings. models: the folder that holds `yamnet`, which says what else is to be heard in a
    recording. Raises StreamclfError where something cannot be had.
    """
    packages.fetch(work, more.PACKAGES)
    dropped = corpus.build(work, wanted(data, work))
    clips, wrong = check.checked(corpus.load(work), work, models)
    clips = check.spoken(clips, models)
    corpus.write(work, clips)
    (work / "dropped.txt").write_text("\n".join(dropped + wrong) + "\n")
    (work / "provenance.json").write_text(json.dumps(provenance(clips), indent=1))


def wanted(data: Path, work: Path) -> Iterator[CorpusClip]:
    """Every recording there is, before it is decoded."""
    unpacked = work / "unpacked"
    yield from sources.shared(data)
    yield from more.folder(data / "more")
    yield from more.packaged(data / "more", unpacked)
    yield from debian.sounds(unpacked)
    yield from debian.speech(unpacked)
    for voice, path in made.speak(work / "made/speech"):
        yield sources.clip(path, "speech", "speech", voice, "train", _MADE, "espeak-ng and flite")
    for name, (split, licence, keys) in debian.keys(unpacked).items():
        for path in made.type_out(work / "made/typing", name, keys, 24 if split == "train" else 4):
            yield sources.clip(path, "keyboard", "event", name, split, licence, name.removesuffix("-keys"))
    font = next((unpacked / "fluid-soundfont-gm").rglob("*.sf2"))
    for number, path in enumerate(made.play(work / "made/music", font)):
        yield sources.clip(path, "music", "event", path.stem, _some(number), "MIT", "fluid-soundfont-gm")
    for number, path in enumerate(made.sound_alarms(work / "made/alarms")):
        yield sources.clip(path, "alarm", "event", path.stem, _some(number), _MADE, "synthesised")
    for kind, path in made.sing(work / "made/birds"):
        yield sources.clip(path, "bird", "event", kind, "train", _MADE, "synthesised")


def _some(number: int) -> Split:
    return "choose" if number % 6 == 5 else "train"


def provenance(clips: list[CorpusClip]) -> list[dict[str, object]]:
    """By origin: licence, clips, seconds and classes, for the model card."""
    rows: dict[tuple[str, str], list[CorpusClip]] = {}
    for clip in clips:
        rows.setdefault((clip.origin, clip.licence), []).append(clip)
    return [
        {
            "origin": origin,
            "licence": licence,
            "clips": len(own),
            "sources": len({clip.source for clip in own}),
            "seconds": round(sum(clip.seconds for clip in own)),
            "classes": sorted({clip.label or ("other" if clip.kind == "event" else clip.kind) for clip in own}),
        }
        for (origin, licence), own in sorted(rows.items())
    ]


def counts(clips: list[CorpusClip]) -> str:
    """A table of clips, sources and seconds by class and split."""
    lines = [f"{'class':12} " + " ".join(f"{split:>22}" for split in ("train", "choose", "test"))]
    for label in (*LABELS[:-1], None):
        cells = []
        for split in ("train", "choose", "test"):
            own = [clip for clip in clips if clip.label == label and clip.split == split]
            sounding = sum(b - a for clip in own for a, b in clip.stretches) / RATE
            cells.append(f"{len(own):5} of {len({clip.source for clip in own}):3} {sounding:6.0f} s")
        lines.append(f"{label or 'none':12} " + " ".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)
