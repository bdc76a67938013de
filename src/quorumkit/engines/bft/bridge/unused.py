"""What CometBFT may ask for and has no part here: transactions travel between the geths, votes carry nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from quorumkit.engines.bft.bridge import abci_pb2 as abci
from quorumkit.engines.bft.bridge.wire import Handler

REFUSED: Final = 1
"""Any code but 0."""


async def extend_vote(_: abci.RequestExtendVote) -> abci.ResponseExtendVote:
    return abci.ResponseExtendVote()


async def verify_vote_extension(request: abci.RequestVerifyVoteExtension) -> abci.ResponseVerifyVoteExtension:
    status = abci.ResponseVerifyVoteExtension.Status
    return abci.ResponseVerifyVoteExtension(status=status.REJECT if request.vote_extension else status.ACCEPT)


async def insert_tx(_: abci.RequestInsertTx) -> abci.ResponseInsertTx:
    return abci.ResponseInsertTx(code=REFUSED)


async def reap_txs(_: abci.RequestReapTxs) -> abci.ResponseReapTxs:
    return abci.ResponseReapTxs()


HANDLERS: Mapping[str, Handler] = {
    "extend_vote": extend_vote,
    "verify_vote_extension": verify_vote_extension,
    "insert_tx": insert_tx,
    "reap_txs": reap_txs,
}
"""By the name of the request (see `wire.Server`)."""
