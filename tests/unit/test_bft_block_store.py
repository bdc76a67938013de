"""What was decided, asked of CometBFT over its socket."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from quorumkit.engines.bft.bridge.block_store import CometBlockStore
from quorumkit.engines.bft.bridge.payload import BEACON_ROOT, Payload, beacon_root
from quorumkit.errors import RpcError


def decoded(data: bytes) -> Payload:
    return Payload({"blockHash": data.decode("ascii"), BEACON_ROOT: beacon_root(1)})


def asked(socket: Path, answers: dict[str, Any], first: int, last: int) -> list[str]:
    async def answer(request: web.Request) -> web.Response:
        asked_for = await request.json()
        assert asked_for["method"] == "block"
        return web.json_response(answers[asked_for["params"]["height"]] | {"jsonrpc": "2.0", "id": asked_for["id"]})

    async def run() -> list[str]:
        app = web.Application()
        app.router.add_post("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        try:
            return [payload.hash async for payload in CometBlockStore(socket, decoded).payloads(first, last)]
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def block(*transactions: bytes) -> dict[str, Any]:
    txs = [base64.b64encode(each).decode() for each in transactions]
    return {"result": {"block_id": {}, "block": {"header": {}, "data": {"txs": txs or None}}}}


def test_payloads_come_in_order_and_heights_without_one_are_passed_over(tmp_path: Path) -> None:
    answers = {"3": block(b"0x03"), "4": block(), "5": block(b"0x05")}
    assert asked(tmp_path / "rpc.sock", answers, 3, 5) == ["0x03", "0x05"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            {"error": {"code": -32603, "message": "Internal error", "data": "height 3 is not available"}},
            "Internal error",
        ),
        ({"result": {"block": None}}, "not in its store"),
        ({"result": {}}, "another shape"),
        (block("ü".encode()), "not a payload"),
        ({"result": {"block": {"data": {"txs": ["!"]}}}}, "not a payload"),
    ],
)
def test_what_it_does_not_have_or_is_no_block_is_an_error(tmp_path: Path, answer: dict[str, Any], words: str) -> None:
    with pytest.raises(RpcError, match=words):
        asked(tmp_path / "rpc.sock", {"3": answer}, 3, 3)


def test_a_cometbft_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    async def run() -> None:
        async for _ in CometBlockStore(tmp_path / "rpc.sock", decoded).payloads(1, 2):
            pass

    with pytest.raises(RpcError, match="CometBFT: block 1"):
        asyncio.run(run())
