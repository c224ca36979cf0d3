"""What a recipe is, and the text files that stand beside the recipes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recipe:
    """A pack that can be made from a public release.

    version: the version its pack will have: the release's own, and a count of our changes to the recipe.
    build(folder, given): writes the pack into `folder`; `given` is what the user named with --from instead of the
    download, or None. Raises `PackError`.
    accept: what a user has to accept before anything is fetched, "" where nothing is; terms: its text, in short.
    languages: the recipe once more, with its labels' names in another language, by that language's code.
    """

    name: str
    version: str
    title: str
    licence: str
    source: str
    build: Callable[[Path, Path | None], None]
    accept: str = ""
    terms: str = ""
    languages: "Mapping[str, Recipe]" = field(default_factory=dict)


def read_bytes(name: str) -> bytes:
    """The content of a file of this package."""
    return resources.files("streamclf.model.recipes").joinpath(name).read_bytes()


def read_text(name: str) -> str:
    """The content of a file of this package (a card, a list of labels)."""
    return resources.files("streamclf.model.recipes").joinpath(name).read_text(encoding="utf-8")
