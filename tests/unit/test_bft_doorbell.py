"""Blocks on demand: what wakes CometBFT."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from aiohttp import web

from quorumkit.engines.bft.bridge.doorbell import Doorbell, Mempool, doorbell, is_doorbell
from quorumkit.errors import RpcError


def test_a_doorbell_rings_for_two_heights_and_then_no_more() -> None:
    rung = doorbell(10)
    assert [is_doorbell(rung, height=height) for height in (8, 9, 10, 11, 12, 13)] == [False, True, True, True] + [
        False
    ] * 2


@pytest.mark.parametrize("data", [b"", b"\x00" * 8, b"\xff" * 8, doorbell(10)[1:], doorbell(10) + b"\x00"])
def test_nothing_else_rings(data: bytes) -> None:
    assert not is_doorbell(data, height=10)


def test_it_rings_once_a_height_while_there_is_something_and_waits_else() -> None:
    async def run() -> None:
        pool, rung, arrived, waiting = [0], list[bytes](), asyncio.Event(), asyncio.Event()
        rang = asyncio.Event()

        async def ring(data: bytes) -> None:
            rung.append(data)
            rang.set()

        async def pending() -> int:
            return pool[0]

        async def transaction() -> None:
            waiting.set()
            await arrived.wait()

        bell = Doorbell(pending=pending, ring=ring, transaction=transaction)
        task = asyncio.create_task(bell.run())
        async with asyncio.timeout(10):
            await waiting.wait()
            assert not rung
            pool[0] = 5
            arrived.set()
            await rang.wait()
            assert rung == [doorbell(0)]
            rang.clear()
            bell.decided(1)
            await rang.wait()
            assert rung[1:] == [doorbell(1)]
            waiting.clear()
            arrived.clear()
            pool[0] = 0
            bell.decided(2)
            await waiting.wait()
            assert len(rung) == 2
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_it_goes_on_when_cometbft_was_away() -> None:
    async def run() -> None:
        tries, rang = [0], asyncio.Event()

        async def ring(_: bytes) -> None:
            tries[0] += 1
            if tries[0] == 1:
                raise RpcError("CometBFT: not there")
            rang.set()

        async def pending() -> int:
            return 1

        async def transaction() -> None:
            raise AssertionError

        task = asyncio.create_task(Doorbell(pending=pending, ring=ring, transaction=transaction).run())
        async with asyncio.timeout(10):
            await rang.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_the_mempool_is_told_over_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "rpc.sock"
    got = []

    async def answer(request: web.Request) -> web.Response:
        got.append(await request.json())
        return web.json_response({"error": {"message": "tx already exists in cache"}})

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        await Mempool(path).put(b"\x00\x01")
        await runner.cleanup()
        with pytest.raises(RpcError, match="CometBFT"):
            await Mempool(path).put(b"\x00\x01")

    asyncio.run(run())
    assert got == [{"jsonrpc": "2.0", "id": 1, "method": "broadcast_tx_async", "params": {"tx": "AAE="}}]
