"""Nodes that share nothing, with real clients: formed, restarted, moved, replaced and joined."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from networks import COMMAND, PATIENCE, RunningNetwork, eventually, quorumkit

from quorumkit.contracts import storage_contract
from quorumkit.engines import Binary
from quorumkit.rpc import IpcRpc

pytestmark = pytest.mark.network


def free_ports(count: int) -> list[int]:
    """Below 32768, where no outgoing connection takes one before its node starts (ip(7), ip_local_port_range)."""
    found: list[int] = []
    for port in random.sample(range(20_000, 30_000), 10_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


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
            "rpc-bind": f"127.0.0.1:{self.rpc}",
            "health": f"127.0.0.1:{self.health}",
            "ordinal": str(self.ordinal),
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
    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.path / "node.json").read_text())
        return record

    @property
    def client(self) -> psutil.Process:
        assert self.process is not None
        return psutil.Process(self.process.pid).children()[0]


class Party:
    """Loners at addresses of their own on the loopback network, and the names that lead there."""

    def __init__(self, folder: Path, total: int) -> None:
        self.folder = folder
        self.total = total
        self.exchange, *ports = free_ports(17)
        self.p2p, self.rpc = dict(enumerate(ports[:8], 1)), dict(enumerate(ports[8:], 1))
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

    def verify(self, *nodes: Loner) -> None:
        """A contract made through the first is read from all at the same block."""
        first = nodes[0]
        sender = first.record["account"]
        deployed = first.ask(
            "eth_sendTransaction",
            {"from": sender, "gas": hex(300_000), "data": storage_contract().deploy_data(42)},
        )
        receipt = eventually(lambda: first.ask("eth_getTransactionReceipt", deployed), "the contract", pause=0.2)
        call = {"to": receipt["contractAddress"], "data": storage_contract().get_data()}
        number = receipt["blockNumber"]
        for node in nodes:
            eventually(
                lambda node=node: int(node.ask("eth_blockNumber"), 16) >= int(number, 16), "the block", pause=0.2
            )
            eventually(
                lambda node=node: (
                    node.ask("eth_getBlockByNumber", number, False)["hash"]
                    == first.ask("eth_getBlockByNumber", number, False)["hash"]
                ),
                "the same block",
                pause=0.2,
            )
            assert int(node.ask("eth_call", call, number), 16) == 42


@pytest.fixture
def party(geth: Binary, tmp_path: Path) -> Iterator[Callable[[int], Party]]:
    made: list[Party] = []

    def make(total: int) -> Party:
        made.append(Party(tmp_path, total))
        return made[-1]

    yield make
    for each in made:
        for node in each.everyone:
            node.stop()


def test_up_with_exchange_ends_in_a_verified_network(new_network: Callable[[str], RunningNetwork]) -> None:
    network = new_network("bank")
    try:
        answer = network.run("up", "--exchange", "-n", "4", "--json", "--verify").json
        assert answer["verify"]["ok"] is True
        assert {node["state"] for node in answer["nodes"]} == {"running"}
        genesis = {(network.node(number) / "genesis.json").read_bytes() for number in range(1, 5)}
        assert len(genesis) == 1
        assert len({(network.node(number) / "data/geth/nodekey").read_bytes() for number in range(1, 5)}) == 4
        assert not (network.path / "genesis.json").exists()
        secret = (network.path / "join-secret").read_text()
        for process in psutil.process_iter():
            try:
                if str(network.path) in " ".join(process.cmdline()):
                    assert secret not in " ".join(process.cmdline())
                    assert secret not in "".join(process.environ().values())
            except psutil.Error:
                continue
        for log in network.path.glob("nodes/*/.state/logs/*"):
            assert secret not in log.read_text(errors="replace")
        assert network.down()
        assert network.run("up", "--json", "--verify").json["verify"]["ok"] is True
    finally:
        network.run("down")


def test_late_starts_are_waited_for_and_a_death_half_way_is_resumed(party: Callable[[int], Party]) -> None:
    here = party(4)
    one, two, three, four = here.nodes
    one.start()
    three.start()
    eventually(lambda: "node2" in one.readyz()[1] and "node4" in one.readyz()[1], "it says whom it waits for")
    assert one.readyz()[0] == 503
    assert "exchanging" in one.readyz()[1]
    eventually(lambda: "waits for the identity of node2" in one.log, "the log says so too")
    two.start()
    eventually(lambda: "node2" not in one.readyz()[1], "node2 was heard of")
    two.stop(kill=True)
    four.start()
    two.start()
    for node in here.nodes:
        eventually(node.runs, f"{node.path.name} runs", timeout=2 * PATIENCE, pause=0.2)
    here.verify(*here.nodes)


def test_any_node_restarts_alone(party: Callable[[int], Party]) -> None:
    here = party(3)
    here.form()
    here.verify(*here.nodes)
    for node in here.nodes:
        node.stop()
    here.hosts.write_text("")  # and no name leads anywhere
    alone = here.nodes[1]
    alone.start()
    height = eventually(
        lambda: (alone.path / "data/geth.ipc").exists() and int(alone.ask("eth_blockNumber"), 16),
        "its chain",
        pause=0.5,
    )
    assert height > 0
    assert alone.record["role"] == "validator"
    here.write_hosts(*here.nodes)
    here.nodes[0].start()
    here.nodes[2].start()
    for node in here.nodes:
        eventually(node.runs, f"{node.path.name} runs", timeout=2 * PATIENCE, pause=0.2)
    here.verify(*here.nodes)


def test_a_sixth_node_joins_as_an_observer_and_a_lost_disk_is_replaced(party: Callable[[int], Party]) -> None:
    here = party(4)
    here.form()
    late = here.add(Loner(here, 6))
    here.write_hosts(*here.nodes, late)
    late.start()
    eventually(late.runs, "the latecomer runs", pause=0.2)
    assert late.record["role"] == "observer"
    assert len(late.peers()) == 4
    here.verify(*here.nodes, late)

    lost = here.nodes[3]
    old = lost.record["enode_key"]
    lost.stop()
    new = here.add(Loner(here, 4, "node4-new-disk"))
    new.start()
    eventually(lambda: "quorumkit node replace" in new.readyz()[1], "it says what is to be done")
    refused = "refused [identity_changed]"
    eventually(lambda: any(refused in node.log for node in here.nodes[:3]), "the others refuse it")
    assert new.readyz()[0] == 503
    assert not (new.path / "node.json").exists()
    answer = quorumkit("node", "replace", "node4", "--through", here.nodes[0].path, "--json")
    assert answer.code == 0, answer.err
    key = answer.json["enode_key"]
    eventually(new.runs, "the new identity runs", timeout=2 * PATIENCE, pause=0.2)
    assert new.record["role"] == "observer"
    for node in here.nodes[:3]:
        eventually(
            lambda node=node: key in node.peers() and old not in node.peers(), "the peers were mended", pause=0.2
        )
    here.verify(*here.nodes[:3], new, late)

    back = lost  # the old disk, found again, is not let in any more
    new.stop()
    back.start()
    claim = f"another identity ({old[:16]}"
    eventually(lambda: any(claim in node.log for node in here.nodes[:3]), "the old identity is refused in its turn")
    assert all(old not in node.peers() for node in here.nodes[:3])


def test_a_hostile_client_keeps_nobody_from_forming(party: Callable[[int], Party]) -> None:
    here = party(3)
    one, two, three = here.nodes
    one.start()
    two.start()
    eventually(lambda: one.readyz()[0] == 503, "it serves")
    hostile = subprocess.Popen(
        [sys.executable, "-c", HOSTILE, one.address, str(here.exchange)], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: "refused [rubbish]" in one.log, "rubbish is named")
        three.start()
        for node in here.nodes:
            eventually(node.runs, f"{node.path.name} runs", timeout=2 * PATIENCE, pause=0.2)
        assert hostile.poll() is None
        assert one.log.count("refused [rubbish]") < 10, "it does not fill the log"
        here.verify(*here.nodes)
    finally:
        hostile.kill()
        hostile.wait()


HOSTILE = """
import os, random, socket, sys, threading, time
address = (sys.argv[1], int(sys.argv[2]))
def attack(kind):
    while True:
        try:
            with socket.create_connection(address, timeout=5) as s:
                if kind == 0:
                    s.sendall(os.urandom(random.randrange(1, 4000)))
                elif kind == 1:
                    s.sendall(b"POST /v1/pull HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 9999999\\r\\n\\r\\n")
                    s.sendall(bytes(60000))
                elif kind == 2:
                    for byte in b"POST /v1/pull HTTP/1.1\\r\\n" * 10:
                        s.sendall(bytes([byte])); time.sleep(0.2)
                elif kind == 3:
                    s.sendall(b"GET /data/geth/nodekey HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
                s.recv(1000)
        except OSError:
            pass
        time.sleep(0.01)
for kind in (0, 1, 2, 3):
    threading.Thread(target=attack, args=(kind,), daemon=True).start()
time.sleep(600)
"""


def test_a_changed_address_is_healed_without_a_restart(party: Callable[[int], Party]) -> None:
    here = party(3)
    here.form()
    one, two, three = here.nodes
    clients = {node: node.client.pid for node in (one, three)}
    key = two.record["enode_key"]
    two.stop()
    two.address = "127.0.0.122"
    here.write_hosts(*here.nodes)
    two.start()
    for node in (one, three):
        eventually(lambda node=node: f"@127.0.0.122:{two.p2p}" in (node.path / "geth.toml").read_text(),
                   "the file of the next start", pause=0.2)  # fmt: skip
        eventually(lambda node=node: key in node.peers(), "connected again", pause=0.2)
    for node in here.nodes:
        eventually(node.runs, f"{node.path.name} runs", timeout=2 * PATIENCE, pause=0.2)
    assert {node: node.client.pid for node in (one, three)} == clients
    here.verify(*here.nodes)


def test_a_running_client_is_told_where_a_peer_has_moved(party: Callable[[int], Party]) -> None:
    """One that cannot dial by itself must be dialled: its own list leads nowhere."""
    here = party(2)
    here.form()
    one, two = here.nodes
    client = one.client.pid
    two.stop()
    two.address = "127.0.0.122"
    two.start()  # nobody was told of the new address yet, and it dials; one is told while it is connected or not
    here.write_hosts(one, two)
    eventually(lambda: "node2 moved from 127.0.0.12 to 127.0.0.122" in one.log, "it is noticed")
    two.stop()
    eventually(lambda: "the running client was told where" in one.log, "the client was told")
    two.start()
    eventually(lambda: two.record["enode_key"] in one.peers(), "connected again", pause=0.2)
    assert one.client.pid == client
