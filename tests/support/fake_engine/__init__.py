"""A tiny engine, of three processes a node: `engine`, and behind it `store` and `client`, one after the other.
A real one is made the same way: a package of a recipe, a driver and an acquirer, named in the engines' one list.
"""

from __future__ import annotations

import pytest

from quorumkit import engines

KIND = "fake"


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts it into the list, until the test ends."""
    monkeypatch.setitem(engines.PACKAGES, KIND, (__name__,))
