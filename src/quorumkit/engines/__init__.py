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
    "consensus_kinds",
    "driver_of",
    "kinds",
    "named_ports",
    "recipe_of",
    "recipes",
    "recipes_of",
]

PACKAGES: dict[str, tuple[str, ...]] = {
    "geth": (f"{__name__}.bft", f"{__name__}.geth"),
    "goquorum": (f"{__name__}.goquorum",),
}
"""By kind, the default first: its packages, the default first. Each is for other consensus kinds, and consists of
the modules `recipe`, `driver` and `acquire` with one of each in it."""


def kinds() -> tuple[str, ...]:
    """The engines there are, the default first."""
    return tuple(PACKAGES)


def recipes_of(kind: str) -> tuple[Recipe, ...]:
    """All ways to make and run a node of that kind, the default first. Pure."""
    return tuple(_module(package, "recipe").RECIPE for package in PACKAGES[kind])


def recipes() -> tuple[Recipe, ...]:
    """Those of all kinds, the default first."""
    return tuple(recipe for kind in kinds() for recipe in recipes_of(kind))


def consensus_kinds() -> tuple[str, ...]:
    """The consensus kinds that any engine runs, the default first."""
    return tuple(dict.fromkeys(kind for recipe in recipes() for kind in recipe.consensus))


def recipe_of(kind: str, consensus: str | None = None) -> Recipe:
    """How a node of that kind is made and run with that consensus kind (the spec has checked that there is one);
    without it, or with one that it does not run, with its default. Pure."""
    recipe: Recipe = _module(_package(kind, consensus), "recipe").RECIPE
    return recipe


def named_ports() -> Mapping[str, NamedPort]:
    """What nodes of any kind need beyond the ports for their peers and for JSON-RPC, by name."""
    return _ports_of(recipes())


@cache
def _ports_of(all_recipes: tuple[Recipe, ...]) -> Mapping[str, NamedPort]:
    return {name: port for one in all_recipes for kind in one.consensus for name, port in one.ports(kind).items()}


def driver_of(kind: str, consensus: str | None = None) -> Driver:
    """What speaks to a node of that kind while it runs; `consensus` as with `recipe_of`."""
    driver: Driver = _module(_package(kind, consensus), "driver").DRIVER
    return driver


def acquirer_of(kind: str, consensus: str | None = None) -> Acquirer:
    """What has the programs of that kind; `consensus` as with `recipe_of`."""
    acquirer: Acquirer = _module(_package(kind, consensus), "acquire").ACQUIRER
    return acquirer


def _package(kind: str, consensus: str | None) -> str:
    packages = PACKAGES[kind]
    if consensus is None or len(packages) == 1:
        return packages[0]
    return next((one for one in packages if consensus in _module(one, "recipe").RECIPE.consensus), packages[0])


def _module(package: str, name: str) -> Any:
    return import_module(f"{package}.{name}")
