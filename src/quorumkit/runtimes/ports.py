"""Ports on the loopback interface for a network's nodes: one block for RPC, one for peers.

Blocks that other networks of the same user hold, running or not, are left to them: a small register in the user's cache
remembers whose they are, so that two networks that start at the same moment do not choose the same.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from quorumkit.cache import cache_directory
from quorumkit.errors import PortError
from quorumkit.files import to_json, write_atomic
from quorumkit.spec import SPEC_NAME, PortsSpec

LOOPBACK = "127.0.0.1"
_FIRST = {"rpc": 8545, "p2p": 30303}
_LAST = {"rpc": 29999, "p2p": 32767}
"""Below 32768 Linux hands no port out by itself (ip(7), ip_local_port_range)."""


@dataclass(frozen=True)
class PortBlocks:
    """The first port of each block; node n has the n-th."""

    rpc: int
    p2p: int


def port_is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose_ports(
    directory: Path,
    asked: PortsSpec,
    total: int,
    *,
    keep: PortBlocks | None = None,
    running: frozenset[int] = frozenset(),
) -> PortBlocks:
    """Blocks of `total` ports: those the spec asks for, else those to `keep` if they are free, else the next free ones.

    `running` are ports that the network itself listens on now.

    Raises:
        PortError: a port that was asked for is taken, or there is no free block.
    """
    with _register() as held:
        mine = str(directory.absolute())
        others = {
            kind: [range(block[kind][0], block[kind][1]) for name, block in held.items() if name != mine]
            for kind in _FIRST
        }
        chosen: dict[str, int] = {}
        for kind in _FIRST:
            wanted = getattr(asked, kind)
            kept = getattr(keep, kind) if keep else None
            if wanted is not None:
                for port in range(wanted, wanted + total):
                    if port not in running and not port_is_free(port):
                        raise PortError(
                            f"ports.{kind}: port {port} is taken{_by_whom(port)}",
                            hint=f"stop what holds it, or change ports.{kind} in {SPEC_NAME} or remove it there",
                        )
                chosen[kind] = wanted
            elif kept is not None and all(p in running or port_is_free(p) for p in range(kept, kept + total)):
                chosen[kind] = kept
            else:
                chosen[kind] = _free_block(kind, total, others)
        held[mine] = {kind: [first, first + total] for kind, first in chosen.items()}
    return PortBlocks(**chosen)


def _free_block(kind: str, total: int, others: dict[str, list[range]]) -> int:
    first = _FIRST[kind]
    while first + total - 1 <= _LAST[kind]:
        block = range(first, first + total)
        taken = [other for ranges in others.values() for other in ranges if _overlap(block, other)]
        if taken:
            first = max(other.stop for other in taken)
            continue
        busy = [port for port in block if not port_is_free(port)]
        if not busy:
            return first
        first = busy[-1] + 1
    raise PortError(
        f"no {total} free ports in a row from {_FIRST[kind]} to {_LAST[kind]} for {kind}",
        hint=f"stop other networks, or give the first port of a block yourself as ports.{kind} in {SPEC_NAME}",
    )


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _by_whom(port: int) -> str:
    """The process that listens on a port, where this user may know it."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                with contextlib.suppress(psutil.Error):
                    return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


@contextlib.contextmanager
def _register() -> Iterator[dict[str, dict[str, list[int]]]]:
    """The register, under its lock; written back at the end. Networks that are gone are dropped from it."""
    from filelock import FileLock

    path = cache_directory() / "ports.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        held: dict[str, dict[str, list[int]]] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, IndexError):
            for name, block in json.loads(path.read_bytes()).items():
                if (Path(name) / SPEC_NAME).exists():
                    held[name] = {kind: [int(block[kind][0]), int(block[kind][1])] for kind in _FIRST}
        yield held
        write_atomic(path, to_json(held), durable=False)
