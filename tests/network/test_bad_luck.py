"""What goes wrong on real machines: each gets one clear message, and nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from networks import PATIENCE, RunningNetwork, destroy, eventually, left_of, quorumkit

from quorumkit.engines import Binary
from quorumkit.identity import generate_secrets
from support.clique import CLIQUE

pytestmark = pytest.mark.network

NewNetwork = Callable[[str], RunningNetwork]


@pytest.fixture(scope="module")
def template(geth: Binary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    """A network of two that has run, and is down."""
    network = RunningNetwork(tmp_path_factory.mktemp("template") / "bank")
    try:
        network.up(*CLIQUE, "-n", "2", "--verify")
        network.down()
        yield network
    finally:
        destroy(network.path)


@pytest.fixture
def network(template: RunningNetwork, new_network: NewNetwork) -> RunningNetwork:
    """A copy of it, with a chain in it."""
    network = new_network("bank")
    shutil.copytree(template.path, network.path, ignore=shutil.ignore_patterns("*.ipc", "*.sock", "*.lock"))
    return network


def refused(network: RunningNetwork, *arguments: str | Path, code: int = 1) -> dict[str, Any]:
    """The error with which `up` refuses, after making sure that people get it as one line and a hint."""
    words = ["up", *arguments, network.path]
    people = quorumkit(*words)
    assert people.code == code, people.err
    said = [line for line in people.err.splitlines() if line.startswith(("error: ", "  try: "))]
    assert said[0].startswith("error: ")
    assert len(said) <= 2
    machine = quorumkit(*words, "--json")
    assert machine.code == code
    assert not left_of(network.path)
    error: dict[str, Any] = machine.json["error"]
    return error


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@contextmanager
def put_aside(file: Path, content: bytes) -> Iterator[None]:
    """Another content for a while."""
    old = file.read_bytes()
    file.write_bytes(content)
    yield
    file.write_bytes(old)


def test_corrupted_keys_are_told_apart_and_kept(network: RunningNetwork) -> None:
    (keystore,) = (network.node(2) / "data/keystore").iterdir()
    cases = [
        (network.node(2) / "data/geth/nodekey", b"nonsense", "not a nodekey"),
        (network.node(2) / "data/geth/nodekey", (network.node(1) / "data/geth/nodekey").read_bytes(),
         "not the nodekey of this node's enode"),
        (keystore, b"{", "not a keystore"),
        (network.node(2) / "node.json", b"{", "not a valid node record"),
        (network.path / "genesis.json", b"{", "not a valid genesis"),
    ]  # fmt: skip
    for file, content, message in cases:
        with put_aside(file, content):
            error = refused(network)
            assert error["kind"] == "CorruptFileError"
            assert message in error["message"]
            assert str(file) in error["message"]
            assert error["hint"]
            assert file.read_bytes() == content
    network.up()
    network.verify()


def test_a_password_that_does_not_open_the_keystore_is_told(network: RunningNetwork) -> None:
    with put_aside(network.node(2) / "password", b"wrong\n"):
        result = quorumkit("up", network.path, "--json")
        assert result.code == 1
        error = result.json["error"]
        assert error["kind"] == "NodeError"
        assert "node2: " in error["message"]
        assert "could not decrypt key with given password" in error["message"]
        # Between two tries its client is up for a moment, and has no fault then.
        status = eventually(
            lambda: (told := network.status()["node2"])["error"] and told, "the last try's fault is in its status"
        )
        assert "could not decrypt key" in status["error"]
        assert status["state"] in ("failed", "starting")
        network.down()
    network.up()


def test_a_spec_that_gives_another_genesis_is_refused_with_its_field(network: RunningNetwork) -> None:
    spec, genesis = network.path / "quorumkit.yaml", (network.path / "genesis.json").read_bytes()
    for old, new, field in [("period: 1", "period: 2", "consensus.period: 2 "),
                            ("chain_id: 1337", "chain_id: 1338", "chain_id: 1338 "),
                            ("validators: 2", "validators: 3", "nodes.validators: 3 ")]:  # fmt: skip
        change(spec, old, new)
        error = refused(network)
        assert error["kind"] == "GenesisMismatchError"
        assert error["message"].startswith(field)
        assert not (network.path / "nodes/node3").exists()
        assert (network.path / "genesis.json").read_bytes() == genesis
        change(spec, new, old)
    height = network.up()[0]["block"]
    assert height > 1
    network.verify()


def test_a_genesis_changed_by_hand_is_refused_by_the_node_itself(network: RunningNetwork) -> None:
    """Where only the node program runs, as in a container, it finds out by itself."""
    changed = json.loads((network.path / "genesis.json").read_text()) | {"gasLimit": "0x1"}
    (network.path / "genesis.json").write_text(json.dumps(changed))
    assert refused(network)["kind"] == "GenesisMismatchError"


def test_a_wrong_engine_binary_is_told(network: RunningNetwork, tmp_path: Path, geth: Binary) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho 'Version: 1.13.15'\n")
    liar = tmp_path / "old-geth"
    liar.write_text("#!/bin/sh\nprintf 'Geth\\nVersion: 1.10.1-stable\\n'\n")
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    for file in (program, liar, broken):
        file.chmod(0o755)
    plain = tmp_path / "plain"
    plain.write_text("not a program")
    cases = {
        tmp_path / "missing": "there is no such file",
        plain: "not executable",
        Path("/bin/true"): "not geth",
        program: "not geth",
        liar: "geth 1.10.1, where the spec wants 1.13.15",
        broken: "cannot be run",
        tmp_path: "there is no such file",
    }
    for binary, message in cases.items():
        result = quorumkit("up", "--json", "--engine-binary", binary, network.path)
        assert result.code == 1
        assert result.json["error"]["kind"] == "EngineError"
        assert f"{binary}: {message}" in result.json["error"]["message"]
        assert result.json["error"]["hint"]
    # The spec can name it too, relative to the network.
    shutil.copy(geth.path, network.path / "my-geth")
    change(network.path / "quorumkit.yaml", "kind: geth", "kind: geth\n  binary: ./my-geth")
    network.up()
    assert {Path(client.exe()) for client in network.clients().values()} == {network.path / "my-geth"}
    network.down()
    (network.path / "my-geth").write_text("gone bad")
    assert refused(network)["kind"] == "EngineError"


@contextmanager
def taken(port: int = 0) -> Iterator[int]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        yield server.getsockname()[1]


def test_ports_that_were_asked_for_and_are_taken_are_told(network: RunningNetwork) -> None:
    spec = network.path / "quorumkit.yaml"
    text = spec.read_text()
    for field in ("rpc", "p2p", "health"):
        with taken() as port:
            spec.write_text(f"{text}ports:\n  {field}: {port}\n")
            error = refused(network)
            assert error["kind"] == "PortError"
            assert f"ports.{field}: port {port} is taken" in error["message"]
    network.up()  # the last one is free now
    assert json.loads((network.path / ".state/supervisor.json").read_text())["health_port"] == port
    network.up()  # and its own ports do not count as taken


def test_ports_of_before_that_are_taken_are_left_for_others(network: RunningNetwork) -> None:
    before = network.status()
    port = int(before["node2"]["rpc_url"].rpartition(":")[2])
    with taken(port):
        network.up("--verify")
        after = network.status()
        assert after["node2"]["rpc_url"] != before["node2"]["rpc_url"]
        assert after["node2"]["state"] == "running"


def test_a_node_that_loses_its_chain_takes_it_from_the_others(network: RunningNetwork) -> None:
    """Although the marker beside it stays: a client that finds no chain begins one on Ethereum's main network. And
    although it was killed while it wrote the secret of its Engine API."""
    network.up()
    network.on_node("node stop node2")
    shutil.rmtree(network.node(2) / "data/geth/chaindata")
    (network.node(2) / "data/geth/jwtsecret").write_bytes(b"")
    keys = network.keys()
    network.on_node("node start node2")
    network.up()
    network.verify()
    assert network.keys() == keys


def test_a_node_whose_client_is_on_another_chain_is_refused(network: RunningNetwork, geth: Binary) -> None:
    network.up()
    network.on_node("node stop node2")
    chain = network.node(2) / "data/geth/chaindata"
    chain.rename(chain.with_name("kept"))
    alone = ["--datadir", "data", "--nodiscover", "--maxpeers", "0", "--port", "0", "--authrpc.port", "0"]
    subprocess.run(
        [geth.path, *alone, "--ipcdisable", "--exec", "0", "console"], cwd=network.node(2), check=True,
        capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    network.on_node("node start node2")
    status = eventually(
        lambda: next((node for node in network.status().values() if "another chain" in (node["error"] or "")), None),
        "the refusal",
    )
    assert status["name"] == "node2"
    assert "block 0 is 0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3" in status["error"]
    assert status["state"] in ("starting", "restarting", "failed")
    network.on_node("node stop node2")
    shutil.rmtree(chain)
    chain.with_name("kept").rename(chain)
    network.on_node("node start node2")
    network.up("--verify")


def test_other_keystores_beside_a_nodes_own_do_not_matter(network: RunningNetwork) -> None:
    """One that sorts first, and the node's own under another name."""
    keystores = network.node(1) / "data/keystore"
    (own,) = keystores.iterdir()
    kept = own.rename(keystores / "sealer")
    other = generate_secrets()
    (keystores / "UTC--1970-01-01T00-00-00.000000000Z--other").write_text(json.dumps(other.keystore))
    network.up("--verify")
    try:
        account = network.status()["node1"]["account"]
        assert network.ask(1, "eth_accounts")[0] == other.identity.account.lower() != account.lower()
        deployed = network.on_node("console node1", "--exec", "storage.deploy(7).get()")
        assert "7" in deployed.out.splitlines()
        assert kept.exists()
    finally:
        network.down()


