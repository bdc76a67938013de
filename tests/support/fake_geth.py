"""A geth as far as the bridge sees it: a chain behind an IPC socket, which loses blocks, lies and ends when told."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

from quorumkit.engines.bft.bridge.payload import BEACON_ROOT, Payload

NO_HASH = "0x" + "00" * 32
_EMPTY_BLOOM = "0x" + "00" * 256


GAS_LIMIT = 10**9
GAS_OF_EACH = 21_000


class Refusal(Exception):
    """An error answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def block_hash(fields: dict[str, Any], root: str) -> str:
    content = {name: value for name, value in fields.items() if name not in {"blockHash", BEACON_ROOT}} | {"root": root}
    return "0x" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class FakeGeth:
    """What is public may be changed at any time."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.calls: list[str] = []
        self.pool = 0
        """Transactions that are pending."""
        self.gas_price = 1
        self.synced = False
        """Whether an update of its head has succeeded since it started."""
        self.snap_syncing = False
        self.without_state: set[str] = set()
        """Blocks that it has, but not the state after them: it executes them again when they become its head."""
        self.peers_have: set[str] = set()
        """Blocks that it gets when they are named as its head."""
        self.methods = {"engine_forkchoiceUpdatedV3", "engine_newPayloadV4", "engine_getPayloadV5"}
        self.without: set[str] = set()
        """Methods that this one does not have."""
        self.instead: dict[str, Callable[..., Any]] = {}
        """Answers in the place of its own, by method: called with the parameters."""
        self.logs: dict[str, list[dict[str, Any]]] = {}
        first = {"blockNumber": "0x0", "timestamp": "0x0", "parentHash": NO_HASH}
        self.genesis = block_hash(first, NO_HASH)
        self.known = {self.genesis: first | {"blockHash": self.genesis, BEACON_ROOT: NO_HASH}}
        self.chain = [self.genesis]
        """The hashes of its chain, which can reach beyond its head."""
        self.head = 0
        self._building: dict[str, dict[str, Any]] = {}
        self._elsewhere: dict[str, dict[str, Any]] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    # ---- what a test does to it

    async def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        self.synced, self.gas_price = False, 1
        self._server = await asyncio.start_unix_server(self._serve, self.socket, limit=2**26)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._connections):
                writer.transport.abort()
            self._server = None

    def fall_back(self, number: int, *, keep_blocks: bool = False) -> None:
        """As after kill -9: what was above that number is gone, or only the head is back there."""
        self.head = number
        if not keep_blocks:
            for lost in self.chain[number + 1 :]:
                self._elsewhere[lost] = self.known.pop(lost)
            del self.chain[number + 1 :]

    @property
    def head_hash(self) -> str:
        return self.chain[self.head]

    def payload(self, number: int) -> Payload:
        fields = self.known[self.chain[number]]
        return Payload(fields=fields)

    # ---- its methods

    def engine_exchangeCapabilities(self, _: list[str]) -> list[str]:
        return sorted(self.methods)

    def miner_setGasPrice(self, price: str) -> bool:
        self.gas_price = int(price, 16)
        return True

    def eth_getHeaderByNumber(self, which: str) -> Any:
        number = self.head if which == "latest" else int(which, 16)
        return _header(self.known[self.chain[number]]) if number < len(self.chain) else None

    def eth_getHeaderByHash(self, name: str) -> Any:
        return _header(self.known[name]) if name in self.known else None

    def eth_syncing(self) -> Any:
        return False

    def eth_getLogs(self, query: dict[str, str]) -> list[dict[str, Any]]:
        return self.logs.get(query["blockHash"], [])

    def txpool_status(self) -> dict[str, str]:
        return {"pending": hex(self.pool), "queued": "0x0"}

    def debug_setHead(self, number: str) -> None:
        self.head = int(number, 16)
        del self.chain[self.head + 1 :]

    def engine_forkchoiceUpdatedV3(self, state: dict[str, str], attributes: dict[str, Any] | None) -> Any:
        name = state["headBlockHash"]
        if name not in self.known:
            if name not in self.peers_have:
                return _verdict("SYNCING")
            self._fetch(name)
        number = int(self.known[name]["blockNumber"], 16)
        if number < len(self.chain) and self.chain[number] == name:
            if number < self.head or (number > self.head and not self.synced):
                return _verdict("VALID")  # and stays where it is
        else:
            self._make_canonical(name)
        self.head, self.synced = number, True
        self.without_state.discard(name)
        if attributes is None:
            return _verdict("VALID")
        self._building["0x01"] = self._built(name, attributes)
        return _verdict("VALID", "0x01")

    def engine_newPayloadV4(self, fields: dict[str, Any], _: list[str], root: str, requests: list[str]) -> Any:
        name = block_hash(fields, root)
        if name != fields["blockHash"]:
            return {"status": "INVALID", "latestValidHash": None, "validationError": "blockhash mismatch"}
        if name not in self.known:
            if fields["parentHash"] not in self.known or (self.snap_syncing and fields["blockNumber"] != "0x1"):
                return {"status": "SYNCING", "latestValidHash": None, "validationError": None}
            if fields["parentHash"] in self.without_state:
                return {"status": "ACCEPTED", "latestValidHash": None, "validationError": None}
            self.known[name] = fields | {BEACON_ROOT: root}
        return {"status": "VALID", "latestValidHash": name, "validationError": None}

    def testing_buildBlockV1(
        self, parent: str, attributes: dict[str, Any], transactions: list[str] | None, _: None
    ) -> dict[str, Any]:
        if parent != self.head_hash:
            raise Refusal(-32000, "parentHash is not current head")
        return self._built(parent, attributes, transactions)

    def engine_getPayloadV5(self, payload_id: str) -> dict[str, Any]:
        return self._building[payload_id]

    # ---- inside

    def _built(self, parent: str, attributes: dict[str, Any], transactions: list[str] | None = None) -> dict[str, Any]:
        included = ["0x02"] * self.pool if transactions is None else transactions
        number = int(self.known[parent]["blockNumber"], 16) + 1
        fields = {
            "parentHash": parent,
            "blockNumber": hex(number),
            "timestamp": attributes["timestamp"],
            "prevRandao": attributes["prevRandao"],
            "feeRecipient": attributes["suggestedFeeRecipient"],
            "logsBloom": _EMPTY_BLOOM,
            "transactions": included,
            "gasLimit": hex(GAS_LIMIT),
            "gasUsed": hex(GAS_OF_EACH * len(included)),
        }
        fields["blockHash"] = block_hash(fields, attributes[BEACON_ROOT])
        return {"executionPayload": fields, "executionRequests": []}

    def _fetch(self, name: str) -> None:
        while name not in self.known:
            self.known[name] = self._elsewhere[name]
            name = self.known[name]["parentHash"]

    def _make_canonical(self, name: str) -> None:
        branch = []
        number = int(self.known[name]["blockNumber"], 16)
        while number >= len(self.chain) or self.chain[number] != name:
            branch.append(name)
            name, number = self.known[name]["parentHash"], number - 1
        del self.chain[number + 1 :]
        self.chain += reversed(branch)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while line := await reader.readline():
                request = json.loads(line)
                answer = {"jsonrpc": "2.0", "id": request["id"]} | self._answer(request["method"], request["params"])
                writer.write(json.dumps(answer).encode() + b"\n")
        except (ConnectionError, _Ended):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    def _answer(self, method: str, params: list[Any]) -> dict[str, Any]:
        self.calls.append(method)
        answer = self.instead.get(method) or getattr(self, method, None)
        if answer is None or method in self.without:
            return {"error": {"code": -32601, "message": f"the method {method} does not exist/is not available"}}
        try:
            return {"result": answer(*params)}
        except Refusal as refusal:
            return {"error": {"code": refusal.code, "message": str(refusal)}}


class _Ended(Exception):
    """The connection is to be lost in the place of an answer."""


def ends_once(geth: FakeGeth, method: str, *, after: bool = False) -> None:
    """The next call of that method loses the connection: before geth did what it was asked for, or after."""
    own = getattr(geth, method)

    def answer(*params: Any) -> Any:
        del geth.instead[method]
        if after:
            own(*params)
        geth.synced, geth.gas_price = False, 1
        raise _Ended

    geth.instead[method] = answer


class Store:
    """What CometBFT decided."""

    def __init__(self, payloads: Iterable[Payload] = ()) -> None:
        self.decided = {payload.height: payload for payload in payloads}

    async def payloads(self, first: int, last: int) -> AsyncIterator[Payload]:
        for height in range(first, last + 1):
            if height in self.decided:
                yield self.decided[height]


@contextlib.asynccontextmanager
async def running(socket: Path) -> AsyncIterator[FakeGeth]:
    geth = FakeGeth(socket)
    await geth.start()
    try:
        yield geth
    finally:
        await geth.stop()


def _header(block: dict[str, Any]) -> dict[str, Any]:
    return {
        "number": block["blockNumber"],
        "hash": block["blockHash"],
        "timestamp": block["timestamp"],
        BEACON_ROOT: block[BEACON_ROOT],
    }


def _verdict(status: str, payload_id: str | None = None) -> dict[str, Any]:
    return {
        "payloadStatus": {"status": status, "latestValidHash": None, "validationError": None},
        "payloadId": payload_id,
    }
