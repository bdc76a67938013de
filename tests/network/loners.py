"""Nodes that share nothing, each its own node program at an address of its own on the loopback network."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil
from networks import PATIENCE, eventually, quorumkit

from quorumkit.contracts import storage_contract
from quorumkit.record import NodeRecord, read_record
from quorumkit.rpc import IpcRpc
from support.commands import COMMAND
from support.ports import free_ports


class Loner:
    """One node program over its own directory; all it is told of the others is their names and the join secret."""

    def __init__(self, party: Party, ordinal: int, directory: str = "", **more: str) -> None:
        self.party = party
        self.ordinal = ordinal
        self.path = party.folder / (directory or f"node{ordinal}")
        self.log_path = party.folder / f"{self.path.name}.log"
        self.health = free_ports(1)[0]
        self.p2p, self.rpc = party.p2p[ordinal], party.rpc[ordinal]
        self.address = f"127.0.0.1{ordinal}"
        self.more = more
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "exchange-bind": f"{self.address}:{self.party.exchange}",
            "p2p-bind": f"{self.address}:{self.p2p}",
            "tm-bind": f"{self.address}:{self.party.tm}",
            "raft-port": str(self.party.raft[self.ordinal]),
            "rpc-bind": f"127.0.0.1:{self.rpc}",
            "health": f"127.0.0.1:{self.health}",
            "ordinal": str(self.ordinal),
            **self.party.more,
            **self.more,
        }
        # All the rest as a container is told it.
        environment = {
            "QUORUMKIT_EXCHANGE": "1",
            "QUORUMKIT_NODES": str(self.party.total),
            "QUORUMKIT_CHAIN_ID": "4711",
            "QUORUMKIT_PEER_PREFIX": "node",
            "QUORUMKIT_PEER_SUFFIX": ".party.invalid",
            "QUORUMKIT_JOIN_SECRET_FILE": str(self.party.secret),
            "QUORUMKIT_HOSTS_FILE": str(self.party.hosts),
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "node", "run", str(self.path), *arguments],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | environment, start_new_session=True,
            )  # fmt: skip

    def stop(self, *, kill: bool = False) -> None:
        if self.process is None:
            return
        children = psutil.Process(self.process.pid).children() if self.process.poll() is None else []
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self.process.wait(PATIENCE)
        for child in children:
            if child.is_running():
                child.kill()
                child.wait(PATIENCE)
        self.process = None

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def readyz(self) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health}/readyz", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def runs(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-3000:]
        return self.readyz()[0] == 200

    def ask(self, method: str, *params: Any) -> Any:
        async def call() -> Any:
            async with await IpcRpc.connect(self.path / "data/geth.ipc") as rpc:
                return await rpc.call(method, *params)

        return asyncio.run(call())

    def peers(self) -> dict[str, str]:
        """Enode keys and remote addresses of the connected ones."""
        return {
            peer["enode"].removeprefix("enode://").partition("@")[0]: peer["network"]["remoteAddress"]
            for peer in self.ask("admin_peers")
        }

    @property
    def record(self) -> NodeRecord:
        return read_record(self.path)

    @property
    def client(self) -> psutil.Process:
        assert self.process is not None
        return psutil.Process(self.process.pid).children()[0]


class Party:
    """Loners at addresses of their own on the loopback network, and the names that lead there."""

    def __init__(self, folder: Path, total: int, **more: str) -> None:
        """`more` are further options of all the nodes. Without another client they are on Clique."""
        self.folder = folder
        self.total = total
        self.more = more if "engine" in more else {"consensus": "clique", **more}
        self.exchange, self.tm, *ports = free_ports(26)
        self.p2p, self.rpc = dict(enumerate(ports[:8], 1)), dict(enumerate(ports[8:16], 1))
        self.raft = dict(enumerate(ports[16:], 1))
        self.secret = folder / "join-secret"
        self.secret.write_text("correct horse battery staple\n")
        self.secret.chmod(0o600)
        self.hosts = folder / "hosts"
        self.nodes = [Loner(self, ordinal) for ordinal in range(1, total + 1)]
        self.everyone = list(self.nodes)
        self.write_hosts(*self.nodes)

    def write_hosts(self, *nodes: Loner) -> None:
        new = self.hosts.with_suffix(".new")
        new.write_text("".join(f"{node.address} node{node.ordinal}.party.invalid\n" for node in nodes))
        new.replace(self.hosts)

    def add(self, node: Loner) -> Loner:
        self.everyone.append(node)
        return node

    def form(self) -> None:
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            eventually(node.runs, f"{node.path.name} runs", timeout=2 * PATIENCE, pause=0.2)

    def replace(self, name: str, *nodes: Loner) -> list[int]:
        """Has each of these sign; the exit codes."""
        return [quorumkit("node", "replace", name, "--through", node.path, "--json").code for node in nodes]

    def verify(self, *nodes: Loner) -> None:
        """A contract made through the first is read from all at the same block."""
        first = nodes[0]
        sender = first.record.identity.account
        deployed = first.ask(
            "eth_sendTransaction",
            {"from": sender, "gas": hex(300_000), "data": storage_contract().deploy_data(42)},
        )
        receipt = eventually(lambda: first.ask("eth_getTransactionReceipt", deployed), "the contract", pause=0.2)
        call = {"to": receipt["contractAddress"], "data": storage_contract().get_data()}
        number = receipt["blockNumber"]
        for node in nodes:
            eventually(
                lambda node=node: int(node.ask("eth_blockNumber"), 16) >= int(number, 16),  # type: ignore[misc]
                "the block",
                pause=0.2,
            )
            eventually(
                lambda node=node: (  # type: ignore[misc]
                    node.ask("eth_getBlockByNumber", number, False)["hash"]
                    == first.ask("eth_getBlockByNumber", number, False)["hash"]
                ),
                "the same block",
                pause=0.2,
            )
            assert int(node.ask("eth_call", call, number), 16) == 42
