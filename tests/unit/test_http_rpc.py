"""JSON-RPC over HTTP, against a server that can misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from quorumkit.errors import RpcError
from quorumkit.rpc import HttpRpc

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def run(handle: Handler, client: Callable[[HttpRpc], Awaitable[Any]]) -> Any:
    async def both() -> Any:
        app = web.Application()
        app.router.add_post("/", handle)
        async with TestServer(app) as server, HttpRpc(str(server.make_url("/")), where="node1") as rpc:
            return await client(rpc)

    return asyncio.run(both())


async def echo(request: web.Request) -> web.Response:
    asked = await request.json()
    return web.json_response({"id": asked["id"], "result": [asked["method"], asked["params"]]})


def test_a_call_returns_the_result() -> None:
    assert run(echo, lambda rpc: rpc.call("eth_x", 1, "two")) == ["eth_x", [1, "two"]]


@pytest.mark.parametrize(
    "answer", [web.Response, lambda: web.Response(text="<html>"), lambda: web.Response(body=b"\xff")]
)
def test_nonsense_is_told(answer: Callable[[], web.Response]) -> None:
    async def nonsense(request: web.Request) -> web.Response:
        return answer()

    with pytest.raises(RpcError, match="node1: eth_x: "):
        run(nonsense, lambda rpc: rpc.call("eth_x"))


def test_an_error_is_told() -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"id": 1, "error": {"code": -32601, "message": "not available"}})

    with pytest.raises(RpcError, match="node1: admin_x: not available"):
        run(refuse, lambda rpc: rpc.call("admin_x"))


def test_a_silent_client_is_given_up() -> None:
    async def slow(request: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    with pytest.raises(RpcError, match=r"no answer in 0\.05 s"):
        run(slow, lambda rpc: rpc.call("eth_x", timeout=0.05))


def test_nobody_there_is_told() -> None:
    async def nobody() -> None:
        async with HttpRpc(f"http://127.0.0.1:{unused_port()}", where="node1") as rpc:
            await rpc.call("eth_x")

    with pytest.raises(RpcError, match="node1: eth_x: "):
        asyncio.run(nobody())


def test_heads_are_each_block_once() -> None:
    numbers = iter(["0x1", "0x1", "0x2", "0x4"])

    async def chain(request: web.Request) -> web.Response:
        return web.json_response({"result": next(numbers)})

    async def client(rpc: HttpRpc) -> list[int]:
        seen = []
        async for number in rpc.heads():
            seen.append(number)
            if len(seen) == 3:
                break
        return seen

    assert run(chain, client) == [1, 2, 4]
