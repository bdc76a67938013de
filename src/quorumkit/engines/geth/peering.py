"""The running client's static peers: those it is given once it may have them, and those that its files, written again,
have since."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from quorumkit.addresses import Enode
from quorumkit.engines.geth.sealing_client import PeeringClient
from quorumkit.errors import RpcError
from quorumkit.rpc import IpcRpc

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

AGAIN_AFTER = 1.0
"""Seconds after which a client that did not answer is asked again."""

OLD_ADDRESS_LOOK = 3.0
"""Seconds between two looks at a peer that is connected although the client knows it by an old address."""


class Peering:
    """Of one run of the client."""

    def __init__(self, client: PeeringClient, record: NodeRecord, say: Callable[[str, str], None]) -> None:
        self._client = client
        self._record = record
        self._say = say
        self._reloaded = asyncio.Event()
        from_its_start = not client.seals_before_peers(record)
        self._given = {peer.enode.key: peer.enode for peer in record.peers} if from_its_start else {}
        """The static peers that the running client has been given: enode URLs by enode key."""

    def take(self, record: NodeRecord) -> None:
        """The node's files were written again."""
        self._record = record
        self._reloaded.set()

    async def keep(self, rpc: IpcRpc, may_have: asyncio.Event) -> None:
        """Gives the client its peers, from the moment on that it may have them; never returns while the connection is
        open."""
        await may_have.wait()
        while rpc.is_open:
            try:
                anew = bool(self._given)
                while True:
                    self._reloaded.clear()
                    wanted = {peer.enode.key: peer.enode for peer in self._record.peers}
                    await self._give(rpc, wanted, anew=anew)
                    # One that is connected from an old address, and then is not any more, must be given its new one.
                    pause = None if self._given == wanted else OLD_ADDRESS_LOOK
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._reloaded.wait()
                    anew = True
            except RpcError:  # it is slow, or gone
                await asyncio.sleep(AGAIN_AFTER)

    async def _give(self, rpc: IpcRpc, wanted: Mapping[str, Enode], *, anew: bool) -> None:
        """A peer that is connected is left alone even where it is known by an old address, for as long as it is: it
        found its way by itself, and taking it off the client's list to put it on again would cut the connection."""
        if self._given == wanted:
            return
        for key in self._given.keys() - wanted.keys():
            await self._client.drop_peer(rpc, str(self._given[key]))
            del self._given[key]
        connected = await self._client.connected_keys(rpc)
        moved: list[str] = []
        for key, enode in wanted.items():
            present = self._given.get(key)
            if present == enode or (present is not None and key in connected):
                continue
            if present is not None:
                await self._client.drop_peer(rpc, str(present))
            await self._client.add_peer(rpc, str(enode))
            self._given[key] = enode
            moved.append(str(enode.place))
        if moved and anew:
            self._say("INFO", f"the running client was told where {', '.join(moved)} is")
