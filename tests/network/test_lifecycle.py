"""Four validators and an observer through what happens to networks. Each test leaves the network whole."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import tomli_w
from networks import PATIENCE, RunningNetwork, begin, destroy, eventually, left_of, quorumkit

from quorumkit.engines import Binary
from support.clique import CLIQUE

pytestmark = pytest.mark.network

EVERYBODY = range(1, 6)


@pytest.fixture(scope="module")
def made(geth: Binary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    network = RunningNetwork(tmp_path_factory.mktemp("lifecycle") / "bank")
    try:
        network.up(*CLIQUE, "-n", "4", "--observers", "1", "--verify")
        yield network
    finally:
        destroy(network.path)


@pytest.fixture
def network(made: RunningNetwork) -> RunningNetwork:
    """The network, whole and running."""
    if not list(left_of(made.path)) or not made.complete():
        made.up()
    return made


def in_step(network: RunningNetwork, height: int) -> bool:
    """Whether all have the same block there."""
    hashes = {network.block_hash(number, height) for number in EVERYBODY}
    return None not in hashes and len(hashes) == 1


def wait_until_in_step(network: RunningNetwork, *, above: int) -> None:
    """Waits until blocks beyond that height come, all nodes see all their peers, and agree on a block."""
    eventually(network.complete, "all running with all peers")
    eventually(lambda: network.height() > above, f"a block above {above}")
    height = network.height()
    eventually(lambda: in_step(network, height), f"the same block {height} on all")


def test_an_observer_follows_and_does_not_seal(network: RunningNetwork) -> None:
    status = network.status()
    assert [node["role"] for node in status.values()] == ["validator"] * 4 + ["observer"]
    assert status["node5"]["peers"] == 4
    signers = network.ask(5, "clique_getSigners", "latest")
    validators = [node["account"].lower() for node in status.values() if node["role"] == "validator"]
    assert signers == sorted(validators)
    assert network.ask(5, "eth_mining") is False
    assert network.verify()["reads"]["node5"] == 42


def test_a_node_is_stopped_started_and_restarted(network: RunningNetwork) -> None:
    before = network.status()
    network.on_node("node stop node2", "--json")
    stopped = network.status()
    assert (stopped["node2"]["state"], stopped["node2"]["pid"]) == ("stopped", None)
    assert "node2" not in network.clients()
    height = network.height()
    eventually(lambda: network.height() >= height + 2, "blocks without node2")
    answer = quorumkit("verify", network.path, "--json")
    assert answer.code == 1
    assert answer.json["ok"] is False
    assert answer.json["reads"] == {"node1": 42, "node2": None, "node3": 42, "node4": 42, "node5": 42}
    assert list(answer.json["errors"]) == ["node2"]

    assert network.on_node("node start 2").out.strip().endswith("node2: started")
    wait_until_in_step(network, above=network.height())
    assert network.status()["node2"]["restarts"] == 0

    network.on_node("node restart node3")
    wait_until_in_step(network, above=network.height())
    after = network.status()
    for name in ("node2", "node3"):
        assert after[name]["pid"] != before[name]["pid"]
    for name in ("node1", "node4", "node5"):
        assert after[name]["pid"] == before[name]["pid"]
    network.verify()


def test_up_starts_a_node_that_was_stopped(network: RunningNetwork) -> None:
    network.on_node("node stop node4 node5")
    network.up()
    assert network.complete()


def test_a_killed_client_is_back_and_in_step(network: RunningNetwork) -> None:
    height, before = network.height(), network.status()["node3"]
    network.clients()["node3"].kill()
    eventually(lambda: network.status()["node3"]["pid"] not in (before["pid"], None), "a new client")
    wait_until_in_step(network, above=height)
    assert network.status()["node3"]["restarts"] == before["restarts"] + 1
    log = network.on_node("logs node3", "--lines", "2000").out
    assert "quorumkit: node3 ended: killed by SIGKILL; next start in 0.1 s" in log


def test_all_clients_killed_at_once_the_chain_goes_on(network: RunningNetwork) -> None:
    contract = network.verify()
    height = network.height()
    old = network.block_hash(1, contract["block"])
    clients = network.clients()
    assert len(clients) == 5
    for client in clients.values():
        client.kill()
    eventually(lambda: len(network.clients().keys() & clients.keys()) == 5, "all are back")
    eventually(lambda: all((network.node(n) / "data/geth.ipc").exists() for n in EVERYBODY), "their sockets")
    wait_until_in_step(network, above=height)
    assert network.block_hash(1, contract["block"]) == old
    for number in EVERYBODY:
        assert int(network.ask(number, "eth_getStorageAt", contract["contract"], "0x0", "latest"), 16) == 42


def test_down_then_up_goes_on_from_the_height(network: RunningNetwork) -> None:
    height = network.height()
    known = network.block_hash(1, height)
    endpoints = {name: (node["rpc_url"], node["enode"]) for name, node in network.status().items()}
    keys = network.keys()
    assert network.down() is True
    assert left_of(network.path) == []
    assert {node["state"] for node in network.status().values()} == {"stopped"}
    assert network.down() is False  # twice does no harm
    nodes = network.up()
    assert all(node["block"] > height for node in nodes)
    wait_until_in_step(network, above=height)
    assert all(network.block_hash(number, height) == known for number in EVERYBODY)
    assert {name: (node["rpc_url"], node["enode"]) for name, node in network.status().items()} == endpoints
    assert network.keys() == keys


def test_what_needs_a_running_network_says_so(network: RunningNetwork) -> None:
    network.down()
    for command in ("verify", "status --watch"):
        result = quorumkit(*command.split(), network.path)
        assert result.code == 1
        assert "not running" in result.err
        assert "quorumkit up" in result.err
    for command in ("node stop node1", "node start node1"):
        assert "not running" in network.on_node(command, code=1).err
    console = network.on_node("console node1", "--exec", "1", code=1)
    assert console.err


def test_up_after_the_node_program_was_killed_goes_on(network: RunningNetwork) -> None:
    height, before = network.height(), network.status()
    clients = network.clients()
    network.supervisor.kill()
    assert {node["state"] for node in network.status().values()} == {"stopped"}
    network.up()
    after = network.status()
    assert not {client.pid for client in clients.values()} & {node["pid"] for node in after.values()}
    for name, node in after.items():  # the old clients held the ports, and no others were taken
        assert (node["rpc_url"], node["enode"]) == (before[name]["rpc_url"], before[name]["enode"])
    assert len(list(left_of(network.path))) == 6
    wait_until_in_step(network, above=height)


def test_down_after_the_node_program_was_killed_leaves_nothing(network: RunningNetwork) -> None:
    network.supervisor.kill()
    network.down()
    assert left_of(network.path) == []


def test_down_after_everything_was_killed_is_harmless(network: RunningNetwork) -> None:
    height = network.height()
    for process in [network.supervisor, *network.clients().values()]:
        process.kill()
    assert network.down() is False
    network.up()
    wait_until_in_step(network, above=height)


def test_several_ups_at_once_start_one_network(network: RunningNetwork) -> None:
    network.down()
    running = [begin("up", "--json", network.path) for _ in range(3)]
    for up in running:
        out, err = up.communicate(timeout=PATIENCE)
        assert up.returncode == 0, out + err
    assert len(list(left_of(network.path))) == 6
    assert network.complete()


def test_the_node_program_ends_its_clients_on_a_signal(network: RunningNetwork) -> None:
    supervisor, clients = network.supervisor, network.clients()
    supervisor.send_signal(signal.SIGTERM)
    psutil.wait_procs([supervisor, *clients.values()], PATIENCE)
    assert left_of(network.path) == []
    log = network.on_node("logs node1", "--lines", "200").out
    assert "Blockchain stopped" in log  # cleanly


@contextmanager
def stranger(geth: Binary, network: RunningNetwork, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A sixth client with the network's genesis and every member as its static and trusted peer, and its enode URL."""
    stranger = RunningNetwork(folder)
    home = stranger.node(1)
    if not home.exists():
        home.mkdir(parents=True)
        subprocess.run(
            [geth.path, "init", "--datadir", "data", str(network.path / "genesis.json")],
            cwd=home, check=True, capture_output=True,
        )  # fmt: skip
        members = [node["enode"] for node in network.status().values()]
        config = {"ListenAddr": "127.0.0.1:0", "NoDiscovery": True, "StaticNodes": members, "TrustedNodes": members}
        (home / "geth.toml").write_text(tomli_w.dumps({"Node": {"P2P": config}}))
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [geth.path, "--config", "geth.toml", "--datadir", "data", "--networkid", "1337", "--nat", "none",
             "--syncmode", "full", "--authrpc.port", "0", "--verbosity", "5"],
            cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        eventually((home / "data/geth.ipc").exists, "the stranger's socket")
        yield process, eventually(lambda: asked(stranger, "admin_nodeInfo"), "the stranger's enode")["enode"]
    finally:
        process.terminate()
        process.wait(PATIENCE)


