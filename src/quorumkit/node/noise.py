"""Lines of a process's log that say nothing, many times over, and hide what matters: let through once and then
counted."""

from __future__ import annotations

from quorumkit.process_spec import Noise


class NoiseFilter:
    """Of one run of a process."""

    def __init__(self, noise: Noise | None) -> None:
        self._pattern = noise.pattern if noise is not None else None
        self.left_out = 0
        self._seen = False

    def is_one(self, line: str) -> bool:
        """Whether the line is to be left out, as all of its kind but the first are."""
        if self._pattern is None or not self._pattern.match(line):
            return False
        before, self._seen = self._seen, True
        self.left_out += before
        return before
