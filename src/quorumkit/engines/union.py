"""A kind's recipe, driver and acquirer in one, with the names that an engine had when it was one class: for callers
that do not ask the one they mean yet. It goes with the last of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from quorumkit.engines.base import Acquirer, Driver, Recipe
from quorumkit.process_spec import LoggedLine

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord


class Engine(Recipe, Driver, Acquirer, Protocol):
    """All that a kind answers."""

    noise_is: str

    @property
    def noise(self) -> re.Pattern[str] | None: ...
    def run_command(self, binary: Path, record: NodeRecord, *, admission: str | None = None) -> list[str]: ...
    def can_be_asked(self, line: str, record: NodeRecord) -> bool: ...
    def failure_in(self, line: str) -> str | None: ...


class _OldNames:
    _recipe: Any

    @property
    def noise(self) -> re.Pattern[str] | None:
        return cast("re.Pattern[str]", self._recipe.noise.pattern)

    @property
    def noise_is(self) -> str:
        return str(self._recipe.noise.what)

    def run_command(self, binary: Path, record: NodeRecord, *, admission: str | None = None) -> list[str]:
        return list(self._recipe.processes(binary, record, admission=admission)[0].argv)

    def can_be_asked(self, line: str, record: NodeRecord) -> bool:
        ready = self._recipe.processes(Path("client"), record)[0].ready
        return isinstance(ready, LoggedLine) and ready.is_one(line)

    def failure_in(self, line: str) -> str | None:
        return cast("str | None", self._recipe.why_it_ends(line))


def union_of(recipe: Recipe, driver: Driver, acquirer: Acquirer) -> Engine:
    """All three in one object."""
    bases = (_OldNames, type(recipe), type(driver), type(acquirer))
    return cast("Engine", type("Engine", bases, {"_recipe": recipe})())
