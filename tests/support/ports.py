"""Ports for what tests and benchmarks start."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import random
import socket
from pathlib import Path

_PORTS = range(20_000, 30_000)
"""Below 32768, where no outgoing connection takes one before its server starts (ip(7), ip_local_port_range)."""

_drawn: set[int] = set()
"""By this process: its own locks do not keep it out."""


def free_ports(count: int) -> list[int]:
    """So many different ports on which nothing listens at 127.0.0.1.

    A port drawn is not yet a port bound, and a server that a test ends and starts again leaves its port free for a
    while. So a process keeps what it drew until it ends, from all other processes that draw here: other workers of the
    same run, other runs, benchmarks.

    Raises:
        RuntimeError: there are not as many.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if port not in _drawn and _is_free(port) and _keep(port):
            _drawn.add(port)
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"{len(found)} ports are free, not {count}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def _keep(port: int) -> bool:
    """Locks the byte of that number in a file that all share; the kernel unlocks it when the process ends."""
    try:
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


@functools.cache
def _locks() -> int:
    # Not in the temporary directory: runs may have different ones, and share this machine's ports all the same.
    return os.open(Path(f"/tmp/quorumkit-test-ports-{os.getuid()}"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
