"""What the nodes are called, and where those names lead."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from quorumkit.addresses import Endpoint
from quorumkit.errors import UsageError
from quorumkit.notation import is_literal_address
from quorumkit.plan import node_name

_APART = 4
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


@dataclass(frozen=True)
class Names:
    """Every node's host and exchange port by its ordinal: from a list, or a prefix and a number."""

    port: int
    """Where the list says no other, and with a prefix."""
    hosts: tuple[Endpoint, ...] = ()
    prefix: str | None = None
    suffix: str = ""
    first: int = 1
    """The number in the name of ordinal 1: 0 for the pods of a StatefulSet."""

    def endpoint(self, ordinal: int) -> Endpoint | None:
        """None where neither list nor prefix tell: an observer that came later."""
        if ordinal <= len(self.hosts):
            return self.hosts[ordinal - 1]
        if self.prefix is not None:
            return Endpoint(f"{self.prefix}{ordinal - 1 + self.first}{self.suffix}", self.port)
        return None

    def ordinal(self, name: str) -> int:
        """The ordinal of the node with that name; a name in the list, or the prefix and a number with whatever
        follows it (so a pod's bare host name fits a prefix with a suffix).

        Raises:
            UsageError: it is no such name.
        """
        matches = [n for n, host in enumerate(self.hosts, start=1) if name in (host.host, str(host))]
        if len(matches) == 1:
            return matches[0]
        if self.prefix is not None:
            match = re.fullmatch(re.escape(self.prefix) + r"(\d{1,4})(\..*)?", name)
            if match and (ordinal := int(match[1]) + 1 - self.first) >= 1:
                return ordinal
        expected = (
            f"{self.prefix}{self.first}{self.suffix}, {self.prefix}{self.first + 1}{self.suffix}, …"
            if self.prefix is not None
            else ", ".join(map(str, self.hosts))
        )
        raise UsageError(
            f"{name!r} is not one node's name (they are {expected})",
            hint="give --ordinal (QUORUMKIT_ORDINAL), or as --node-name (QUORUMKIT_NODE_NAME) what the others call it",
        )

    def check(self, total: int) -> None:
        """Raises:
        UsageError: there is not a name for each of the first `total` nodes.
        """
        if self.prefix is None and len(self.hosts) < total:
            raise UsageError(
                f"the peer list names {len(self.hosts)} nodes, and the network has {total}",
                hint="name all of them, this one too, in the order of their ordinals; or give --peer-prefix",
            )
        if len(set(self.hosts)) != len(self.hosts):
            raise UsageError("the peer list names a node twice", hint="name each node once, by ordinal")


def parse_peers(text: str, port: int) -> tuple[Endpoint, ...]:
    """A peer list: hosts with or without a port, parted by commas or white space, by ordinal.

    Raises:
        UsageError: one is not HOST or HOST:PORT.
    """
    return tuple(parse_endpoint(part, default_port=port) for part in re.split(r"[,\s]+", text.strip()) if part)


def parse_endpoint(text: str, *, default_port: int | None = None) -> Endpoint:
    """`HOST:PORT`, `[IPV6]:PORT`; `HOST` alone where there is a default port.

    Raises:
        UsageError: it is neither.
    """
    try:
        return Endpoint.parse(text, default_port=default_port)
    except ValueError as error:
        raise UsageError(str(error), hint="for example node2:9546, 10.0.0.2:9546 or [fd00::2]:9546") from None


class Resolver:
    """Names to literal addresses, each time anew: neither we nor the client may keep an old one."""

    def __init__(self, hosts_file: Path | None = None) -> None:
        """`hosts_file` is looked at first (hosts(5): an address and its names a line)."""
        self._hosts_file = hosts_file
        self._missing: set[str] = set()
        self._apart = ThreadPoolExecutor(_APART, thread_name_prefix="names apart")

    async def addresses(self, host: str, *, apart: bool = False) -> list[str]:
        """Every address of a name, in the order they came; empty when it has none now. Those looked up `apart` have few
        threads of their own: a name that is never answered holds one for as long as the system tries."""
        self._missing.discard(host)
        if is_literal_address(host):
            return [host]
        if found := self.from_file(host):
            return found
        loop = asyncio.get_running_loop()
        try:
            if apart:
                look_up = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
                answers = await loop.run_in_executor(self._apart, look_up)
            else:
                answers = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            return list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        except socket.gaierror as error:
            if error.errno in _NO_SUCH_NAME:
                self._missing.add(host)
        except (OSError, UnicodeError):
            pass
        return []

    def is_missing(self, host: str) -> bool:
        """Whether the last look at that name found that there is none; not, where nobody could be asked."""
        return host in self._missing

    def from_file(self, host: str) -> list[str]:
        """What the hosts file says of a name; other programs do not know of it."""
        if self._hosts_file is None:
            return []
        try:
            lines = self._hosts_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        words = [line.partition("#")[0].split() for line in lines]
        return [line[0] for line in words if host in line[1:] and is_literal_address(line[0])]


def listed(ordinals: Sequence[int]) -> str:
    """`node1, node3` for people; the first ten of many."""
    names = [node_name(ordinal) for ordinal in ordinals]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
