"""What commands did, and waiting for what they bring about."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

COMMAND = [sys.executable, "-P", "-m", "quorumkit"]


@dataclass
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def poll(check: Callable[[], Any], what: str, *, timeout: float, pause: float) -> Any:
    """What `check` returns, once it is true; `timeout` and the `pause` between two looks are seconds."""
    deadline = time.monotonic() + timeout
    while not (value := check()):
        assert time.monotonic() < deadline, f"not in {timeout:g} s: {what}; last: {value!r}"
        time.sleep(pause)
    return value
