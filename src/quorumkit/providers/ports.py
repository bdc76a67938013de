"""Ports on the loopback interface for a network's nodes: one block for RPC, one for peers.

Blocks that other networks of the same user hold, running or not, are left to them (see `register`).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence

from quorumkit.engines import named_ports
from quorumkit.errors import PortError
from quorumkit.plan import NodeEndpoints
from quorumkit.providers.register import Register
from quorumkit.spec import SPEC_NAME

LOOPBACK = "127.0.0.1"
_FIRST = {"exchange": 6545, "rpc": 8545, "tm": 24000, "p2p": 30303}
_LAST = {"exchange": 8544, "rpc": 23999, "tm": 26999, "p2p": 32767}
"""Below 32768 Linux hands no port out by itself (ip(7), ip_local_port_range). Those that only some kinds of client
need have theirs in `NamedPort.block`."""
_APART = "+"
"""Marks a second block in the register: that of nodes for which there was no room after the first ones."""


def port_is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose_each(
    register: Register,
    kind: str,
    asked: int | None,
    total: int,
    *,
    held: Sequence[int] = (),
    running: frozenset[int] = frozenset(),
    fixed: bool = False,
) -> list[int]:
    """Every node's port of that kind, by ordinal, noted in the register.

    They are one block, the one that is asked for or a free one; but nodes that have a port already (`held`, by ordinal)
    keep it, and those that are new come right after them, or else together elsewhere. `running` are ports that the
    network itself listens on now. `fixed` nodes cannot take another port.

    Raises:
        PortError: a port that is asked for, or held and fixed, is taken; or there is no free block.
    """
    held = held[:total]
    taken = [port for port in held if port not in running and not port_is_free(port)]
    if fixed and (taken or (held and asked not in (None, held[0]))):
        port = taken[0] if taken else held[0]
        what = f"port {port} is taken{port_holder(port)}" if taken else f"node1 listens on {port}"
        raise PortError(
            f"ports.{kind}: {what}, and no node can move now",
            hint="stop what holds it" if taken else f"`quorumkit down` first, or leave ports.{kind} as it was",
        )
    if asked is None and held and not taken:
        new = _block_after(register, kind, held, total - len(held)) if len(held) < total else range(0)
        ports = [*held, *new]
    else:
        first = choose_block(register, kind, asked, total, running=running)
        ports = [*range(first, first + total)]
    in_a_row = next((n for n, port in enumerate(ports) if port != ports[0] + n), total)
    register.mine.ports[kind] = range(ports[0], ports[0] + in_a_row)
    register.mine.ports.pop(kind + _APART, None)
    if apart := ports[in_a_row:]:
        register.mine.ports[kind + _APART] = range(min(apart), max(apart) + 1)
    return ports


def held_ports(present: Sequence[NodeEndpoints | None], port_of: Callable[[NodeEndpoints], int | None]) -> list[int]:
    """The ports that nodes have, by ordinal, up to the last node that has one. One whose record is gone has, as far as
    can be told, the one after its neighbour's."""
    ports = [port_of(node) if node else None for node in present]
    while ports and not ports[-1]:
        ports.pop()
    known = next((place for place, port in enumerate(ports) if port), 0)
    held: list[int] = []
    for place, port in enumerate(ports):
        held.append(port or (held[-1] + 1 if held else int(ports[known] or 0) - known + place))
    return held


def _block_after(register: Register, kind: str, held: Sequence[int], count: int) -> range:
    """The next ports, where they are free; else a block elsewhere."""
    block = range(held[-1] + 1, held[-1] + 1 + count)
    taken = [range(port, port + 1) for port in held] + _taken(register, kind)
    last = _bounds(kind)[1]
    if block[-1] <= last and all(map(port_is_free, block)) and not any(_overlap(block, one) for one in taken):
        return block
    first = _free_block(kind, count, taken)
    return range(first, first + count)


def _taken(register: Register, kind: str) -> list[range]:
    """What other networks hold of that kind."""
    return [block for other in register.others for name, block in other.ports.items() if name in (kind, kind + _APART)]


def choose_block(
    register: Register,
    kind: str,
    asked: int | None,
    total: int,
    *,
    keep: int | None = None,
    running: frozenset[int] = frozenset(),
) -> int:
    """The first port of one block of `total` ports, noted in the register: the one that is asked for, else the one to
    `keep` if it is free, else the next free one. `running` are ports that the network itself listens on now.

    Raises:
        PortError: a port that was asked for is taken, or there is no free block.
    """

    def usable(port: int) -> bool:
        return port in running or port_is_free(port)

    if asked is not None:
        for port in range(asked, asked + total):
            if not usable(port):
                raise PortError(
                    f"ports.{kind}: port {port} is taken{port_holder(port)}",
                    hint=f"stop what holds it, or change ports.{kind} in {SPEC_NAME} or remove it there",
                )
        first = asked
    elif keep is not None and all(usable(port) for port in range(keep, keep + total)):
        first = keep
    else:
        first = _free_block(kind, total, _taken(register, kind))
    register.mine.ports[kind] = range(first, first + total)
    return first


def _free_block(kind: str, total: int, taken: list[range]) -> int:
    start, last = _bounds(kind)
    first = start
    while first + total - 1 <= last:
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
        f"no {total} free ports in a row from {start} to {last} for {kind}",
        hint=f"stop other networks, or give the first port of a block yourself as ports.{kind} in {SPEC_NAME}",
    )


def _bounds(kind: str) -> tuple[int, int]:
    """The first and the last port that there is for that kind."""
    if kind in _FIRST:
        return _FIRST[kind], _LAST[kind]
    block = named_ports()[kind].block
    return block[0], block[-1]


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def port_holder(port: int) -> str:
    """The process that listens on a port, where this user may know it."""
    import psutil

    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                with contextlib.suppress(psutil.Error):
                    return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