def asked(network: RunningNetwork, method: str) -> Any:
    try:
        return network.ask(1, method)
    except Exception:
        return None


def test_a_stranger_gets_no_peer_slot(network: RunningNetwork, geth: Binary) -> None:
    """It knows the genesis and every address. Nor does it get the slot of a member that is away."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        outsider = RunningNetwork(path)

        def stays_out(present: list[int]) -> None:
            log = path / "nodes/node1/log"
            start = log.stat().st_size
            for member in present:  # it has tried them all, and been sent away
                key = tomllib.loads((path / "nodes/node1/geth.toml").read_text())["Node"]["P2P"]["StaticNodes"]
                host = key[member - 1].split("@")[1].split("?")[0]
                eventually(lambda host=host: host in log.read_text(errors="replace"), f"a try at {host}")  # type: ignore[misc]
            until = time.monotonic() + 4
            while time.monotonic() < until:
                assert outsider.ask(1, "admin_peers") == []
                for member in present:
                    peers = network.ask(member, "admin_peers")
                    assert key_of_stranger not in {peer["enode"].split("@")[0] for peer in peers}
                    assert len(peers) == len(present) - 1
            assert log.stat().st_size >= start

        with stranger(geth, network, path) as (_, enode):
            key_of_stranger = enode.split("@")[0]
            stays_out(list(EVERYBODY))
        network.on_node("node stop node2")
        others = [number for number in EVERYBODY if number != 2]
        eventually(lambda: all(len(network.ask(n, "admin_peers")) == 3 for n in others), "node2 is missed")
        with stranger(geth, network, path):
            stays_out(others)
        # The same stranger gets in as soon as one member trusts it: it did try.
        network.ask(1, "admin_addTrustedPeer", enode)
        try:
            with stranger(geth, network, path):
                eventually(lambda: len(outsider.ask(1, "admin_peers")) == 1, "the trusted stranger is let in")
        finally:
            network.ask(1, "admin_removeTrustedPeer", enode)
    network.on_node("node start node2")
    eventually(network.complete, "all running with all peers")
