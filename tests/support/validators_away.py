"""Validators that go away at once and come back: what is the same on every provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable

UP_TO_F_AND_MORE = ((4,), (2, 3), (1, 2, 3), (1, 2, 3, 4))
"""Who of four goes away at once: as many as blocks go on without, and more."""


def goes_on(
    height: Callable[[int], int], nodes: Iterable[int], eventually: Callable[[Callable[[], bool], str], object],
    what: str,
) -> None:  # fmt: skip
    """Waits until all these nodes have two blocks more than any has now."""
    numbers = list(nodes)
    goal = max(map(height, numbers)) + 2
    eventually(lambda: all(height(number) >= goal for number in numbers), what)


def settled(heads: Iterable[int]) -> int:
    """The number of a block that all have, and that no other takes the place of: of four, three have sealed on it."""
    return max(0, min(heads) - 3)
