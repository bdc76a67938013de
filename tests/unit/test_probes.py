"""What a cluster asks a node program, and `verify` by URLs alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner

from quorumkit.cli.main import run
from quorumkit.cli.node_run import run_
from quorumkit.errors import RpcError
from quorumkit.node.health import HealthServer
from quorumkit.node.status import NodeStatus, State
from quorumkit.rpc.http import connect_patiently


def ask(statuses: list[NodeStatus], path: str) -> tuple[int, str]:
    async def asking() -> tuple[int, str]:
        server = HealthServer("bank", lambda: statuses)
        port = await server.listen("127.0.0.1", 0)
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{port}{path}") as response,
            ):
                return response.status, await response.text()
        finally:
            await server.close()

    return asyncio.run(asking())


@pytest.mark.parametrize(
    ("state", "code"), [("exchanging", 503), ("starting", 503), ("waiting", 200), ("running", 200)]
)
def test_startz_answers_once_the_client_is_up(state: State, code: int) -> None:
    status, text = ask([NodeStatus("node1", state=state, error="waits for node2")], "/startz")
    assert status == code
    assert text == f"node1: {state}, block -, 0 of 0 peers; waits for node2\n"


def test_startz_waits_for_every_node_of_the_program() -> None:
    assert ask([NodeStatus("node1", state="running"), NodeStatus("node2", state="starting")], "/startz")[0] == 503


def test_status_is_one_line_so_that_several_can_be_read_together() -> None:
    nodes = [NodeStatus("node1", error="two\nlines"), NodeStatus("node2", block=7)]
    code, text = ask(nodes, "/status")
    assert code == 200
    assert text.count("\n") == 1 and text.endswith("\n")
    assert [NodeStatus.from_json(node) for node in json.loads(text)] == nodes


@pytest.mark.parametrize(
    ("urls", "said"),
    [(["node1:8545"], "'node1:8545' is not a URL"), (["http://node1:8545"] * 2, "a URL was given twice")],
)
def test_verify_refuses_what_it_cannot_ask(urls: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", *(f"--rpc={url}" for url in urls)]) == 2
    assert said in capsys.readouterr().err


def test_verify_by_url_tells_which_one_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--rpc", "http://127.0.0.1:1", "--timeout", "1"]) == 1
    assert "http://127.0.0.1:1" in capsys.readouterr().err


def test_a_client_that_is_only_just_starting_is_waited_for() -> None:
    async def late() -> None:
        calls: list[str] = []

        async def handle(request: web.Request) -> web.Response:
            calls.append(request.path)
            if len(calls) == 1:
                return web.Response(text="not up yet", status=503)
            return web.json_response({"jsonrpc": "2.0", "id": 1, "result": "0x539"})

        app = web.Application()
        app.router.add_post("/", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            rpc = await connect_patiently(f"http://127.0.0.1:{runner.addresses[0][1]}", timeout=20)
            assert len(calls) == 2
            await rpc.close()
        finally:
            await runner.cleanup()

    asyncio.run(late())


def test_a_client_that_never_answers_is_given_up() -> None:
    with pytest.raises(RpcError, match=r"127\.0\.0\.1:1"):
        asyncio.run(connect_patiently("http://127.0.0.1:1", timeout=0.2))


def test_json_rpc_answers_to_further_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def keep(options: Any) -> None:
        given["names"] = options.exchange.rpc_names

    monkeypatch.setattr("quorumkit.node.program.run", keep)
    (tmp_path / "secret").write_text("s" * 40)
    environment = {
        "QUORUMKIT_PEER_PREFIX": "mynet-", "QUORUMKIT_PEER_SUFFIX": ".mynet-peers", "QUORUMKIT_FIRST_INDEX": "0",
        "QUORUMKIT_NODE_NAME": "mynet-0", "QUORUMKIT_JOIN_SECRET_FILE": str(tmp_path / "secret"),
        "QUORUMKIT_RPC_BIND": "0.0.0.0:8545", "QUORUMKIT_RPC_NAMES": "mynet-rpc,quorum.example,localhost",
    }  # fmt: skip
    result = CliRunner().invoke(run_, [str(tmp_path), "--exchange"], env=environment)
    assert result.exit_code == 0, result.output
    assert given["names"] == ("localhost", "mynet-0.mynet-peers", "mynet-rpc", "quorum.example")
