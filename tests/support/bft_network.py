"""Networks of real geth and CometBFT processes, with their bridges in the test's own event loop.

No node program runs them: a test may end, replace and misuse each part by itself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from nacl.signing import SigningKey

from quorumkit.engines.bft.bridge.application import Application
from quorumkit.engines.bft.bridge.bridge import BridgeSettings, serve
from quorumkit.engines.bft.paths import ABCI_SOCKET, RPC_SOCKET
from quorumkit.files import private_directory
from quorumkit.rpc import IpcRpc
from quorumkit.rpc.sockets import short_socket_path
from support.bft_geth import RealGeth
from support.ports import free_ports

LARGEST_BLOCK = 20 * 1024 * 1024


class BftNode:
    """One node: its directory, its keys, and whatever of it runs."""

    def __init__(self, network: BftNetwork, name: str) -> None:
        self.network, self.name = network, name
        self.directory = network.directory / name
        self.geth = RealGeth(
            network.geth, private_directory(self.directory / "data"), scheme=network.scheme, alloc=network.alloc
        )
        self.settings = BridgeSettings(
            directory=self.directory,
            period=network.period,
            empty_blocks=network.empty_blocks,
            fee_recipient="0x" + hashlib.sha256(name.encode()).hexdigest()[:40],
            fork="osaka",
            pruned=network.pruned,
            members=lambda: frozenset(node.node_id for node in network.nodes),
        )
        self.application: type[Application] = Application
        """What answers CometBFT: another one where the test has the node misbehave."""
        self.figures: dict[str, Any] = {}
        """What its bridge published last."""
        self.said: list[str] = []
        self.validator_key, self.peer_key = SigningKey.generate(), SigningKey.generate()
        (self.port,) = free_ports(1)
        self._cometbft: subprocess.Popen[bytes] | None = None
        self._bridge: asyncio.Task[None] | None = None
        (self.directory / "cometbft" / "config").mkdir(parents=True)
        (self.directory / "cometbft" / "data").mkdir()

    @property
    def node_id(self) -> str:
        return hashlib.sha256(bytes(self.peer_key.verify_key)).hexdigest()[:40]

    @property
    def address(self) -> str:
        return hashlib.sha256(bytes(self.validator_key.verify_key)).hexdigest()[:40].upper()

    @property
    def peer_address(self) -> str:
        return f"{self.node_id}@127.0.0.1:{self.port}"

    # --- files

    def write_files(self, peers: list[BftNode]) -> None:
        config, data = self.directory / "cometbft" / "config", self.directory / "cometbft" / "data"
        (config / "genesis.json").write_text(json.dumps(self.network.consensus_genesis()))
        (config / "config.toml").write_text(self.network.config_of(self, peers))
        (config / "node_key.json").write_text(json.dumps({"priv_key": _private(self.peer_key)}))
        key = {"address": self.address, "pub_key": public(self.validator_key), "priv_key": _private(self.validator_key)}
        (config / "priv_validator_key.json").write_text(json.dumps(key))
        state = data / "priv_validator_state.json"
        if not state.exists():
            state.write_text(json.dumps({"height": "0", "round": 0, "step": 0}))
        self.geth.peers = [peer.geth for peer in peers]

    def wipe(self) -> None:
        """Empties the disk, but for what it has signed last."""
        shutil.rmtree(self.directory / "data" / "geth" / "chaindata")
        subprocess.run(
            [self.network.geth, "init", "--datadir", self.geth.directory, "--state.scheme", self.network.scheme,
             self.geth.directory / "genesis.json"],
            check=True, capture_output=True,
        )  # fmt: skip
        for path in (self.directory / "cometbft" / "data").iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "priv_validator_state.json":
                path.unlink()

    # --- its parts

    async def start(self) -> None:
        self.geth.start()
        await self.geth.answering()
        await self.start_bridge()
        self.start_cometbft()

    async def start_bridge(self) -> None:
        ready = asyncio.Event()
        self._bridge = asyncio.create_task(
            serve(
                self.settings,
                say=lambda level, text: self.said.append(f"{level} {text}"),
                ready=ready.set,
                publish=self.figures.__setitem__,
                application=self.application,
            ),
            name=f"bridge of {self.name}",
        )
        waiting = asyncio.ensure_future(ready.wait())
        await asyncio.wait({self._bridge, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._bridge.done():
            self._bridge.result()

    def start_cometbft(self) -> None:
        (self.directory / RPC_SOCKET).unlink(missing_ok=True)
        with (self.directory / "cometbft.log").open("ab") as log:
            self._cometbft = subprocess.Popen(
                [self.network.cometbft, "start", "--home", "cometbft"],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | {"GOMAXPROCS": "2"},
            )  # fmt: skip

    def kill_cometbft(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._cometbft is not None:
            self._cometbft.send_signal(how)
            self._cometbft.wait(60)
            self._cometbft = None

    async def end_bridge(self) -> None:
        if self._bridge is not None:
            self._bridge.cancel()
            await asyncio.wait({self._bridge})
            self._bridge = None

    @property
    def is_whole(self) -> bool:
        """Whether all its parts run."""
        return (
            self.geth.runs
            and self._cometbft is not None
            and self._cometbft.poll() is None
            and self._bridge is not None
            and not self._bridge.done()
        )

    @property
    def failure(self) -> BaseException | None:
        """Why the bridge ended, if it did by itself."""
        ended = self._bridge is not None and self._bridge.done() and not self._bridge.cancelled()
        return self._bridge.exception() if ended and self._bridge is not None else None

    async def bridge_failed(self) -> BaseException | None:
        """Why the bridge ended by itself, once it has."""
        assert self._bridge is not None
        await asyncio.wait({self._bridge})
        return self._bridge.exception()

    async def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """All its parts, the last one first."""
        self.kill_cometbft(how)
        await self.end_bridge()
        self.geth.kill(how)

    # --- asked

    async def call(self, method: str, *params: Any) -> Any:
        """Of geth."""
        async with await IpcRpc.connect(self.geth.ipc) as rpc:
            return await rpc.call(method, *params)

    async def number(self) -> int:
        return int(await self.call("eth_blockNumber"), 16)

    async def block(self, number: int | str = "latest") -> Any:
        return await self.call("eth_getBlockByNumber", number if isinstance(number, str) else hex(number), False)

    async def consensus(self, method: str, **params: Any) -> Any:
        """Of CometBFT."""
        with short_socket_path(self.directory / RPC_SOCKET) as name:
            async with (
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=name)) as session,
                session.post(
                    "http://cometbft/", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
                ) as response,
            ):
                answer = await response.json(content_type=None)
                assert "error" not in answer, answer
                return answer["result"]

    async def reached(self, number: int, timeout: float = 60) -> None:
        """Until geth's head is at that block."""
        async with (
            asyncio.timeout(timeout),
            await IpcRpc.connect(self.geth.ipc) as rpc,
            contextlib.aclosing(rpc.heads()) as heads,
        ):
            async for head in heads:
                if head >= number:
                    return


