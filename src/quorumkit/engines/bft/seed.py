"""Has geth suggest that gas costs nothing, where it is free (see `prices`)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets

from quorumkit.engines.bft.signer.key import AccountKey
from quorumkit.engines.bft.signer.transactions import Transaction, sign
from quorumkit.errors import RpcError
from quorumkit.rpc import IpcRpc
from quorumkit.rpc.base import expecting

_GAS = 21_000  # of a plain transfer (Yellow Paper, appendix G)
_LOOK = 15.0
"""Seconds between two looks at what is suggested."""
_MINED_WITHIN = 1.5  # seconds


async def keep_suggesting_nothing(rpc: IpcRpc, chain_id: int) -> None:
    """For as long as the connection is open: while geth suggests to pay something, one transaction is sent that pays
    nothing, from an account that nobody has. geth learns from it when it is in a block.

    Where all who send pay all the same, there comes one such transaction now and then.
    """
    while rpc.is_open:
        tip = await rpc.call("eth_maxPriorityFeePerGas")
        with expecting("geth: eth_maxPriorityFeePerGas"):
            suggested = int(tip, 16)
        if suggested:
            await _send_one(rpc, chain_id)
        await asyncio.sleep(_MINED_WITHIN if suggested else _LOOK)


async def _send_one(rpc: IpcRpc, chain_id: int) -> None:
    key = AccountKey(secrets.token_bytes(32))
    nothing = Transaction(chain_id=chain_id, nonce=0, gas=_GAS, to=key.address, value=0, data=b"", gas_price=0)
    # The pool may be full, or the miner's price is not named yet, or blocks have a base fee since one was too full.
    with contextlib.suppress(RpcError):
        await rpc.call("eth_sendRawTransaction", sign(nothing, key)["raw"])
