"""Nodes that share nothing, with real clients: formed, restarted, moved, replaced and joined."""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from loners import Loner, Party
from networks import PATIENCE, RunningNetwork, eventually, quorumkit

from quorumkit.engines import Binary
from support.clique import CLIQUE

pytestmark = pytest.mark.network


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
        answer = network.run("up", "--exchange", *CLIQUE, "-n", "4", "--json", "--verify").json
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


def test_a_stranger_in_a_nodes_place_ends_nobody(new_network: Callable[[str], RunningNetwork]) -> None:
    """It knows no secret, and what it answers is no text."""
    network = new_network("bank")
    asked = []

    class Stranger(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline(65536).strip():
                pass
            asked.append(self.client_address)
            self.wfile.write(b"HTTP/1.1 200 \xff\x1b[31m\r\nQuorumkit-Answer: \xff\r\nContent-Length: 2\r\n\r\n{}")

    class Listener(socketserver.ThreadingTCPServer):
        allow_reuse_address = True

    try:
        network.run("up", "--exchange", *CLIQUE, "-n", "3", "--json")
        port = json.loads((network.path / ".state/exchange-ports.json").read_text())["first"] + 2
        program = psutil.Process(json.loads((network.node(3) / ".state/supervisor.json").read_text())["pid"])
        program.terminate()
        program.wait(PATIENCE)
        with Listener(("127.0.0.1", port), Stranger) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            for number in (1, 2):  # which asks it at once, and everybody else
                before = len(asked)
                answer = quorumkit("node", "replace", "node3", "--through", network.node(number))
                assert answer.code == 1
                assert "does not answer with its new identity" in answer.err
                assert "\x1b" not in answer.err
                assert len(asked) > before
            server.shutdown()
        told = quorumkit("status", network.path, "--json").json["nodes"]
        assert [node["state"] for node in told[:2]] == ["running", "running"]
        for number in (1, 2):
            log = (network.node(number) / f".state/logs/node{number}.log").read_text(errors="replace")
            assert "Traceback" not in log
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
    assert alone.record.role == "validator"
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
    assert late.record.role == "observer"
    assert len(late.peers()) == 4
    here.verify(*here.nodes, late)

    lost = here.nodes[3]
    old = lost.record.identity.enode_key
    lost.stop()
    new = here.add(Loner(here, 4, "node4-new-disk"))
    new.start()
    eventually(lambda: "quorumkit node replace" in new.readyz()[1], "it says what is to be done")
    refused = "refused [identity_changed]"
    eventually(lambda: any(refused in node.log for node in here.nodes[:3]), "the others refuse it")
    assert new.readyz()[0] == 503
    assert not (new.path / "node.json").exists()
    assert here.replace("node4", late, *here.nodes[:2]) == [3, 3, 3]  # a latecomer's signature does not count
    assert new.readyz()[0] == 503
    answer = quorumkit("node", "replace", "node4", "--through", here.nodes[2].path, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["signed"] == ["node1", "node2", "node3"]
    key = answer.json["enode_key"]
    eventually(new.runs, "the new identity runs", timeout=2 * PATIENCE, pause=0.2)
    assert new.record.role == "observer"
    for node in here.nodes[:3]:
        eventually(
            lambda node=node: key in node.peers() and old not in node.peers(),  # type: ignore[misc]
            "the peers were mended",
            pause=0.2,
        )
    here.verify(*here.nodes[:3], new, late)

    back = lost  # the old disk, found again, is not let in any more
    new.stop()
    back.start()
    claim = f"the key {old[:16]}… was replaced"
    eventually(lambda: any(claim in node.log for node in here.nodes[:3]), "the old identity is refused in its turn")
    assert all(old not in node.peers() for node in here.nodes[:3])
    back.stop()
    new.start()
    eventually(new.runs, "the new identity runs again", timeout=2 * PATIENCE, pause=0.2)
    later = here.add(Loner(here, 7))
    here.write_hosts(*here.nodes, late, later)
    later.start()
    eventually(later.runs, "one that joins after a replacement runs", timeout=2 * PATIENCE, pause=0.2)
    here.verify(*here.nodes[:3], new, later)


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
    key = two.record.identity.enode_key
    two.stop()
    two.address = "127.0.0.122"
    here.write_hosts(*here.nodes)
    two.start()
    for node in (one, three):
        eventually(lambda node=node: f"@127.0.0.122:{two.p2p}" in (node.path / "geth.toml").read_text(),  # type: ignore[misc]
                   "the file of the next start", pause=0.2)  # fmt: skip
        eventually(lambda node=node: key in node.peers(), "connected again", pause=0.2)  # type: ignore[misc]
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
    eventually(lambda: two.record.identity.enode_key in one.peers(), "connected again", pause=0.2)
    assert one.client.pid == client
