"""A subnet for a network's containers that nothing else on this machine uses."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path

from quorumkit.errors import PortError
from quorumkit.providers.register import open_register
from quorumkit.spec import FIRST_HOST, SPEC_NAME

Subnet = ipaddress.IPv4Network

_CANDIDATES = Subnet("172.28.0.0/14")
"""Docker hands out the lower parts of 172.16.0.0/12 first."""


def choose_subnet(directory: Path, nodes: int, in_use: Iterable[Subnet]) -> str:
    """A free private subnet with room for so many nodes, noted in the register.

    Raises:
        PortError: there is none.
    """
    prefix = 24
    while room(f"172.28.0.0/{prefix}") - FIRST_HOST < nodes:
        prefix -= 1
    with open_register(directory) as register:
        taken = [*in_use, *(Subnet(other.subnet) for other in register.others if other.subnet)]
        for candidate in _CANDIDATES.subnets(new_prefix=prefix):
            if not any(candidate.overlaps(other) for other in taken):
                register.mine.subnet = str(candidate)
                return str(candidate)
    raise PortError(
        f"no free subnet in {_CANDIDATES} for {nodes} containers", hint=f"name one as compose.subnet in {SPEC_NAME}"
    )


def clash(subnet: str, in_use: Iterable[Subnet]) -> Subnet | None:
    """The subnet in use that this one overlaps, if there is one."""
    wanted = Subnet(subnet)
    return next((other for other in in_use if wanted.overlaps(other)), None)


def room(subnet: str) -> int:
    """How many nodes it has addresses for: all but the network's own, the gateway's and the broadcast."""
    return Subnet(subnet).num_addresses - 3


def address(subnet: str, ordinal: int, total: int) -> str:
    """The literal address of a node: its ordinal beyond `FIRST_HOST`, or right after the gateway if room is short."""
    network = Subnet(subnet)
    first = FIRST_HOST if network.num_addresses - 2 - FIRST_HOST >= total else 1
    return str(network[first + ordinal])


def manager_address(subnet: str, ordinal: int) -> str:
    """The literal address of a node's transaction manager, where that has a container of its own: counted from the
    subnet's end, so that neither moves when nodes are added."""
    return str(Subnet(subnet)[-1 - ordinal])


def host_subnets() -> list[Subnet]:
    """The IPv4 networks of this machine's interfaces and routes, the default route aside."""
    import psutil

    found = []
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family == socket.AF_INET and one.netmask:
                with contextlib.suppress(ValueError):
                    found.append(Subnet(f"{one.address}/{one.netmask}", strict=False))
    # Columns of /proc/net/route (proc(5)): interface, destination, gateway … mask; little-endian hex.
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            destination, mask = (int.from_bytes(bytes.fromhex(fields[i]), "little") for i in (1, 7))
            if mask:
                found.append(Subnet((destination, bin(mask).count("1"))))
    return found
