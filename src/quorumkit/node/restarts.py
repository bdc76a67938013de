"""When a group of processes that ended is started again, and one that starts again by itself."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from quorumkit.node.backoff import Backoff

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
"""Seconds: a client that dies waits 0.1 s for its next start, then twice as long each time, up to 30 s."""

HEALTHY_AFTER = 60.0
"""Seconds: one that ran for so long starts over at 0.1 s, whatever it did meanwhile."""

FAILED_AFTER = 3
"""Deaths in a row before a node that is still being restarted is called failed."""

ALONE_FIRST_DELAY = 0.2
ALONE_LONGEST_DELAY = 10.0
"""Seconds: a process that is started again by itself waits so long, and at most so long. One that ran for longer than
the longest pause starts over at the first."""

ALONE_DEATHS = 3
"""Ends before it was ever ready, after which such a process is given up for this start of the node."""

MOST_DEATHS = 30
WITHIN = 600.0
"""One that was in step with its peers before it died starts over too: what ends it then comes from outside, and others
may wait for it. If it died more than 30 times within 600 s it ends by itself, and counts as one that never ran."""


MOST_AT_ONCE = 3
AT_ONCE_WITHIN = 600.0
"""One that ends to be started again is, at once and as if it had never ended, 3 times within 600 s. After that it does
not heal by it, and counts as one that died."""


class Restarts:
    """Of one node: its deaths in a row, and how long it waits after each."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._in_a_row = 0
        self._backoff = Backoff(FIRST_DELAY, LONGEST_DELAY)
        self._latest: deque[float] = deque(maxlen=MOST_DEATHS + 1)
        self._at_once: deque[float] = deque(maxlen=MOST_AT_ONCE)

    def forget(self) -> None:
        """Somebody stopped or started the node: what was before counts no more."""
        self._latest.clear()
        self._at_once.clear()
        self._start_over()

    def at_once(self) -> bool:
        """Whether a group that ended to be started again is, without a pause and a death counted."""
        now = self._now()
        if len(self._at_once) == MOST_AT_ONCE and now - self._at_once[0] <= AT_ONCE_WITHIN:
            return False
        self._at_once.append(now)
        return True

    def died(self, *, ran_for: float, was_ready: bool) -> float:
        """Seconds until the next start of a client that ran for `ran_for` seconds, and in that time was in step with
        its peers, or not."""
        now = self._now()
        self._latest.append(now)
        too_often = len(self._latest) > MOST_DEATHS and now - self._latest[0] <= WITHIN
        if ran_for > HEALTHY_AFTER or (was_ready and not too_often):
            self._start_over()
        self._in_a_row += 1
        return self._backoff.next()

    @property
    def any(self) -> bool:
        """Whether the node is being started again after a death."""
        return self._in_a_row > 0

    @property
    def failed(self) -> bool:
        """Whether it keeps dying."""
        return self._in_a_row >= FAILED_AFTER

    def _start_over(self) -> None:
        self._in_a_row = 0
        self._backoff.start_over()
