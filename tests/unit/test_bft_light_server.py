"""What a member tells those who join, with a CometBFT that is a double, and clients that mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from quorumkit.addresses import Endpoint
from quorumkit.engines.bft import light_server
from quorumkit.engines.bft.joining import ask_by_http
from quorumkit.engines.bft.light_server import Allowance, LightServer
from quorumkit.errors import PortError, RpcError
from support.ports import free_ports

STATUS = {
    "node_info": {"network": "quorumkit-1", "listen_addr": "tcp://10.0.0.1:26656", "moniker": "node1"},
    "sync_info": {
        "latest_block_height": "34", "earliest_block_height": "1", "catching_up": False, "latest_app_hash": "AB",
    },
    "validator_info": {"address": "00"},
}  # fmt: skip


class Comet:
    """Answers on a unix socket, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: dict[str, Any] | None = None
        self.hold: asyncio.Event | None = None
        self.at_once = self.most_at_once = 0

    async def handle(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.asked.append(asked)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await (self.hold.wait() if self.hold is not None else asyncio.sleep(0))
        self.at_once -= 1
        result = STATUS if asked["method"] == "status" else {"of": asked["params"]}
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], **(self.answer or {"result": result})})


@contextlib.asynccontextmanager
async def running(
    directory: Path, *, comet: bool = True, allowance: Allowance | None = None
) -> AsyncIterator[tuple[Comet, str]]:
    double, path = Comet(), directory / "rpc.sock"
    application = web.Application()
    application.router.add_post("/", double.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    if comet:
        await web.UnixSite(runner, str(path)).start()
    [port] = free_ports(1)
    listening = asyncio.Event()
    serving = asyncio.create_task(LightServer(path, allowance).serve(Endpoint("127.0.0.1", port), ready=listening.set))
    try:
        await asyncio.wait_for(listening.wait(), 5)
        yield double, f"http://127.0.0.1:{port}/"
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        await runner.cleanup()


def test_it_tells_what_a_light_client_asks_for(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (comet, url):
            asked = {"height": "7", "page": "1", "per_page": "100"}
            assert await ask_by_http(url, "validators", asked) == {"of": asked}
            assert await ask_by_http(url, "commit", {"height": 7}) == {"of": {"height": "7"}}
            assert await ask_by_http(url, "commit", {}) == {"of": {}}
            assert await ask_by_http(url, "consensus_params", {"height": "7"}) == {"of": {"height": "7"}}
            assert await ask_by_http(url, "status", {}) == {
                "node_info": {"network": "quorumkit-1"},
                "sync_info": {"latest_block_height": "34", "earliest_block_height": "1", "catching_up": False},
            }
            comet.answer = {"error": {"code": -32603, "message": "Internal error", "data": "height 9 is not available"}}
            with pytest.raises(RpcError):
                await ask_by_http(url, "commit", {"height": "9"})

    asyncio.run(main())


def test_why_a_height_is_not_there_is_told_as_light_clients_know_it(tmp_path: Path) -> None:
    """light/provider/http looks for these words in message and data."""

    async def main() -> None:
        words = "height 9 must be less than or equal to the current blockchain height 8"
        async with running(tmp_path) as (comet, url), aiohttp.ClientSession() as session:
            comet.answer = {"error": {"code": -32603, "message": "Internal error", "data": words}}
            question = {"jsonrpc": "2.0", "id": 5, "method": "commit", "params": {"height": "9"}}
            async with session.post(url, json=question) as response:
                answer = await response.json()
            assert (answer["id"], answer["error"]["data"]) == (5, words)

    asyncio.run(main())


@pytest.mark.parametrize(
    "method",
    ["broadcast_tx_async", "dial_peers", "broadcast_evidence", "net_info", "block", "unsafe_flush_mempool"],
)
def test_it_tells_nothing_else(tmp_path: Path, method: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as (comet, url):
            with pytest.raises(RpcError):
                await ask_by_http(url, method, {"tx": "AAAA", "peers": "x"})
            assert comet.asked == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[]", "null", "7", '"commit"', "[" * 4000, '{"id":1}', '{"id":1,"method":["commit"]}'),
        *('{"id":{},"method":"commit"}', '{"method":"commit"}', '{"id":true,"method":"commit"}'),
        *('{"id":1,"method":"commit","params":[1]}', '{"id":1,"method":"commit","params":{"height":"x"}}'),
        *('{"id":1,"method":"commit","params":{"height":-1}}', '{"id":1,"method":"commit","params":{"height":0}}'),
        '{"id":1,"method":"commit","params":{"height":Infinity}}',
        '{"id":1,"method":"commit","params":{"height":"' + "9" * 2000 + '"}}',
        '{"id":1,"method":"validators","params":{"per_page":"100000"}}',
        '[{"id":1,"method":"commit"}]',
    ],
)
def test_what_is_no_request_is_refused_and_asks_nobody(tmp_path: Path, body: str) -> None:
    async def main() -> None:
        async with running(tmp_path) as (comet, url), aiohttp.ClientSession() as session:
            async with session.post(url, data=body) as response:
                assert response.status == 200
                assert "error" in await response.json()
            assert comet.asked == []
            assert await ask_by_http(url, "commit", {}) == {"of": {}}, "it goes on"

    asyncio.run(main())


def test_a_request_too_large_or_by_another_way_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (comet, url), aiohttp.ClientSession() as session:
            async with session.post(url, data=b"x" * 5000) as response:
                assert response.status == 413
            async with session.get(url) as response:
                assert response.status == 404
            async with session.post(url + "dial_peers") as response:
                assert response.status == 404
            assert comet.asked == []

    asyncio.run(main())


def test_nothing_but_numbers_goes_on_to_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as (comet, url):
            await ask_by_http(url, "commit", {"height": "7", "tx": "AAAA", "prove": True})
            assert comet.asked == [{"jsonrpc": "2.0", "id": 1, "method": "commit", "params": {"height": "7"}}]

    asyncio.run(main())


def test_while_consensus_is_away_or_hangs_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_server, "_ANSWER_WITHIN", 0.1)

    async def main() -> None:
        async with running(tmp_path, comet=False) as (_, url):
            with pytest.raises(RpcError, match="refused"):
                await ask_by_http(url, "commit", {})
        async with running(tmp_path) as (comet, url):
            comet.hold = asyncio.Event()
            with pytest.raises(RpcError, match="refused"):
                await ask_by_http(url, "commit", {})
            comet.hold.set()
            comet.answer = {"result": [1]}
            with pytest.raises(RpcError, match="refused"):
                await ask_by_http(url, "status", {})

    asyncio.run(main())


def test_one_who_asks_on_and_on_is_refused_and_cometbft_is_asked_one_thing_at_a_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path, allowance=Allowance(most=20, again=0.0)) as (comet, url):
            asking = [asyncio.create_task(ask_by_http(url, "commit", {})) for _ in range(30)]
            answers = await asyncio.gather(*asking, return_exceptions=True)
            assert sum(1 for answer in answers if answer == {"of": {}}) == 20
            assert (len(comet.asked), comet.most_at_once) == (20, 1)

    asyncio.run(main())


