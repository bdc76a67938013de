"""What help texts say of the engines, as their recipes have it."""

from __future__ import annotations

from collections.abc import Iterable

import click

from quorumkit.engines import kinds, recipe_of

_RECIPES = [recipe_of(kind) for kind in kinds()]


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)


DEFAULT_ENGINE = kinds()[0]
ENGINE = click.Choice(kinds())
CONSENSUS = click.Choice(list(dict.fromkeys(kind for recipe in _RECIPES for kind in recipe.consensus)))
DEFAULT_CONSENSUS = ", ".join(f"{recipe.consensus[0]} with {recipe.kind}" for recipe in _RECIPES)
WITH_PRIVATE_TRANSACTIONS = _and(recipe.kind for recipe in _RECIPES if recipe.private_transactions)
ALWAYS_FREE = _and(recipe.kind for recipe in _RECIPES if recipe.gas_is_always_free)
