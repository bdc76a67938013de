"""CometBFT's socket protocol, from its side."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from quorumkit.engines.bft.bridge import abci_pb2 as abci
from quorumkit.engines.bft.bridge.wire import Handler, Server, WireError, framed
from quorumkit.errors import NodeError, QuorumkitError
from quorumkit.rpc.sockets import short_socket_path


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, path: Path) -> Client:
        with short_socket_path(path) as name:
            return cls(*await asyncio.open_unix_connection(name))

    def send(self, **request: Any) -> None:
        self.writer.write(framed(abci.Request(**request)))

    async def answer(self) -> abci.Response:
        length = shift = 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        return abci.Response.FromString(await self.reader.readexactly(length))


@contextlib.asynccontextmanager
async def serving(path: Path, handlers: dict[str, Handler]) -> AsyncIterator[tuple[Server, Client, list[str]]]:
    said: list[str] = []
    server = Server(handlers, say=lambda level, text: said.append(f"{level} {text}"))
    await server.listen(path)
    client = await Client.connect(path)
    try:
        async with asyncio.timeout(10):
            yield server, client, said
    finally:
        client.writer.close()
        await server.close()


def test_answers_come_in_the_order_of_the_requests(tmp_path: Path) -> None:
    async def query(request: abci.RequestQuery) -> abci.ResponseQuery:
        await asyncio.sleep(0.02 if request.path == "slow" else 0)
        return abci.ResponseQuery(value=request.path.encode())

    async def run() -> None:
        async with serving(tmp_path / "abci.sock", {"query": query}) as (_, client, _said):
            client.send(query={"path": "slow"})
            client.send(query={"path": "quick"})
            client.send(flush={})
            client.send(echo={"message": "x" * 1000})
            assert (await client.answer()).query.value == b"slow"
            assert (await client.answer()).query.value == b"quick"
            assert (await client.answer()).WhichOneof("value") == "flush"
            assert (await client.answer()).echo.message == "x" * 1000

    asyncio.run(run())


def test_one_connection_does_not_wait_for_another(tmp_path: Path) -> None:
    async def run() -> None:
        release = asyncio.Event()

        async def info(_: abci.RequestInfo) -> abci.ResponseInfo:
            await release.wait()
            return abci.ResponseInfo()

        async with serving(tmp_path / "abci.sock", {"info": info}) as (_, client, _said):
            client.send(info={})
            other = await Client.connect(tmp_path / "abci.sock")
            other.send(echo={"message": "there"})
            assert (await other.answer()).echo.message == "there"
            release.set()
            assert (await client.answer()).WhichOneof("value") == "info"
            other.writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("error", [NodeError("the disk is full"), RuntimeError("the disk is full")])
def test_a_request_that_fails_ends_the_bridge_with_its_reason(tmp_path: Path, error: Exception) -> None:
    async def commit(_: abci.RequestCommit) -> abci.ResponseCommit:
        raise error

    async def run() -> None:
        async with serving(tmp_path / "abci.sock", {"commit": commit}) as (server, client, said):
            client.send(commit={})
            assert "the disk is full" in (await client.answer()).exception.error
            with pytest.raises(QuorumkitError, match="the disk is full"):
                await server.wait()
            assert "ERROR" in said[0]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"\x05\xff\xff\xff\xff\xff", "no ABCI request"),
        (b"\xff\xff\xff\xff\x0f", "more than"),
        (b"\x80" * 20, "more than"),
        (b"\x00", "something unknown"),
    ],
)
def test_what_is_no_abci_ends_the_bridge(tmp_path: Path, sent: bytes, said: str) -> None:
    async def run() -> None:
        async with serving(tmp_path / "abci.sock", {}) as (server, client, _):
            client.writer.write(sent)
            with pytest.raises(WireError, match=said):
                await server.wait()

    asyncio.run(run())


def test_a_cometbft_that_ends_in_the_middle_of_a_message_is_no_failure(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "abci.sock", {}) as (server, client, said):
            client.writer.write(b"\x20half")
            client.writer.close()
            other = await Client.connect(tmp_path / "abci.sock")
            other.send(echo={"message": "anew"})
            assert (await other.answer()).echo.message == "anew"
            other.writer.close()
            assert not said
            waiting = asyncio.ensure_future(server.wait())
            await asyncio.sleep(0)
            assert not waiting.done()
            waiting.cancel()

    asyncio.run(run())


def test_the_socket_is_its_owners_alone_and_replaces_a_stale_one(tmp_path: Path) -> None:
    path = tmp_path.joinpath(*["a-directory-with-a-long-name"] * 6, "abci.sock")
    path.parent.mkdir(parents=True)
    path.write_text("left by a killed one")

    async def run() -> None:
        async with serving(path, {}) as (_, client, _said):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            client.send(echo={"message": "deep"})
            assert (await client.answer()).echo.message == "deep"
        assert not path.exists()

    asyncio.run(run())


def test_one_that_cannot_listen_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        server = Server({}, say=lambda level, text: None)
        with pytest.raises(WireError, match="cannot listen"):
            await server.listen(tmp_path / "nowhere" / "abci.sock")
        await server.close()

    asyncio.run(run())
