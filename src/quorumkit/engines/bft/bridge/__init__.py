"""Between CometBFT, which agrees, and geth, which executes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quorumkit.process_spec import Carrier


async def serve(carrier: Carrier) -> None:
    """The bridge of the node that `carrier` runs, until it is cancelled.

    Raises:
        QuorumkitError: the node cannot go on so; its processes are to be started again.
    """
    from quorumkit.engines.bft.bridge.bridge import BridgeSettings, serve
    from quorumkit.engines.bft.keys import PEER, node_id

    record = carrier.record()

    def members() -> frozenset[str]:
        return frozenset(
            node_id(peer.further_keys[PEER]) for peer in carrier.record().peers if PEER in peer.further_keys
        )

    settings = BridgeSettings(
        directory=carrier.directory,
        period=record.consensus.period,
        empty_blocks=not record.consensus.blocks_on_demand,
        fee_recipient=record.identity.account,
        fork="osaka",
        pruned=record.engine.state == "pruned",
        members=members,
        free_gas=record.free_gas,
    )
    await serve(settings, say=carrier.say, ready=carrier.ready, publish=carrier.publish)
