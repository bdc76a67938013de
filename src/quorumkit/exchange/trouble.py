"""What nobody expected, in the care of one peer: logged with its traceback, and the rest goes on.

Whatever a peer sends must end in a refusal. Should something else come of it all the same, it must not take the node
program with it, which other peers, and the node's client, rest upon.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import Protocol

from quorumkit.foreign import one_line


class Troubles(Protocol):
    """Where it is reported what goes wrong while the node runs on."""

    def report(self, about: str, error: BaseException) -> None:
        """An exception that nobody expected."""
        ...

    def note(self, about: str, text: str | None) -> None:
        """What is wrong with that; None where nothing is any more."""
        ...


class LoggedTroubles:
    """Where there is no status to tell it in: in measurements and tests."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self._say = say

    def report(self, about: str, error: BaseException) -> None:
        self._say("ERROR", f"{about}: {one_line(f'{type(error).__name__}: {error}')}")
        for block in traceback.format_exception(error):
            for line in block.splitlines():
                self._say("ERROR", "  " + one_line(line))

    def note(self, about: str, text: str | None) -> None:
        pass


@contextlib.contextmanager
def contained(troubles: Troubles, about: str) -> Iterator[None]:
    """Nothing but a cancellation leaves the block; what went wrong is reported, and that it no longer does."""
    try:
        yield
    except Exception as error:
        troubles.report(about, error)
    else:
        troubles.note(about, None)
