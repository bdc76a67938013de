"""Who sends a check's transactions, so that they are in nobody's way.

A node's account sends for whoever uses the node, and a nonce that is taken from under them spoils their transactions:
so it is used only while it is idle. Else a key that is made for the purpose sends. Where gas is free it needs nothing;
where it is not, an idle account of another node gives it what gas costs.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from quorumkit.errors import RpcError
from quorumkit.rpc import Rpc
from quorumkit.rpc.base import expecting
from quorumkit.stages.transactions import Key, fresh_key, signed_transaction

_SOON = 0.02  # seconds
_TOO_EARLY = ("authentication needed", "indexing is in progress")
"""What geth answers before it has opened its account, and before it has looked through its chain."""
_TAKEN = ("replacement transaction underpriced", "nonce too low", "already known")
"""What geth answers where somebody else got the nonce that it had just chosen."""
_NO_FUNDS = "insufficient funds"
_ONE_AT_A_TIME = ("in-flight transaction limit reached", "gapped-nonce tx from delegated")
"""What geth answers from 1.15 on to the second transaction of an account that the chain does not know yet."""
_RECENT = 3
"""Blocks: an account that sent in so many is not idle, though its transactions are mined."""
_TRANSFER_GAS = 21_000
DEPLOY_GAS = 300_000
SET_GAS = 100_000
_PRICE_MARGIN = 2
"""The base fee may rise meanwhile: a client that fills a price in allows for the same."""


class Sender(Protocol):
    """An account that sends through one client."""

    address: str

    async def send(self, *, to: str | None, data: str, gas: int) -> tuple[str, int]:
        """The transaction's hash and nonce.

        Raises:
            RpcError: the client refuses it.
        """
        ...

    async def send_again(self) -> None:
        """Sends what a client may have dropped since, once more."""
        ...


class AccountSender:
    """The client's own account: the client chooses nonces, so that others can send from it at the same time."""

    def __init__(self, rpc: Rpc, address: str) -> None:
        self.address = address
        self._rpc = rpc

    async def send(self, *, to: str | None, data: str, gas: int, value: int = 0) -> tuple[str, int]:
        """As said, and with it that many wei."""
        fields = {"from": self.address, "gas": hex(gas), "data": data, "value": hex(value)}
        hash_ = await self._send(fields | ({"to": to} if to else {}))
        while (found := await when_ready(self._rpc.call("eth_getTransactionByHash", hash_))) is None:  # noqa: ASYNC110
            await asyncio.sleep(_SOON)
        return hash_, int(found["nonce"], 16)

    async def _send(self, transaction: Mapping[str, str]) -> str:
        while True:
            try:
                return str(await self._rpc.call("eth_sendTransaction", transaction))
            except RpcError as error:
                if not any(text in error.message for text in (*_TOO_EARLY, *_TAKEN)):
                    raise
            await asyncio.sleep(_SOON)

    async def send_again(self) -> None:
        pass


class KeySender:
    """A key of its own, of which no client knows."""

    def __init__(self, rpc: Rpc, key: Key, *, chain_id: int, gas_price: int) -> None:
        self.address = key.address
        self._rpc = rpc
        self._key = key
        self._chain_id = chain_id
        self._gas_price = gas_price
        self._sent: list[str] = []

    async def send(self, *, to: str | None, data: str, gas: int) -> tuple[str, int]:
        nonce = len(self._sent)
        raw = signed_transaction(
            self._key, chain_id=self._chain_id, nonce=nonce, gas_price=self._gas_price, gas=gas, to=to, data=data
        )
        while True:
            try:
                hash_ = str(await self._rpc.call("eth_sendRawTransaction", raw))
            except RpcError as error:
                if self._sent and any(text in error.message for text in _ONE_AT_A_TIME):
                    await self.send_again()
                # The pool looks at a block's balances a moment after the block is announced.
                elif not (self._gas_price and _NO_FUNDS in error.message):
                    raise
            else:
                self._sent.append(raw)
                return hash_, nonce
            await asyncio.sleep(_SOON)

    async def send_again(self) -> None:
        for raw in self._sent:
            with contextlib.suppress(RpcError):  # it is known, or in a block
                await self._rpc.call("eth_sendRawTransaction", raw)


