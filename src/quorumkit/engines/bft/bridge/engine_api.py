"""What is asked of geth: the Engine API, and a little beside it, over geth's IPC socket.

That socket serves every namespace without a token. Specification: execution-apis, src/engine. Whether geth's answer
VALID to forkchoiceUpdated means that its head moved depends on the circumstances: `Geth.moves_to` looks.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.payload import BEACON_ROOT, Payload
from quorumkit.errors import QuorumkitError, RestartNeededError, RpcError
from quorumkit.rpc import IpcRpc
from quorumkit.rpc.base import expecting, quantity

ENGINE_TIMEOUT = 120.0
"""Seconds that geth may take over one payload or one move of its head: it can be a replay of hundreds of blocks."""

NO_HASH = "0x" + "00" * 32

_METHOD_NOT_FOUND = -32601  # JSON-RPC 2.0, section 5.1
_REORGING = "beacon syncer reorging"


class ExecutionError(QuorumkitError):
    """The node cannot go on so: its processes end, and are started again."""


class NewStartError(ExecutionError, RestartNeededError):
    """It can as soon as they are started again, and failed of nothing."""


@dataclass(frozen=True)
class Methods:
    """Of the Engine API, as the forks in the genesis want them."""

    forkchoice: str
    new_payload: str
    get_payload: str
    takes_requests: bool
    """Whether `new_payload` takes execution requests (EIP-7685)."""


METHODS = {
    "cancun": Methods("engine_forkchoiceUpdatedV3", "engine_newPayloadV3", "engine_getPayloadV3", takes_requests=False),
    "prague": Methods("engine_forkchoiceUpdatedV3", "engine_newPayloadV4", "engine_getPayloadV4", takes_requests=True),
    "osaka": Methods("engine_forkchoiceUpdatedV3", "engine_newPayloadV4", "engine_getPayloadV5", takes_requests=True),
}
"""By the newest fork that is in force from block 0 (execution-apis, src/engine/*.md)."""


def methods_of(fork: str) -> Methods:
    """Raises:
    ExecutionError: a fork that is not known here.
    """
    try:
        return METHODS[fork]
    except KeyError:
        known = ", ".join(METHODS)
        raise ExecutionError(f"fork {fork!r}: the bridge knows {known}") from None


@dataclass(frozen=True)
class Verdict:
    """What geth says of a payload or a head (PayloadStatusV1)."""

    status: str
    reason: str | None
    payload_id: str | None = None

    @property
    def valid(self) -> bool:
        return self.status == "VALID"

    @property
    def invalid(self) -> bool:
        return self.status == "INVALID"


class GethGoneError(RpcError):
    """geth did not answer: it ended, is not there yet, or hangs."""


class Geth:
    """One connection to geth. `connect` makes it."""

    def __init__(self, rpc: IpcRpc, methods: Methods) -> None:
        self._rpc = rpc
        self._methods = methods

    @classmethod
    async def connect(cls, ipc: Path, methods: Methods) -> Self:
        """Raises:
        GethGoneError: nobody listens there.
        """
        try:
            rpc = await IpcRpc.connect(ipc, where="geth", encode=orjson.dumps, decode=orjson.loads)
        except RpcError as error:
            raise GethGoneError(error.message) from None
        return cls(rpc, methods)

    async def close(self) -> None:
        await self._rpc.close()

    async def call(self, method: str, *params: Any, timeout: float = 10.0) -> Any:
        """The result of one request.

        Raises:
            RpcError: geth refused.
            GethGoneError: it did not answer.
        """
        try:
            return await self._rpc.call(method, *params, timeout=timeout)
        except RpcError as error:
            if error.code is None:
                raise GethGoneError(error.message) from None
            raise

    async def missing(self) -> list[str]:
        """The methods that this geth does not have."""
        wanted = [self._methods.forkchoice, self._methods.new_payload, self._methods.get_payload]
        # Nothing but what is used is named: geth takes a hint about blobs from the names it knows.
        known = await self.call("engine_exchangeCapabilities", wanted)
        return [method for method in wanted if not isinstance(known, list) or method not in known]

    async def head(self) -> Head:
        """The newest block of geth's chain."""
        head = await self._header("eth_getHeaderByNumber", "latest")
        if head is None:
            raise RpcError("geth: no newest block")
        return head

    async def at(self, number: int) -> Head | None:
        """The block of that number in geth's chain."""
        return await self._header("eth_getHeaderByNumber", hex(number))

    async def find(self, block_hash: str) -> Head | None:
        """The block of that hash, in geth's chain or beside it."""
        return await self._header("eth_getHeaderByHash", block_hash)

    async def _header(self, method: str, which: str) -> Head | None:
        header = await self.call(method, which)
        if header is None:
            return None
        with expecting(f"geth: {method}"):
            return Head.of(header)

    async def forkchoice(self, head: str, *, final: bool = True, attributes: dict[str, Any] | None = None) -> Verdict:
        """Names `head` to geth as the newest block, and as final.

        VALID does not mean that geth's head is there now: see `moves_to`.
        """
        settled = head if final else NO_HASH
        state = {"headBlockHash": head, "safeBlockHash": settled, "finalizedBlockHash": settled}
        try:
            answer = await self.call(self._methods.forkchoice, state, attributes, timeout=ENGINE_TIMEOUT)
        except RpcError as error:
            if error.code is not None and _REORGING in error.message:
                return Verdict("SYNCING", _REORGING)
            raise
        with expecting(f"geth: {self._methods.forkchoice}"):
            status = answer["payloadStatus"]
            return Verdict(status["status"], status["validationError"], answer["payloadId"])

    async def moves_to(self, head: str, *, final: bool = True) -> bool:
        """Names `head` as the newest block. Whether geth's head is there then."""
        verdict = await self.forkchoice(head, final=final)
        return verdict.valid and (await self.head()).hash == head

    async def execute(self, payload: Payload) -> Verdict:
        """Has geth execute a payload on its parent, without making it the newest block (newPayload).

        Raises:
            RpcError: geth cannot read it, among other things.
        """
        fields = {name: value for name, value in payload.fields.items() if name != BEACON_ROOT}
        params: list[Any] = [fields, [], payload.beacon_root]
        if self._methods.takes_requests:
            params.append(list(payload.requests))
        answer = await self.call(self._methods.new_payload, *params, timeout=ENGINE_TIMEOUT)
        with expecting(f"geth: {self._methods.new_payload}"):
            if answer["status"] == "VALID" and answer["latestValidHash"] != payload.hash:
                # It took another field for the hash than the one that was read here.
                return Verdict("INVALID", f"it is block {answer['latestValidHash']}")
            return Verdict(answer["status"], answer["validationError"])

    async def build_now(
        self, parent: str, attributes: dict[str, Any], transactions: list[str] | None = None
    ) -> dict[str, Any] | None:
        """A whole payload on the newest block, as soon as it is built, with those transactions (raw, 0x-hex) or else
        what is in the pool; None: this geth has no such method.

        Execution-apis, src/testing: one call that returns when the block is full, where the way of the Engine API is to
        start a build, guess when it is done, and get an empty block where the guess was wrong.
        """
        method = "testing_buildBlockV1"
        try:
            answer = await self.call(method, parent, attributes, transactions, None, timeout=ENGINE_TIMEOUT)
        except RpcError as error:
            if error.code == _METHOD_NOT_FOUND:
                return None
            raise
        return _envelope(answer, method)

    async def built(self, payload_id: str) -> dict[str, Any]:
        """The payload that geth was asked for, as far as it is now."""
        answer = await self.call(self._methods.get_payload, payload_id, timeout=ENGINE_TIMEOUT)
        return _envelope(answer, self._methods.get_payload)

    async def pending(self) -> int:
        """Transactions in geth's pool that could go into a block."""
        with expecting("geth: txpool_status"):
            return quantity((await self.call("txpool_status"))["pending"], "txpool_status", "geth")

    async def set_head(self, number: int) -> None:
        """Takes everything above that number out of geth's chain and database."""
        await self.call("debug_setHead", hex(number), timeout=ENGINE_TIMEOUT)

    async def logs(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """The events that a filter lets through."""
        answer = await self.call("eth_getLogs", wanted)
        if not isinstance(answer, list):
            raise RpcError("geth: eth_getLogs: not a list")
        return answer

    async def syncing(self) -> int | None:
        """The number of the newest block that geth has of what it fetches; None: it fetches nothing."""
        with contextlib.suppress(RpcError, AttributeError):
            answer = await self.call("eth_syncing")
            return quantity(answer.get("currentBlock"), "eth_syncing", "geth") if answer else None
        return None


def _envelope(answer: Any, method: str) -> dict[str, Any]:
    if not isinstance(answer, dict) or not isinstance(answer.get("executionPayload"), dict):
        raise RpcError(f"geth: {method}: not a payload")
    return answer
