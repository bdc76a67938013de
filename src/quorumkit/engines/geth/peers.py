"""What a geth answers about its peers, and takes of them: its admin API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quorumkit.addresses import Enode

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord
    from quorumkit.rpc import Rpc


class GethPeers:
    """See `sealing_client.PeeringClient`."""

    async def connected_keys(self, rpc: Rpc) -> frozenset[str]:
        peers = await rpc.call("admin_peers")
        return frozenset(Enode.key_in(peer["enode"]) for peer in peers)

    async def add_peer(self, rpc: Rpc, enode: str) -> None:
        await rpc.call("admin_addTrustedPeer", enode)
        await rpc.call("admin_addPeer", enode)

    async def drop_peer(self, rpc: Rpc, enode: str) -> None:
        """Trust ends first, so that the peer cannot come back in between. A static peer must be dropped to be given
        another address: geth ignores a second one of the same key (p2p/dial.go, addStaticCh)."""
        await rpc.call("admin_removeTrustedPeer", enode)
        await rpc.call("admin_removePeer", enode)

    def seals_before_peers(self, record: NodeRecord) -> bool:
        return False
