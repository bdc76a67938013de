"""Which account of a client to send from."""

from __future__ import annotations

from quorumkit.errors import RpcError
from quorumkit.rpc import Rpc


async def own_account(rpc: Rpc) -> str:
    """The node's own account, which is the one that its client can sign with: other keystores may lie beside it, and
    their order is that of their files' names.

    Raises:
        RpcError: the client has none, or cannot be asked.
    """
    accounts = await rpc.call("eth_accounts")
    if not isinstance(accounts, list) or not accounts:
        raise RpcError("the sending node has no account", hint="verify through another node")
    for account in accounts[1:] and accounts:
        try:
            await rpc.call("eth_sign", account, "0x00")
        except RpcError:
            continue
        return str(account)
    return str(accounts[0])