def test_what_only_the_user_may_not_write_is_told(network: RunningNetwork, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    result = quorumkit("init", *CLIQUE, locked / "bank")
    assert result.code == 1
    assert "Permission denied" in result.err


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk could be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def test_a_full_disk_is_told_and_with_room_the_work_is_finished(new_network: NewNetwork) -> None:
    network = new_network("full")
    with small_disk(network.path, "100k"):
        result = quorumkit("init", *CLIQUE, "-n", "5", network.path)
        assert result.code == 1
        assert "no room on the disk" in result.err
        assert "free some room" in result.err
        keys = network.keys()
        subprocess.run(["mount", "-o", "remount,size=500m", network.path], check=True)
        network.up(*CLIQUE, "-n", "5", "--verify")
        assert keys.items() <= network.keys().items()
        network.down()


def test_a_disk_that_fills_up_under_a_client_is_told(new_network: NewNetwork) -> None:
    network = new_network("full")
    with small_disk(network.path, "100m"):
        network.run("init", *CLIQUE, "-n", "1")
        filler = network.path / ".state/filler"
        with filler.open("wb") as file:
            while True:
                try:
                    file.write(bytes(2**16))
                    file.flush()
                except OSError:
                    break
        result = quorumkit("up", network.path, "--json")
        assert result.code == 1
        message = result.json["error"]["message"].lower()
        assert "no space left on device" in message or "no room on the disk" in message
        network.down()
        filler.unlink()
        network.up("--verify")
        network.down()


def test_a_disk_nearly_full_is_told_and_tried_again_at_once_when_there_is_room(new_network: NewNetwork) -> None:
    """geth ends itself with exit code 0 then, and the node program goes on."""
    network = new_network("nearly")
    with small_disk(network.path, "6m"):
        result = quorumkit("up", *CLIQUE, "-n", "1", network.path)
        assert result.code == 1
        assert "no room on the disk" in result.err
        assert "no room on the disk" in network.status()["node1"]["error"]
        subprocess.run(["mount", "-o", "remount,size=500m", network.path], check=True)
        network.up("--verify")
        network.down()


def test_where_there_is_no_network_it_says_so(tmp_path: Path) -> None:
    for command in ("status", "verify", "down", "status --watch"):
        result = quorumkit(*command.split(), tmp_path / "nothing")
        assert result.code == 2
        assert "not a network (there is no such directory)" in result.err
        assert "quorumkit init" in result.err
    (tmp_path / "else").mkdir()
    result = quorumkit("destroy", tmp_path / "else", "--yes")
    assert result.code == 2
    assert (tmp_path / "else").is_dir()


def test_destroy_wants_to_be_told_twice(network: RunningNetwork) -> None:
    result = quorumkit("destroy", network.path)
    assert result.code == 2
    assert "--yes" in result.err
    assert network.keys()