def test_an_allowance_fills_again_and_is_each_addresses_own() -> None:
    allowance = Allowance(most=2, again=1.0, addresses=2)

    assert [allowance.take("a", 0.0) for _ in range(3)] == [True, True, False]
    assert allowance.take("b", 0.0)
    assert not allowance.take("a", 0.5)
    assert allowance.take("a", 1.5)
    assert not allowance.take("a", 1.6)
    assert [allowance.take("a", 100.0) for _ in range(3)] == [True, True, False], "no more than it holds"
    allowance.take("b", 100.0), allowance.take("c", 100.0)
    assert len(allowance._left) == 2, "what it remembers is bounded"


def test_a_port_that_is_taken_is_told() -> None:
    async def main() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            place = Endpoint("127.0.0.1", other.getsockname()[1])
            with pytest.raises(PortError, match=r"port for those who join: 127\.0\.0\.1"):
                await LightServer(Path("/nonexistent/rpc.sock")).serve(place, ready=lambda: None)

    asyncio.run(main())


def test_a_member_that_answers_nonsense_gives_an_error(tmp_path: Path) -> None:
    async def main() -> None:
        answers = [b"", b"{", b"[]", b"1", json.dumps({"error": "x\x1b[2J"}).encode(), b"[" * 100000]

        async def handle(request: web.Request) -> web.Response:
            return web.Response(body=answers[int(request.headers.get("n", "0"))])

        application = web.Application()
        application.router.add_post("/{n}", handle)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            for answer in list(answers):
                answers[0] = answer
                with pytest.raises(RpcError):
                    await ask_by_http(f"http://127.0.0.1:{runner.addresses[0][1]}/x", "commit", {})
        finally:
            await runner.cleanup()

    asyncio.run(main())


class Carrier:
    """The node program, for a node that has blocks."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.listens = asyncio.Event()
        self.said: list[str] = []
        ends = SimpleNamespace(p2p_bind=Endpoint("127.0.0.1", 1), ports={"light": port})
        self._record = SimpleNamespace(endpoints=ends, peers=())

    def record(self) -> Any:
        return self._record

    def say(self, level: str, text: str) -> None:
        self.said.append(f"{level} {text}")

    def ready(self) -> None:
        self.listens.set()


def test_a_nodes_part_listens_at_its_port_before_cometbft_does(tmp_path: Path) -> None:
    (tmp_path / "cometbft/config").mkdir(parents=True)
    (tmp_path / "cometbft/config/config.toml").write_text("")
    (tmp_path / "cometbft/data/blockstore.db").mkdir(parents=True)
    (tmp_path / "geth.toml").write_text("")

    async def main() -> None:
        [port] = free_ports(1)
        carrier: Any = Carrier(tmp_path, port)
        serving = asyncio.create_task(light_server.serve(carrier))
        await asyncio.wait_for(carrier.listens.wait(), 5)
        with pytest.raises(RpcError, match="refused"):
            await ask_by_http(f"http://127.0.0.1:{port}", "status", {})
        serving.cancel()
        await asyncio.wait({serving})
        assert carrier.said == []

    asyncio.run(main())
