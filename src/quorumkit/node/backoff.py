"""How long what failed waits before it is tried again: twice as long each time, up to a bound."""

from __future__ import annotations


class Backoff:
    """Of one thing that is tried again and again; in seconds."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self.pause = first
        """The next one."""

    def next(self) -> float:
        """The pause before the next try; the one after that is twice as long."""
        pause, self.pause = self.pause, min(self.pause * 2, self._longest)
        return pause

    def start_over(self) -> None:
        """It went well: the next pause is the first again."""
        self.pause = self._first
