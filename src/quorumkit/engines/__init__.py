"""Engines: which client implements a node. Each is a folder with a recipe, a driver and an acquirer (`base`). This is
their one list, and nothing outside a kind's folder knows more of it than it answers.

What a kind consists of is imported when it is asked for: a recipe costs next to nothing and does no I/O with others, a
driver and an acquirer do.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from quorumkit.engines.base import Acquirer, Binary, Driver, NamedPort, Recipe, Standing

__all__ = [
    "Acquirer",
    "Binary",
    "Driver",
    "NamedPort",
    "Recipe",
    "Standing",
    "acquirer_of",
    "driver_of",
    "kinds",
    "named_ports",
    "recipe_of",
]

PACKAGES = {kind: f"{__name__}.{kind}" for kind in ("geth", "goquorum")}
"""By kind, the default first: a package of the modules `recipe`, `driver` and `acquire`, with one of each in it."""


def kinds() -> tuple[str, ...]:
    """The engines there are, the default first."""
    return tuple(PACKAGES)


def recipe_of(kind: str) -> Recipe:
    """How a node of that kind is made and run (the spec has checked that there is one). Pure."""
    recipe: Recipe = _module(kind, "recipe").RECIPE
    return recipe


def named_ports() -> Mapping[str, NamedPort]:
    """What nodes of any kind need beyond the ports for their peers and for JSON-RPC, by name."""
    return _ports_of(tuple(recipe_of(kind) for kind in kinds()))


@cache
def _ports_of(recipes: tuple[Recipe, ...]) -> Mapping[str, NamedPort]:
    return {name: port for recipe in recipes for kind in recipe.consensus for name, port in recipe.ports(kind).items()}


def driver_of(kind: str) -> Driver:
    """What speaks to a node of that kind while it runs."""
    driver: Driver = _module(kind, "driver").DRIVER
    return driver


def acquirer_of(kind: str) -> Acquirer:
    """What has that kind's client binary."""
    acquirer: Acquirer = _module(kind, "acquire").ACQUIRER
    return acquirer


def _module(kind: str, name: str) -> Any:
    return import_module(f"{PACKAGES[kind]}.{name}")
