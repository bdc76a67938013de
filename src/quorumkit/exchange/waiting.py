"""How long the exchange waits, for what, and how often it tries again. Seconds, all of it."""

from __future__ import annotations

import asyncio
import random

FIRST_HOLDS = (1.0, 2.0, 5.0)
HOLD = 10.0
"""How long others are asked to hold an answer back until it is whole; the first ones, for identities, are shorter, so
that who is missing is soon known."""

CONNECT = 5.0
"""For a connection to another node."""
ANSWER = 15.0
"""For its answer, on top of the time that it may be held back."""

FIRST_BACK_OFF = 0.05
LONGEST_BACK_OFF = 3.0
"""Between two tries, doubled from the first to the second."""

ASK_AGAIN = 1.0
"""Until who stands at a name that two nodes claim is asked again, where nobody answered."""

SAY_AGAIN = 15.0
"""Between two log lines of what is still missing, where that is the same."""
LOG_AGAIN = 60.0
"""Until the same of one source is logged again."""

RESOLVE_EVERY = 3.0
"""Between two looks at the names of the peers."""
RESOLVE_AGAIN = 1.0
"""The same before the first start, when a node has no address yet."""
LATE_PATIENCE = 2.0
"""How long the names of those who came later may take to be looked up."""
ABSENT_AFTER = 20.0
"""How long an observer that came later must have had no name before it is no peer any more: a pod or container that is
made anew has none for a moment."""

SYNC_EVERY = 30.0
"""Between two looks at another node's members; a change is handed on at once."""
SYNC_PAUSE = 1.0
"""Between two looks at the same node's members when it says that they differ."""


class BackOff:
    """The pauses between tries of one thing."""

    def __init__(self) -> None:
        self._next = FIRST_BACK_OFF

    def reset(self) -> None:
        """Something came of the last try."""
        self._next = FIRST_BACK_OFF

    def pause(self) -> float:
        """The next pause, half as long again or half as short, so that those who began together do not go on so."""
        pause = self._next * random.uniform(0.5, 1.5)  # noqa: S311
        self._next = min(self._next * 2, LONGEST_BACK_OFF)
        return pause


async def happens_within(event: asyncio.Event, seconds: float) -> bool:
    """Waits for an event, so long and no longer; whether it came. (`asyncio.wait_for` of Python 3.11 loses a
    cancellation that comes together with the event.)"""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
