"""JSON-RPC and flags as the spec asks for them, on a real client."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from networks import RunningNetwork, brought_up

from quorumkit.errors import RpcError
from support.clique import on_clique
from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = pytest.mark.network

PAGE, STRANGE_PAGE = "https://app.example", "https://strange.example"
SPEC = {
    "name": "bank",
    "nodes": {"validators": 1},
    "rpc": {
        "http": {"modules": ["eth", "net", "web3", "txpool", "debug"], "origins": [PAGE]},
        "ws": {"enabled": True, "modules": ["eth"], "origins": [PAGE]},
        "dangerous_modules": ["debug"],
    },
    "engine": {"verbosity": 4, "client_arguments": ["--rpc.gascap=30000", "--identity=a bank"]},
}


async def over_websocket(url: str, method: str, origin: str | None) -> Any:
    headers = {"Origin": origin} if origin else {}
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=headers) as socket:
        await socket.send_str(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}))
        return await socket.receive_json(timeout=20)


async def allowed_origin(url: str, origin: str) -> str | None:
    """What the answer lets a browser do."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=request, headers={"Origin": origin}) as answer,
    ):
        return answer.headers.get("Access-Control-Allow-Origin")


@pytest.mark.parametrize(
    "engine",
    [
        "geth",
        pytest.param("goquorum", marks=needs_goquorum),
    ],
)
def test_pages_websockets_modules_and_flags_are_as_the_spec_says(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "bank"
    path.mkdir()
    binary = {"binary": GOQUORUM} if engine == "goquorum" else {}
    spec = SPEC | {"engine": SPEC["engine"] | {"kind": engine} | binary}  # type: ignore[operator]
    (path / "quorumkit.yaml").write_text(json.dumps(on_clique(spec)))
    with brought_up(path) as network:
        url = network.status()["node1"]["rpc_url"]
        check_http(network, url)
        check_websocket(url.replace("http://", "ws://"))
        assert "a bank" in network.ask_http(1, "web3_clientVersion")
        log = (path / ".state/logs/node1.log").read_text()
        assert "DEBUG" in log, "the client logs more"


def check_http(network: RunningNetwork, url: str) -> None:
    assert network.ask_http(1, "debug_traceBlockByNumber", "0x1") == []
    with pytest.raises(RpcError, match="does not exist"):
        network.ask_http(1, "admin_peers")
    assert asyncio.run(allowed_origin(url, PAGE)) == PAGE
    assert asyncio.run(allowed_origin(url, STRANGE_PAGE)) is None


def check_websocket(url: str) -> None:
    for origin in (None, PAGE):
        assert asyncio.run(over_websocket(url, "eth_chainId", origin))["result"] == hex(1337)
    assert "error" in asyncio.run(over_websocket(url, "debug_gcStats", None)), "it has modules of its own"
    with pytest.raises(aiohttp.WSServerHandshakeError):
        asyncio.run(over_websocket(url, "eth_chainId", STRANGE_PAGE))
