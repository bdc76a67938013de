"""Ports on the loopback interface for a network's nodes: one block for RPC, one for peers.

Blocks that other networks of the same user hold, running or not, are left to them (see `register`).
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path

from quorumkit.errors import PortError
from quorumkit.runtimes.register import Register, open_register
from quorumkit.spec import SPEC_NAME, PortsSpec

LOOPBACK = "127.0.0.1"
_FIRST = {"exchange": 6545, "rpc": 8545, "tm": 24000, "raft": 27000, "p2p": 30303}
_LAST = {"exchange": 8544, "rpc": 23999, "tm": 26999, "raft": 30302, "p2p": 32767}
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
    with open_register(directory) as register:
        return PortBlocks(
            rpc=choose_block(register, "rpc", asked.rpc, total, keep=keep.rpc if keep else None, running=running),
            p2p=choose_block(register, "p2p", asked.p2p, total, keep=keep.p2p if keep else None, running=running),
        )


def choose_block(
    register: Register,
    kind: str,
    asked: int | None,
    total: int,
    *,
    keep: int | None = None,
    running: frozenset[int] = frozenset(),
) -> int:
    """The first port of one block of that kind, chosen like those of `choose_ports` and noted in the register."""

    def usable(port: int) -> bool:
        return port in running or port_is_free(port)

    if asked is not None:
        for port in range(asked, asked + total):
            if not usable(port):
                raise PortError(
                    f"ports.{kind}: port {port} is taken{_by_whom(port)}",
                    hint=f"stop what holds it, or change ports.{kind} in {SPEC_NAME} or remove it there",
                )
        first = asked
    elif keep is not None and all(usable(port) for port in range(keep, keep + total)):
        first = keep
    else:
        first = _free_block(kind, total, [other.ports[kind] for other in register.others if kind in other.ports])
    register.mine.ports[kind] = range(first, first + total)
    return first


def _free_block(kind: str, total: int, taken: list[range]) -> int:
    first = _FIRST[kind]
    while first + total - 1 <= _LAST[kind]:
        block = range(first, first + total)
        overlapping = [other for other in taken if _overlap(block, other)]
        if overlapping:
            first = max(other.stop for other in overlapping)
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
