"""Networks of real clients, run through the command line as a person would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from quorumkit.node.control import SOCKET_NAME
from quorumkit.node.info import INFO_NAME
from quorumkit.record import read_record
from quorumkit.rpc import HttpRpc, IpcRpc
from support.commands import COMMAND, Result, poll

PATIENCE = 120.0
"""Seconds that anything may take here: the machine may be busy with other things."""


def eventually(check: Callable[[], Any], what: str, *, timeout: float = PATIENCE, pause: float = 0.05) -> Any:
    """What `check` returns, once it is true."""
    return poll(check, what, timeout=timeout, pause=pause)


def quorumkit(*arguments: str | Path, env: dict[str, str] | None = None, input: str | None = None) -> Result:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=3 * PATIENCE, check=False,
        env=os.environ | (env or {}), input=input,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


def begin(*arguments: str | Path) -> subprocess.Popen[str]:
    """A command that is not waited for."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


@dataclass
class RunningNetwork:
    """A network directory, and short ways to ask about it."""

    path: Path

    def run(self, command: str, *arguments: str | Path) -> Result:
        """A command on this network that must succeed."""
        result = quorumkit(command, *arguments, self.path)
        assert result.code == 0, f"{result.err or result.out}\n{self.last_words()}"
        return result

    def last_words(self) -> str:
        """What its logs end with, to find out why something failed."""
        logs = sorted((self.path / ".state").rglob("*.log"))
        return "\n".join(f"{log.name}:\n" + "\n".join(log.read_text().splitlines()[-30:]) for log in logs)

    def on_node(self, command: str, *arguments: str | Path, code: int = 0, **options: Any) -> Result:
        """A command that takes the network by `--dir`."""
        words = command.split()
        result = quorumkit(*words, "--dir", self.path, *arguments, **options)
        assert result.code == code, result.err or result.out
        return result

    def up(self, *arguments: str) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = self.run("up", "--json", *arguments).json["nodes"]
        return nodes

    def down(self) -> bool:
        stopped: bool = self.run("down", "--json").json["stopped"]
        return stopped

    def status(self) -> dict[str, dict[str, Any]]:
        """Nodes by name."""
        return {node["name"]: node for node in self.run("status", "--json").json["nodes"]}

    def told(self) -> dict[str, dict[str, Any]]:
        """Nodes by name, as the node program tells them: quicker than a command."""

        async def ask() -> Any:
            async with await IpcRpc.connect(self.path / ".state" / SOCKET_NAME) as rpc:
                return await rpc.call("node_status")

        return {node["name"]: node for node in asyncio.run(ask())}

    def complete(self) -> bool:
        """Whether every node runs and sees all its peers, as the node program says."""
        nodes = self.told().values()
        return all(node["state"] == "running" and node["peers"] == node["expected_peers"] for node in nodes)

    def verify(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.run("verify", "--json").json
        assert answer["ok"] is True, answer
        return answer

    def node(self, number: int) -> Path:
        return self.path / f"nodes/node{number}"

    def ask(self, number: int, method: str, *params: Any) -> Any:
        """JSON-RPC over the node's unix socket."""

        async def call() -> Any:
            async with await IpcRpc.connect(self.node(number) / "data/geth.ipc") as rpc:
                return await rpc.call(method, *params)

        return asyncio.run(call())

    def ask_http(self, number: int, method: str, *params: Any) -> Any:
        """JSON-RPC over the node's HTTP port."""

        async def call() -> Any:
            async with HttpRpc(read_record(self.node(number)).endpoints.rpc_url) as rpc:
                return await rpc.call(method, *params)

        return asyncio.run(call())

    def height(self, number: int = 1) -> int:
        return int(self.ask(number, "eth_blockNumber"), 16)

    def block_hash(self, number: int, height: int) -> str | None:
        block = self.ask(number, "eth_getBlockByNumber", hex(height), False)
        return str(block["hash"]) if block else None

    @property
    def supervisor(self) -> psutil.Process:
        return psutil.Process(json.loads((self.path / ".state" / INFO_NAME).read_text())["pid"])

    def processes(self) -> list[psutil.Process]:
        """The node program and all it started."""
        return [self.supervisor, *self.supervisor.children(recursive=True)]

    def clients(self) -> dict[str, psutil.Process]:
        """The nodes' clients by node name."""
        return {Path(process.cwd()).name: process for process in clients_below(self.path)}

    def keys(self) -> dict[str, bytes]:
        """Every key file of finished nodes, by path."""
        files = [*self.path.glob("nodes/node*/password"), *self.path.glob("nodes/node*/data/geth/nodekey")]
        files += self.path.glob("nodes/node*/data/keystore/*")
        return {str(file.relative_to(self.path)): file.read_bytes() for file in files}


@contextlib.contextmanager
def brought_up(path: Path, *arguments: str) -> Iterator[RunningNetwork]:
    """The network that `up` with these arguments makes; nothing is left of it after the block."""
    network = RunningNetwork(path)
    try:
        started = quorumkit("up", path, *arguments, "--timeout", str(int(PATIENCE)))
        assert started.code == 0, started.err + network.last_words()
        yield network
    finally:
        destroy(path)


def clients_below(path: Path) -> Iterator[psutil.Process]:
    """Every process whose working directory is a node's of that network."""
    nodes = (path / "nodes").resolve()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()).parent == nodes and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def supervisors_of(path: Path) -> Iterator[psutil.Process]:
    """Every node program of that network."""
    state = str((path / ".state").absolute())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if state in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def left_of(path: Path) -> list[psutil.Process]:
    """Everything that runs of that network."""
    return [*supervisors_of(path), *clients_below(path)]


def kill_all(path: Path) -> None:
    """As a power cut would, for this network's processes."""
    for process in left_of(path):
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE)


def destroy(path: Path) -> None:
    """Leaves nothing of it, whatever state it is in."""
    try:
        quorumkit("destroy", path, "--yes")
    finally:
        kill_all(path)
