"""A store that is new gets from every peer, once, what that one has for this node."""

from __future__ import annotations

import asyncio
import logging

from quorumkit.tm.enclave import Enclave
from quorumkit.tm.parties import Peer
from quorumkit.tm.peer_http import describe
from quorumkit.tm.peers import PeerClient
from quorumkit.tm.store import Store

_RECOVERY_FIRST_PAUSE = 1.0
_RECOVERY_LAST_PAUSE = 60.0
"""Seconds between attempts to get from a peer what it has for this node."""

log = logging.getLogger(__name__)


class Recovery:
    """What others have for this node, for it to have again."""

    def __init__(self, enclave: Enclave, store: Store, peers: PeerClient) -> None:
        self._enclave = enclave
        self._store = store
        self._peers = peers
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        for task in list(self._under_way.values()):
            task.cancel()

    def recover_from(self, peer: Peer) -> None:
        """Has a peer resend everything, unless it has done so once; asks again until it does."""
        if peer.url in self._under_way:
            return
        task = asyncio.create_task(self._recover(peer))
        self._under_way[peer.url] = task
        task.add_done_callback(lambda _: self._under_way.pop(peer.url, None))

    async def _recover(self, peer: Peer) -> None:
        pause = _RECOVERY_FIRST_PAUSE
        while True:
            try:
                if self._store.recovered_from(peer.url):
                    return
                for key in self._enclave.keys:
                    await self._peers.ask_to_resend(peer, key, self._enclave)
                await self._store.mark_recovered_from(peer.url)
                return
            except Exception as error:
                # Whatever it was: the node works meanwhile.
                log.info("%s has not resent yet what it has for this node: %s", peer.url, describe(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RECOVERY_LAST_PAUSE)
