"""`verify` beside a load from node 1's own account, which it must leave alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from networks import RunningNetwork, brought_up, eventually

from quorumkit.engines import Binary
from quorumkit.rpc import IpcRpc
from support.clique import CLIQUE

pytestmark = pytest.mark.network

RATE = 80
"""Transactions a second."""
AGAIN = 3
NOWHERE = "0x" + "00" * 19 + "99"


class Load:
    """Transactions of one account with nonces of its own counting, as an application sends them that has the key."""

    def __init__(self, network: RunningNetwork, key: Any) -> None:
        self._network, self._key = network, key
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()))
        self.sent = 0
        self.error: Exception | None = None

    async def _send(self) -> None:
        try:
            async with await IpcRpc.connect(self._network.node(1) / "data/geth.ipc") as rpc:
                nonce = int(await rpc.call("eth_getTransactionCount", self._key.address, "pending"), 16)
                began = time.monotonic()
                while not self._end.is_set():
                    due = int((time.monotonic() - began) * RATE) - self.sent
                    for _ in range(due):
                        fields = {"to": NOWHERE, "value": 1, "gas": 21_000, "gasPrice": 2000, "chainId": 1337}
                        raw = self._key.sign_transaction(fields | {"nonce": nonce + self.sent}).raw_transaction
                        await rpc.call("eth_sendRawTransaction", "0x" + raw.hex().removeprefix("0x"))
                        self.sent += 1
                    await asyncio.sleep(0.005)
        except Exception as error:
            self.error = error

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        self._thread.start()
        try:
            eventually(lambda: self.sent or self.error, "the load")
            yield
        finally:
            self._end.set()
            self._thread.join()


def key_of_node1(network: RunningNetwork) -> Any:
    (keystore,) = (network.node(1) / "data/keystore").iterdir()
    password = (network.node(1) / "password").read_text().strip()
    return Account.from_key(Account.decrypt(json.loads(keystore.read_text()), password))


def test_verify_is_in_nobodys_way(geth: Binary, tmp_path: Any) -> None:
    with brought_up(tmp_path / "bank", *CLIQUE, "-n", "3") as network:
        key = key_of_node1(network)
        load = Load(network, key)
        with load.going():
            for _ in range(AGAIN):
                network.verify()
        assert load.error is None
        assert load.sent > RATE
        assert (
            int(
                eventually(
                    lambda: (
                        network.ask(1, "txpool_status")["pending"] == "0x0"
                        and network.ask(1, "eth_getBalance", NOWHERE, "latest")
                    ),
                    "the load in blocks",
                ),
                16,
            )
            == load.sent
        )
        # And one that waits for the one before it goes on waiting.
        nonce = int(network.ask(1, "eth_getTransactionCount", key.address, "latest"), 16)
        fields = {"to": NOWHERE, "value": 1, "gas": 21_000, "gasPrice": 2000, "chainId": 1337, "nonce": nonce + 1}
        raw = key.sign_transaction(fields).raw_transaction
        network.ask(1, "eth_sendRawTransaction", "0x" + raw.hex().removeprefix("0x"))
        network.verify()
        assert network.ask(1, "txpool_status") == {"pending": "0x0", "queued": "0x1"}
        assert int(network.ask(1, "eth_getTransactionCount", key.address, "latest"), 16) == nonce