async def choose_sender(connections: Mapping[str, Rpc], first: str) -> Sender:
    """Who sends through the node `first`. To be bounded in time by the caller: it may wait for a block.

    Raises:
        RpcError: a client cannot be asked, or no account has what gas costs.
    """
    rpc = connections[first]
    price = int(await rpc.call("eth_gasPrice"), 16)
    chain_id = int(await rpc.call("eth_chainId"), 16)
    if price == 0:
        return KeySender(rpc, fresh_key(), chain_id=chain_id, gas_price=0)
    price *= _PRICE_MARGIN
    own = await _account_with(rpc, price)
    if own is not None and await is_idle(rpc, own):
        return AccountSender(rpc, own)
    funder = await _funder(connections, first, price)
    if funder is None:
        if own is not None:  # the only account there is: who else uses it shares it
            return AccountSender(rpc, own)
        await own_account(rpc)
        raise RpcError(
            f"{first}: no node's account has enough ether to pay for gas",
            hint="give one some, or make networks with genesis.free_gas",
        )
    return await _funded(rpc, funder, chain_id=chain_id, price=price)


async def first_free(connections: Mapping[str, Rpc]) -> str:
    """The first node whose account has nothing in the pool; the first of all, where each has."""
    for name, rpc in connections.items():
        with contextlib.suppress(RpcError), expecting(name):
            if not await _has_waiting(rpc, await own_account(rpc)):
                return name
    return next(iter(connections))


async def is_idle(rpc: Rpc, account: str) -> bool:
    """Whether nobody uses the account now: it has nothing in the pool, and sent nothing in the newest blocks.

    Raises:
        RpcError: the client cannot be asked.
    """
    if await _has_waiting(rpc, account):
        return False
    height = int(await rpc.call("eth_blockNumber"), 16)
    sent = await rpc.call("eth_getTransactionCount", account, hex(height))
    try:
        before = await rpc.call("eth_getTransactionCount", account, hex(max(0, height - _RECENT)))
    except RpcError:  # it keeps no such state
        return True
    return bool(sent == before)


async def _has_waiting(rpc: Rpc, account: str) -> bool:
    try:
        content = await rpc.call("txpool_contentFrom", account)
        return any(content.get(part) for part in ("pending", "queued"))
    except RpcError:
        pass
    try:  # an older client
        content = await rpc.call("txpool_inspect")
        return any(
            address.lower() == account.lower() for part in ("pending", "queued") for address in content.get(part, {})
        )
    except RpcError:  # it does not serve its pool
        latest = await rpc.call("eth_getTransactionCount", account, "latest")
        return bool(latest != await rpc.call("eth_getTransactionCount", account, "pending"))


async def _account_with(rpc: Rpc, price: int) -> str | None:
    """The node's own account, if it has what a check costs."""
    try:
        account = await own_account(rpc)
    except RpcError:
        return None
    return (
        account
        if int(await rpc.call("eth_getBalance", account, "latest"), 16) >= price * (DEPLOY_GAS + SET_GAS)
        else None
    )


async def _funder(connections: Mapping[str, Rpc], first: str, price: int) -> AccountSender | None:
    for name, rpc in connections.items():
        if name == first:
            continue
        with contextlib.suppress(RpcError), expecting(name):  # another will do
            account = await _account_with(rpc, price)
            if account is not None and await is_idle(rpc, account):
                return AccountSender(rpc, account)
    return None


async def _funded(rpc: Rpc, funder: AccountSender, *, chain_id: int, price: int) -> KeySender:
    key = fresh_key()
    value = price * (DEPLOY_GAS + SET_GAS)
    await funder.send(to=key.address, data="0x", gas=_TRANSFER_GAS, value=value)
    async with contextlib.aclosing(rpc.heads()) as heads:
        async for _ in heads:
            if int(await rpc.call("eth_getBalance", key.address, "latest"), 16) >= value:
                return KeySender(rpc, key, chain_id=chain_id, gas_price=price)
    raise RpcError("the node sends no more blocks")


async def when_ready(answer: Awaitable[Any]) -> Any:
    """The answer of a client, or None where it has only just started and says so."""
    try:
        return await answer
    except RpcError as error:
        if any(text in error.message for text in _TOO_EARLY):
            return None
        raise


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
