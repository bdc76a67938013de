"""Whoever answers JSON-RPC is hostile until proved otherwise: what comes of it is an RpcError and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from quorumkit.errors import RpcError
from quorumkit.foreign import one_line
from quorumkit.rpc import HttpRpc, IpcRpc, base, http
from quorumkit.rpc.base import expecting, quantity

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["0x", "0x-1", "0x1_0", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": values,
        "id": st.just(1) | st.just(2) | values,
        "result": values,
        "error": values,
        "params": values | st.fixed_dictionaries({"subscription": st.just("0x1") | values, "result": values}),
    },
)
answers = st.lists(st.binary(max_size=50) | messages.map(lambda message: json.dumps(message).encode()), max_size=5)


@contextlib.asynccontextmanager
async def speaking(*lines: bytes) -> AsyncIterator[IpcRpc]:
    """A connection to somebody who says just that to whatever he is asked, and then closes."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError):
            await reader.readline()
            for line in lines:
                writer.write(line + b"\n")
            await writer.drain()
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        server = await asyncio.start_unix_server(babble, path)
        try:
            async with asyncio.timeout(20), await IpcRpc.connect(path, where="node1") as rpc:
                yield rpc
        finally:
            server.close()


async def all_heads(rpc: Any) -> None:
    async with contextlib.aclosing(rpc.heads()) as heads:
        async for number in heads:
            assert isinstance(number, int)


@settings(max_examples=150, deadline=None)
@given(answers)
def test_no_answer_over_a_socket_gives_more_than_an_rpc_error(lines: list[bytes]) -> None:
    async def run() -> None:
        async with speaking(*lines) as rpc:
            with contextlib.suppress(RpcError):
                await rpc.call("eth_x", timeout=5)
        async with speaking(*lines) as rpc:
            with pytest.raises(RpcError):
                await all_heads(rpc)

    asyncio.run(run())


@pytest.fixture
def pythons_own_recursion_limit() -> Iterator[None]:
    """Hypothesis raises it for the whole process, to more than the C stack holds."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


def notification(result: Any, subscription: str = "0x1") -> bytes:
    return json.dumps({"params": {"subscription": subscription, "result": result}}).encode()


@pytest.mark.parametrize("head", [7, "x", [], {}, {"number": 7}, {"number": "0x"}, {"number": "0x" + "f" * 100}, True])
def test_a_head_of_another_shape_is_told(head: Any) -> None:
    async def run() -> None:
        answers = [b'{"id": 1, "result": "0x1"}', b'{"id": 2, "result": "0x5"}', notification(head)]
        async with speaking(*answers) as rpc:
            await all_heads(rpc)

    with pytest.raises(RpcError):
        asyncio.run(run())


@pytest.mark.parametrize(
    "flood",
    [
        b"[" * 200_000,  # deeper than Python's stack
        b"x" * (base.LARGEST_ANSWER + 10),
        b"\n".join([notification("x" * 100, "0x2")] * 5000),  # of a subscription that nobody asked for
    ],
    ids=["nested", "endless", "unasked"],
)
def test_a_flood_ends_the_connection_and_nothing_else(flood: bytes, pythons_own_recursion_limit: None) -> None:
    async def run() -> None:
        async with speaking(flood) as rpc:
            await rpc.call("eth_x")

    with pytest.raises(RpcError, match="connection lost"):
        asyncio.run(run())


def test_notifications_that_nobody_takes_are_bounded() -> None:
    async def run() -> None:
        flood = b"\n".join([notification("0x1")] * 30_000)
        async with (
            speaking(b'{"id": 1, "result": "0x1"}', flood) as rpc,
            contextlib.aclosing(rpc.subscribe("x")) as items,
        ):
            await anext(items)
            await rpc.closed()
            assert sum([1 async for _ in items]) <= 10_000

    with pytest.raises(RpcError, match="connection lost"):
        asyncio.run(run())


def test_a_subscription_that_is_over_may_be_told_more_of_for_ever() -> None:
    async def run() -> Any:
        first = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b'{"id": 1, "result": "0x1"}\n' + notification("0x1") + b"\n")
            await first.wait()
            writer.write(b"\n".join([notification("0x1")] * 1000) + b"\n")
            await reader.readline()
            writer.write(b'{"id": 2, "result": 7}\n')

        with tempfile.TemporaryDirectory() as folder:
            server = await asyncio.start_unix_server(serve, Path(folder) / "s")
            async with asyncio.timeout(20), await IpcRpc.connect(Path(folder) / "s") as rpc:
                async with contextlib.aclosing(rpc.subscribe("x")) as items:
                    await anext(items)
                first.set()
                answer = await rpc.call("eth_x")
            server.close()
            return answer

    assert asyncio.run(run()) == 7


async def over_http(content: bytes, **headers: str) -> Any:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=content, headers=headers)

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with HttpRpc(f"http://127.0.0.1:{runner.addresses[0][1]}", where="node1") as rpc:
            with contextlib.suppress(RpcError):
                await rpc.call("eth_x")
            return await all_heads(rpc)
    finally:
        await runner.cleanup()


@settings(max_examples=60, deadline=None)
@given(answers)
def test_no_answer_over_http_gives_more_than_an_rpc_error(lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    with contextlib.suppress(RpcError, TimeoutError):  # it may tell the same block for ever
        asyncio.run(asyncio.wait_for(over_http(content), 0.5))


@pytest.mark.parametrize("headers", [{"Content-Type": "application/json; charset=nonsense"}, {"Content-Type": "x"}])
def test_odd_headers_are_odd_answers(headers: dict[str, str]) -> None:
    with pytest.raises(RpcError):
        asyncio.run(over_http(b"\xff", **headers))


def test_an_http_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST_ANSWER", 1000)
    with pytest.raises(RpcError, match="more than 1000 bytes"):
        asyncio.run(over_http(b"1" * 2000))


@given(values)
def test_a_quantity_is_one_or_told(value: Any) -> None:
    try:
        assert quantity(value, "m", "node1") >= 0
    except RpcError as error:
        assert one_line(error.message) == error.message


@pytest.mark.parametrize("wrong", ["x['a']", "{}['a']", "[][0]", "int('x')", "(1).x"])
def test_what_is_taken_out_of_an_answer_may_not_be_there(wrong: str) -> None:
    with pytest.raises(RpcError, match="node1: an answer of another shape"), expecting("node1"):
        eval(wrong, {"x": "text"})