class BftNetwork:
    """Its nodes are `validators` ones that vote and then `observers` that do not."""

    def __init__(
        self, directory: Path, *, geth: Path, cometbft: Path, validators: int = 4, observers: int = 0, period: int = 1,
        empty_blocks: bool = True, scheme: str = "path", pruned: bool = True, alloc: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self.directory, self.geth, self.cometbft = directory, geth, cometbft
        self.period, self.empty_blocks, self.scheme, self.pruned = period, empty_blocks, scheme, pruned
        self.alloc = alloc or {}
        self.config: dict[str, dict[str, Any]] = {}
        """On top of what a node of ours has in config.toml; the settings of no table under ''."""
        self.nodes: list[BftNode] = []
        for index in range(validators + observers):
            self.nodes.append(BftNode(self, f"node{index + 1}"))
        self.validators = self.nodes[:validators]
        self._genesis_time = datetime.datetime.now(datetime.UTC)

    def consensus_genesis(self) -> dict[str, Any]:
        return {
            "genesis_time": self._genesis_time.isoformat().replace("+00:00", "Z"),
            "chain_id": "quorumkit-test",
            "initial_height": "1",
            "consensus_params": {
                "block": {"max_bytes": str(LARGEST_BLOCK), "max_gas": "-1"},
                "evidence": {
                    "max_age_num_blocks": "10000",
                    "max_age_duration": "10000000000000",
                    "max_bytes": "1048576",
                },
                "validator": {"pub_key_types": ["ed25519"]},
                "version": {},
                "abci": {"vote_extensions_enable_height": "0"},
            },
            "validators": [
                {"address": node.address, "pub_key": public(node.validator_key), "power": "1", "name": node.name}
                for node in self.validators
            ],
            "app_hash": "",
        }

    def config_of(self, node: BftNode, peers: list[BftNode]) -> str:
        tables: dict[str, dict[str, Any]] = {
            "": {"proxy_app": f"unix://{ABCI_SOCKET}", "abci": "socket", "moniker": node.name, "filter_peers": True,
                 "log_level": "error", "log_format": "plain"},
            "rpc": {"laddr": f"unix://{RPC_SOCKET}", "unsafe": True, "max_body_bytes": 2 * LARGEST_BLOCK},
            "p2p": {
                "laddr": f"tcp://127.0.0.1:{node.port}", "pex": False, "addr_book_strict": False,
                "allow_duplicate_ip": True, "persistent_peers": ",".join(peer.peer_address for peer in peers),
                "persistent_peers_max_dial_period": "2s", "send_rate": 104857600, "recv_rate": 104857600,
                "max_packet_msg_payload_size": 65536,
            },
            "mempool": {"type": "flood", "broadcast": False},
            "consensus": {
                "timeout_propose": f"{self.period * 1000 + 1500}ms", "timeout_propose_delta": "250ms",
                "timeout_prevote": "300ms", "timeout_prevote_delta": "100ms", "timeout_precommit": "300ms",
                "timeout_precommit_delta": "100ms", "timeout_commit": "0s", "create_empty_blocks": self.empty_blocks,
                "peer_gossip_sleep_duration": "25ms",
            },
            "storage": {"discard_abci_responses": True},
            "tx_index": {"indexer": "null"},
        }  # fmt: skip
        for name, further in self.config.items():
            tables[name] = tables.get(name, {}) | further
        return "\n".join(
            (f"[{name}]\n" if name else "") + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
            for name, table in tables.items()
        )

    def write_files(self) -> None:
        for node in self.nodes:
            node.write_files([peer for peer in self.nodes if peer is not node])

    async def start(self, *nodes: BftNode) -> None:
        """All at once, or those named."""
        if not nodes:
            self.write_files()
        await asyncio.gather(*(node.start() for node in nodes or self.nodes))

    async def stop(self) -> None:
        """Nothing of it runs then."""
        await asyncio.gather(*(node.kill() for node in self.nodes))

    async def __aenter__(self) -> BftNetwork:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()


async def until(
    condition: Callable[[], Awaitable[bool]], *, what: str, timeout: float = 60, every: float = 0.05
) -> None:
    """Looks again and again, for what tells nobody that it came about."""
    deadline = time.monotonic() + timeout
    while not await condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout:g} s"
        await asyncio.sleep(every)


def public(key: SigningKey) -> dict[str, str]:
    return {"type": "tendermint/PubKeyEd25519", "value": base64.b64encode(bytes(key.verify_key)).decode()}


def _private(key: SigningKey) -> dict[str, str]:
    value = base64.b64encode(bytes(key) + bytes(key.verify_key)).decode()
    return {"type": "tendermint/PrivKeyEd25519", "value": value}
