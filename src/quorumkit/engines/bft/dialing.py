"""CometBFT's peers: it is told of members that are new, and found those that moved.

It looks a name up once, when it first hears of a peer (p2p/netaddress.go, `NewNetAddressString`), and redials that
literal address for good (p2p/switch.go, `reconnectToPeer`): after 20 tries ever more rarely, up to 16 hours apart. One
whose name is unknown at that time is forgotten (`AddPersistentPeers`). So who is missing is looked up here, and dialled
where it is now.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from quorumkit.addresses import Endpoint
from quorumkit.engines.bft.comet_rpc import CometRpc
from quorumkit.engines.bft.members import peers_of
from quorumkit.errors import RpcError
from quorumkit.rpc.base import expecting

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between two looks at who is connected: few while they come, more as it takes long."""

DIAL_AGAIN_AFTER = 15.0
"""Seconds after which one that is missing is dialled once more, although it has not moved. CometBFT logs an error for
each dial that fails, and dials by itself every 5 to 8 s at first."""

FIRST_DIAL_AFTER = 4.0
"""Seconds that one is missing before it is dialled from here the first time: CometBFT does so too, in its first 3 s."""

_LOOKED_UP_WITHIN = 3.0  # seconds


class Dialing:
    """Of one run of the node's processes."""

    def __init__(
        self, comet: CometRpc, record: NodeRecord, *, see_peers: Callable[[int], None], say: Callable[[str, str], None]
    ) -> None:
        """`see_peers` is called with the number of peers that are connected, at each look."""
        self._comet = comet
        self._record = record
        self._see_peers = see_peers
        self._say = say
        self._changed = asyncio.Event()
        self._places: dict[str, Endpoint] = {}
        """What each was last found at: literal addresses, by id."""
        self._dialled: dict[str, tuple[Endpoint | None, float]] = {}
        """Where, where that is known, and when (`time.monotonic`) each that is missing was last dialled."""

    def take(self, record: NodeRecord) -> None:
        """The node's files were written again."""
        before, self._record = peers_of(self._record), record
        for each, place in peers_of(record).items():
            if before.get(each) != place:
                self._dialled[each] = None, float("-inf")
        self._changed.set()

    async def keep(self) -> None:
        """Never returns."""
        pause = SHORTEST_PAUSE
        while True:
            self._changed.clear()
            with contextlib.suppress(RpcError):  # it starts yet, or ends
                if await self._look():
                    pause = LONGEST_PAUSE
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
                    pause = SHORTEST_PAUSE
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _look(self) -> bool:
        """Whether all are connected."""
        wanted = peers_of(self._record)
        answer = await self._comet.call("net_info")
        with expecting("CometBFT: net_info"):
            connected = {str(peer["node_info"]["id"]) for peer in answer["peers"]}
        self._see_peers(len(connected & wanted.keys()))
        self._dialled = {each: dialled for each, dialled in self._dialled.items() if each not in connected}
        missing = wanted.keys() - connected
        if missing:
            await self._find(wanted, missing)
        return not missing

    async def _find(self, wanted: Mapping[str, Endpoint], missing: Iterable[str]) -> None:
        """Dials those that are missing, where they are new, have moved, or were not dialled for long. CometBFT is told
        of all each time: the list of those it redials is replaced."""
        self._places = await _looked_up(wanted, self._places)
        now = time.monotonic()
        moved = []
        is_due = False
        for each in missing:
            began = None, now + FIRST_DIAL_AFTER - DIAL_AGAIN_AFTER
            place, (before, when) = self._places.get(each), self._dialled.setdefault(each, began)
            has_moved = before not in (None, place)
            if place is not None and (has_moved or now - when >= DIAL_AGAIN_AFTER):
                self._dialled[each] = place, now
                is_due = True
                if has_moved or when == float("-inf"):
                    moved.append(str(place))
        if not is_due:
            return
        peers = [f"{each}@{place}" for each, place in self._places.items()]
        await self._comet.call("dial_peers", peers=peers, persistent=True, unconditional=True)
        if moved:
            self._say("INFO", f"CometBFT was told where {', '.join(moved)} is")


async def _looked_up(wanted: Mapping[str, Endpoint], before: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    """Literal addresses, by id. One whose name is unknown now is thought to be where it was."""
    hosts = {place.host for place in wanted.values()}
    addresses = dict(zip(hosts, await asyncio.gather(*map(_address, hosts)), strict=True))
    places: dict[str, Endpoint] = {}
    for each, place in wanted.items():
        if (address := addresses[place.host]) is not None:
            places[each] = Endpoint(address, place.port)
        elif each in before:
            places[each] = before[each]
    return places


async def _address(host: str) -> str | None:
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host))
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, UnicodeError, TimeoutError):
        async with asyncio.timeout(_LOOKED_UP_WITHIN):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            return str(found[0][4][0]) if found else None
    return None
