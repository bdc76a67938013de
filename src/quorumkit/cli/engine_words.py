"""What help texts say of the engines, as their recipes have it."""

from __future__ import annotations

from collections.abc import Iterable

import click

from quorumkit.engines import consensus_kinds, kinds, recipe_of, recipes


def _and(names: Iterable[str]) -> str:
    return " and ".join(names)


DEFAULT_ENGINE = kinds()[0]
ENGINE = click.Choice(kinds())
CONSENSUS = click.Choice(list(consensus_kinds()))
DEFAULT_CONSENSUS = ", ".join(f"{recipe_of(kind).consensus[0]} with {kind}" for kind in kinds())
WITH_PRIVATE_TRANSACTIONS = _and(dict.fromkeys(recipe.kind for recipe in recipes() if recipe.private_transactions))
ALWAYS_FREE = _and(dict.fromkeys(recipe.kind for recipe in recipes() if recipe.gas_is_always_free))
