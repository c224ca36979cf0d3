"""Whether the recipe that ships makes a newer version of a pack than the one that is installed. No network is asked."""

import re
from dataclasses import dataclass

from streamclf.model.pack import Manifest
from streamclf.model.recipes import RECIPES

Order = tuple[str, list[int], str]


@dataclass(frozen=True, slots=True)
class Renewal:
    """version: of what the recipe makes. command: takes it, in place of what is there."""

    version: str
    command: str


def renewal_of(pack: Manifest) -> Renewal | None:
    """What takes its place; None where it is the newest, or is not what the recipe of its name has made."""
    recipe = RECIPES.get(pack.name)
    # somebody's own pack may have the name; neither of the two changes much from version to version
    if recipe is None or (pack.title != recipe.title and pack.source != recipe.source):
        return None
    own_begin, own, own_end = _order(pack.version)
    for language, each in {"": recipe, **recipe.languages}.items():
        begins, numbers, ends = _order(each.version)
        # what comes of another release, or has names in another language, is told apart by its letters
        if (own_begin, own_end) == (begins, ends) and own < numbers:
            accept = f" --accept {each.accept}" if each.accept else ""
            spoken = f" --language {language}" if language else ""
            return Renewal(each.version, f"streamclf models add {pack.name}{accept}{spoken} --replace")
    return None


def _order(version: str) -> Order:
    """What stands before its numbers, these, and what stands behind them."""
    found = re.fullmatch(r"(\D*)(.*?)(\D*)", version)
    assert found is not None
    return found[1], [int(number) for number in re.findall(r"\d+", found[2])], found[3]
