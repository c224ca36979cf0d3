"""Recipes: how a public model becomes a pack. Weights of others come from their own releases, never from here."""

from streamclf.model.recipes.birdnet import BIRDNET
from streamclf.model.recipes.everyday import EVERYDAY
from streamclf.model.recipes.recipe import Recipe
from streamclf.model.recipes.silero import SILERO_VAD
from streamclf.model.recipes.yamnet import YAMNET

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (BIRDNET, EVERYDAY, SILERO_VAD, YAMNET)}
