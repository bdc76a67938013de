"""Lines of a client's log that say nothing, many times over, and hide what matters: told once and then counted."""

from __future__ import annotations

import re


class Noise:
    """Of one run of the client."""

    def __init__(self, pattern: re.Pattern[str] | None) -> None:
        self._pattern = pattern
        self.left_out = 0
        self._seen = False

    def is_one(self, line: str) -> bool:
        """Whether the line is to be left out, as all of its kind but the first are."""
        if self._pattern is None or not self._pattern.match(line):
            return False
        before, self._seen = self._seen, True
        self.left_out += before
        return before
