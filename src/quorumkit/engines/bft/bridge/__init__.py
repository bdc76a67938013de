"""Between CometBFT, which agrees, and geth, which executes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from quorumkit.record import NodeRecord


class Carrier(Protocol):
    """What the bridge needs of the node program."""

    @property
    def directory(self) -> Path: ...

    def say(self, level: str, text: str) -> None: ...

    def ready(self) -> None: ...

    def record(self) -> NodeRecord: ...

    def publish(self, name: str, value: Any) -> None: ...


async def serve(carrier: Carrier) -> None:
    """The bridge of the node that `carrier` runs, until it is cancelled.

    Raises:
        QuorumkitError: the node cannot go on so; its processes are to be started again.
    """
    import hashlib

    from quorumkit.engines.bft.bridge.bridge import BridgeSettings, serve

    record = carrier.record()

    def members() -> frozenset[str]:
        keys = (peer.further_keys["bft"] for peer in carrier.record().peers if "bft" in peer.further_keys)
        return frozenset(hashlib.sha256(bytes.fromhex(key)).hexdigest()[:40] for key in keys)

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
