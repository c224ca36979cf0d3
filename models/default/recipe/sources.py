"""What is in which folder: every recording with its class, its source, its licence and its split."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import soundfile

from models.default.recipe.classes import BY_ESC10
from models.default.recipe.corpus import RATE, CorpusClip, Kind, Split
from streamclf.audio.sources.recording import SUFFIXES

# name -> class (None: a background of its own), classes that may be in it as well, split, licence
_AMBIENCE: dict[str, tuple[str | None, tuple[str, ...], Split, str]] = {
    "birds": ("bird", ("insect", "wind"), "train", "CC0"),
    "boat": ("water", ("wind", "engine"), "choose", "CC0"),
    "city": (None, ("engine", "speech", "bird", "crowd", "wind"), "test", "CC BY"),
    "coffee-shop": (None, ("speech", "crowd", "music"), "train", "public domain"),
    "fireplace": ("fire", (), "train", "public domain"),
    "pink-noise": (None, (), "train", "CC BY-SA"),
    "rain": ("rain", ("water", "thunder"), "train", "CC BY"),
    "storm": ("thunder", ("rain", "wind"), "train", "CC BY"),
    "summer-night": ("insect", (), "train", "public domain"),
    "train": ("train", (), "test", "CC BY 3.0"),
    "waves": ("water", ("bird", "wind"), "train", "CC BY"),
    "white-noise": (None, (), "test", "CC BY-SA"),
    "wind": ("wind", (), "train", "CC0"),
}
_CLIPS: dict[str, tuple[str | None, Split, str]] = {
    "arcade_music": ("music", "train", "CC BY"),
    "car_engine": ("engine", "train", "CC BY"),
    "cinematic": ("music", "test", "CC BY"),
    "crowd_cheering": ("crowd", "train", "CC0"),
    "jazz_guitar": ("music", "test", "CC0"),
    "piano": ("music", "train", "CC BY"),
    "snoring": (None, "train", "CC BY"),
    "thunder": ("thunder", "test", "CC BY"),
    "train": ("train", "train", "CC0"),
    "typing": ("keyboard", "test", "CC0"),
}
_ANIMALS: dict[str, tuple[str, Split, str]] = {
    "WhiLbl0010_110411-DC-01": ("bird", "test", "BSD-3-Clause, vocalpy"),
    "birds_10s": ("bird", "test", "MIT, opensoundscape"),
    "bl26lb16": ("bird", "test", "BSD-3-Clause, vocalpy"),
}
_SPEAKERS: dict[str, Split] = {"george": "train", "jackson": "train", "lucas": "choose", "nicolas": "test"}
_OUTDOORS = ("bird", "rooster", "insect", "rain", "wind", "thunder", "water", "livestock", "dog", "helicopter")
"""What may be in a natural soundscape that nobody has labelled."""
_CHOOSE_OF_FOLD_3 = 3


def shared(data: Path) -> Iterator[CorpusClip]:
    """The recordings of the data folder."""
    yield from esc10(data / "esc10")
    for name, (label, unsure, split, licence) in _AMBIENCE.items():
        kind: Kind = "event" if label else "background"
        yield clip(data / f"ambience/{name}.ogg", label, kind, f"blanket-{name}", split, licence, "Blanket", unsure)
    for name, (labelled, split, licence) in _CLIPS.items():
        path = data / f"clips/{name}.flac"
        yield clip(path, labelled, "event", f"max-{name}", split, licence, "IBM MAX Audio Classifier samples")
    for name, (labelled, split, licence) in _ANIMALS.items():
        path = data / f"animal_song/{name}.flac"
        yield clip(path, labelled, "event", f"song-{name}", split, licence, "animal_song")
    for path in audio(data / "digits"):
        speaker = path.stem.split("_")[1]
        own = f"fsdd-{speaker}"
        yield clip(path, "speech", "speech", own, _SPEAKERS[speaker], "CC BY-SA 4.0", "Free Spoken Digit Dataset")
    for path in audio(data / "soundscapes"):
        hour = int(path.stem.split("_")[2][:2])
        splits: tuple[Split, ...] = ("train", "test", "choose")
        source = f"maad-{hour:02d}"
        yield clip(path, None, "unlabelled", source, splits[hour % 3], "BSD-3-Clause", "scikit-maad", _OUTDOORS)


def clip(
    path: Path,
    label: str | None,
    kind: Kind,
    source: str,
    split: Split,
    licence: str,
    origin: str,
    unsure: tuple[str, ...] = (),
    name: str = "",
) -> CorpusClip:
    """A recording as it came; its band is what its own rate can hold."""
    high_hz = min(RATE / 2, soundfile.info(path).samplerate * 0.475)
    return CorpusClip(path, label, kind, source, split, licence, origin, high_hz, unsure=unsure, name=name)


def audio(folder: Path) -> list[Path]:
    """Audio files below `folder`, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def shuffled(sources: set[str]) -> list[str]:
    """In an order that does not depend on names that mean something, the same every time."""
    return sorted(sources, key=lambda source: hashlib.sha256(source.encode()).digest())


def esc10(folder: Path) -> Iterator[CorpusClip]:
    """ESC-10 without its fold 5, which is for acceptance: fold 4 is the test, some sources of fold 3 choose."""
    for kind, label in BY_ESC10.items():
        paths = [path for path in audio(folder / kind) if path.stem[0] in "1234"]
        third = shuffled({path.stem.split("-")[1] for path in paths if path.stem[0] == "3"})
        choose: set[str] = set()
        for source in third:
            if sum(path.stem.split("-")[1] in choose for path in paths) < _CHOOSE_OF_FOLD_3:
                choose.add(source)
        for path in paths:
            fold, source = path.stem.split("-")[:2]
            split: Split = "test" if fold == "4" else "choose" if source in choose else "train"
            yield clip(path, label, "event", f"freesound-{source}", split, "CC0 or CC BY 3.0", "ESC-10")
