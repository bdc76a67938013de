"""Ports for what tests and benchmarks start."""

from __future__ import annotations

import contextlib
import os
import random
import socket

_FIRST, _END = 20_000, 30_000
"""Below 32768, where no outgoing connection takes one before its server starts (ip(7), ip_local_port_range)."""

_SHARES = 8
"""Tests that run side by side do not draw from one another's share: a port drawn is not yet a port bound."""


def free_ports(count: int) -> list[int]:
    """So many different ports on which nothing listens at 127.0.0.1.

    Raises:
        RuntimeError: there are not as many.
    """
    share = _share()
    found: list[int] = []
    for port in random.sample(share, len(share)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"{len(found)} ports are free, not {count}")


def _share() -> range:
    """The ports of this worker of pytest-xdist, whose name is `gw` and a number; all of them elsewhere."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if not worker:
        return range(_FIRST, _END)
    size = (_END - _FIRST) // _SHARES
    first = _FIRST + int(worker.removeprefix("gw")) % _SHARES * size
    return range(first, first + size)
