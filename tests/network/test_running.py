"""A network of five that runs, in a directory too deep for a unix socket's address. No test here changes it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from eth_account import Account
from networks import RunningNetwork, begin, destroy, eventually, quorumkit

from quorumkit.engines import Binary
from quorumkit.errors import RpcError
from support.clique import CLIQUE

pytestmark = pytest.mark.network

NAMES = [f"node{number}" for number in range(1, 6)]


@pytest.fixture(scope="module")
def network(geth: Binary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    path = tmp_path_factory.mktemp("running").joinpath(*["a-directory-with-a-long-name"] * 6, "bank")
    assert len(str(path)) > 150
    network = RunningNetwork(path)
    try:
        answer = network.run("up", *CLIQUE, "-n", "5", "--verify", "--json").json
        assert answer["verify"]["ok"] is True
        yield network
    finally:
        destroy(path)
        shutil.rmtree(path.parents[5], ignore_errors=True)


def test_verify_tells_what_it_read_from_every_node(network: RunningNetwork) -> None:
    answer = network.run("verify", "--json").json
    told = ["ok", "contract", "value", "reads", "block", "block_hash", "hashes_equal", "seconds"]
    assert list(answer)[: len(told)] == told
    assert answer["errors"] == {}
    assert answer["ok"] is True
    assert answer["value"] == 42
    assert answer["reads"] == dict.fromkeys(NAMES, 42)
    assert answer["hashes_equal"] is True
    assert re.fullmatch("0x[0-9a-f]{40}", answer["contract"])
    assert re.fullmatch("0x[0-9a-f]{64}", answer["block_hash"])
    assert answer["seconds"] > 0
    # What it told is so.
    for number in range(1, 6):
        assert network.block_hash(number, answer["block"]) == answer["block_hash"]
        slot = network.ask(number, "eth_getStorageAt", answer["contract"], "0x0", hex(answer["block"]))
        assert int(slot, 16) == 42


def test_verify_for_people_says_so_in_a_line(network: RunningNetwork) -> None:
    assert re.search(r"verified in .* holds 42 on all 5 nodes at block \d+", network.run("verify").out)


def test_status_tells_every_node(network: RunningNetwork) -> None:
    answer = network.run("status", "--json").json
    assert list(answer) == ["network", "engine", "consensus", "nodes"]
    assert (answer["network"], answer["engine"], answer["consensus"]) == ("bank", "geth 1.13.15", "clique")
    assert [node["name"] for node in answer["nodes"]] == NAMES
    for ordinal, node in enumerate(answer["nodes"], start=1):
        fields = {"name", "ordinal", "role", "state", "block", "peers", "rpc_url", "enode", "account", "pid"}
        assert fields <= set(node)
        assert (node["ordinal"], node["role"], node["state"], node["peers"]) == (ordinal, "validator", "running", 4)
        assert psutil.Process(node["pid"]).name() == "geth"
        assert node["block"] > 0
        assert node["enode"] == network.ask(ordinal, "admin_nodeInfo")["enode"]
        assert [node["account"].lower()] == network.ask(ordinal, "eth_accounts")
        assert node["rpc_url"].startswith("http://127.0.0.1:")


def test_status_for_people_is_a_table(network: RunningNetwork) -> None:
    lines = network.run("status").out.splitlines()
    assert "5 of 5 running" in lines[0]
    assert lines[1].split() == ["NODE", "STATE", "ROLE", "BLOCK", "PEERS", "RPC", "PID", "VALIDATOR", "ADDRESS"]
    assert [line.split()[0] for line in lines[2:]] == NAMES


def test_status_is_watched_as_blocks_come(network: RunningNetwork) -> None:
    watching = begin("status", "--watch", "--json", network.path)
    try:
        assert watching.stdout is not None
        blocks: set[int] = set()
        while len(blocks) < 3:
            blocks.add(json.loads(watching.stdout.readline())["nodes"][0]["block"])
    finally:
        watching.send_signal(signal.SIGINT)
        assert watching.wait() == 130
        assert "Traceback" not in watching.communicate()[1]


def test_every_validator_seals(network: RunningNetwork) -> None:
    def sealers() -> bool:
        activity = network.ask(1, "clique_status")["sealerActivity"]
        return len(activity) == 5 and all(activity.values())

    eventually(sealers, "blocks of all five")


def test_up_again_changes_nothing(network: RunningNetwork) -> None:
    before, keys = network.status(), network.keys()
    network.up(*CLIQUE, "-n", "5")
    after = network.status()
    assert [node["pid"] for node in after.values()] == [node["pid"] for node in before.values()]
    assert network.keys() == keys


def test_init_again_changes_nothing(network: RunningNetwork) -> None:
    files = [network.path / "genesis.json", network.path / "quorumkit.yaml", *network.path.glob("nodes/*/node.json")]
    before = {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}
    pids = {name: client.pid for name, client in network.clients().items()}
    answer = network.run("init", "--json").json
    assert [node["name"] for node in answer["nodes"]] == NAMES
    assert {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files} == before
    assert {name: client.pid for name, client in network.clients().items()} == pids


def test_up_with_other_numbers_is_misuse(network: RunningNetwork) -> None:
    result = quorumkit("up", "-n", "4", network.path)
    assert result.code == 2
    assert "nodes.validators: 5, not 4" in result.err


def test_the_console_has_the_contract(network: RunningNetwork) -> None:
    result = network.on_node("console node2", "--exec", "storage.last().get()")
    assert result.out.split() == ["42"]
    answer = network.on_node("console 3", "--exec", "storage.last().get()", "--json").json
    assert answer["result"] == "42"


def test_a_person_can_type_into_the_console(network: RunningNetwork) -> None:
    result = network.on_node("console node4", input="storage.last().get()\nadmin.peers.length\nexit\n")
    assert "42" in result.out.split()
    assert "4" in result.out.split()


def test_a_wrong_line_in_the_console_is_told(network: RunningNetwork) -> None:
    result = network.on_node("console node1", "--exec", "nonsense.x", code=1)
    assert result.out.startswith("ReferenceError: nonsense is not defined")
    asked = network.on_node("console node1", "--exec", "nonsense.x", "--json", code=1)
    assert asked.json["error"]["message"].startswith("ReferenceError: nonsense is not defined")
    assert network.on_node("console node1", "--exec", "var a = '\"'; a + 1").out == '"\\"1"\n'


def test_a_command_runs_where_its_node_does(network: RunningNetwork) -> None:
    script = 'pwd; echo "$QUORUMKIT_NODE $QUORUMKIT_ACCOUNT $QUORUMKIT_RPC_URL"; test -S "$QUORUMKIT_IPC"; exit 3'
    lines = network.on_node("exec node2", "--", "sh", "-ec", script, code=3).out.splitlines()
    node = network.status()["node2"]
    assert Path(lines[0]).resolve() == network.node(2).resolve()
    assert lines[1] == f"node2 {node['account']} {node['rpc_url']}"
    answer = network.on_node("exec node2", "--json", "--", "sh", "-c", "echo out; echo err >&2; exit 3", code=3).json
    assert answer == {"node": "node2", "exit_code": 3, "stdout": "out\n", "stderr": "err\n"}


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_command_that_is_not_there_is_told(network: RunningNetwork, as_json: list[str]) -> None:
    result = network.on_node("exec node1", *as_json, "--", "no-such-command", code=1)
    assert "no-such-command: No such file" in result.out + result.err


def test_an_unknown_node_is_misuse(network: RunningNetwork) -> None:
    for command in ("console node6", "logs nodeX", "exec 0 true", "node stop node6"):
        result = quorumkit(*command.split(), "--dir", network.path)
        assert result.code == 2
        assert "its nodes are node1 to node5" in result.err


def test_logs_are_the_clients_own(network: RunningNetwork) -> None:
    lines = network.on_node("logs node3", "--lines", "50").out.splitlines()
    assert 0 < len(lines) <= 50
    assert any("Imported new" in line or "Commit new sealing work" in line for line in lines)
    answers = network.on_node("logs node3", "--lines", "2", "--json").out.splitlines()
    assert [json.loads(line)["node"] for line in answers] == ["node3", "node3"]
    everybody = network.on_node("logs", "--lines", "1").out
    assert all(name in everybody for name in NAMES)


def test_logs_are_followed(network: RunningNetwork) -> None:
    following = begin("logs", "node1", "--dir", network.path, "--follow", "--lines", "0")
    try:
        assert following.stdout is not None
        assert following.stdout.readline().strip()
    finally:
        following.send_signal(signal.SIGINT)
        following.communicate()


def test_neither_the_log_nor_the_console_is_full_of_noise(network: RunningNetwork) -> None:
    """That a validator signed recently is no news, and the console's own warning of `personal` is none either."""
    eventually(lambda: network.height() > 12, "some rounds of all five")
    lines = network.on_node("logs node1", "--lines", "100000").out.splitlines()
    assert sum("signed recently" in line for line in lines) <= 1 + sum("left out" in line for line in lines)
    answer = network.on_node("console node1", "--exec", "eth.blockNumber")
    assert answer.err == ""
    assert int(answer.out) > 0


def test_http_serves_only_what_cannot_change_the_node(network: RunningNetwork) -> None:
    assert set(network.ask_http(1, "rpc_modules")) == {"eth", "net", "web3", "txpool", "rpc"}
    refused = ["personal_listAccounts", "admin_peers", "admin_addPeer", "miner_stop", "clique_propose", "debug_setHead",
               "clique_getSnapshot", "engine_exchangeCapabilities", "les_serverInfo"]  # fmt: skip
    for method in refused:
        with pytest.raises(RpcError, match="does not exist/is not available"):
            network.ask_http(1, method)
    assert int(network.ask_http(1, "eth_blockNumber"), 16) > 0
    assert network.ask_http(1, "net_peerCount") == "0x4"


def test_a_web_page_cannot_reach_http_by_a_name_of_its_own(network: RunningNetwork) -> None:
    address = urlsplit(network.status()["node1"]["rpc_url"]).netloc
    answers = {}
    for host in (address, "localhost", "attacker.example"):
        connection = http.client.HTTPConnection(address, timeout=30)
        body = '{"jsonrpc":"2.0","id":1,"method":"net_version","params":[]}'
        connection.request("POST", "/", body, {"Host": host, "Content-Type": "application/json"})
        answers[host] = connection.getresponse().status
        connection.close()
    assert answers == {address: 200, "localhost": 200, "attacker.example": 403}


def test_nothing_listens_beyond_loopback(network: RunningNetwork) -> None:
    listening = set()
    for process in network.processes():
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN or not connection.raddr:
                listening.add((connection.laddr.ip, connection.laddr.port))
    assert {ip for ip, _ in listening} == {"127.0.0.1"}
    nodes = network.status().values()
    assert {urlsplit(node["rpc_url"]).port for node in nodes} <= {port for _, port in listening}
    assert {urlsplit(node["enode"]).port for node in nodes} <= {port for _, port in listening}


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_and_metrics_are_served(network: RunningNetwork) -> None:
    url = f"http://127.0.0.1:{json.loads((network.path / '.state/supervisor.json').read_text())['health_port']}"
    assert get(f"{url}/healthz") == (200, "ok\n")
    status, text = get(f"{url}/readyz")
    assert status == 200
    assert [line.split(":")[0] for line in text.splitlines()] == NAMES
    assert get(f"{url}/readyz/node2")[0] == 200
    assert get(f"{url}/readyz/node9")[0] == 404
    status, text = get(f"{url}/metrics")
    assert status == 200
    for name in NAMES:
        labels = f'{{network="bank",node="{name}",role="validator"}}'
        assert f"quorumkit_node_ready{labels} 1.0" in text
        assert f"quorumkit_peers{labels} 4.0" in text
        assert f"quorumkit_client_restarts_total{labels} 0.0" in text


def secrets_of(node: Path) -> dict[str, str]:
    password = (node / "password").read_text().strip()
    (keystore,) = (node / "data/keystore").iterdir()
    return {
        "password": password,
        "nodekey": (node / "data/geth/nodekey").read_text().strip(),
        "account's key": bytes(Account.decrypt(keystore.read_text(), password)).hex(),
    }


def test_no_secret_leaves_its_own_files(network: RunningNetwork) -> None:
    places: dict[str, str] = {}
    for process in network.processes():
        places[f"command line of {process.pid}"] = " ".join(process.cmdline())
        places[f"environment of {process.pid}"] = json.dumps(process.environ())
    for folder, _, names in os.walk(network.path):
        for file in (Path(folder, name) for name in names):
            if stat.S_ISREG(file.stat().st_mode) and "chaindata" not in file.parts:
                with contextlib.suppress(FileNotFoundError):
                    places[str(file.relative_to(network.path))] = file.read_text("latin-1")
    places["status"] = network.run("status", "--json").out + network.run("init").out
    assert any(place.startswith(".state/logs/") for place in places)
    for number in range(1, 6):
        for what, secret in secrets_of(network.node(number)).items():
            found = [place for place, text in places.items() if secret.lower() in text.lower()]
            own = {"password": ["password"], "nodekey": ["data/geth/nodekey"], "account's key": []}[what]
            assert found == [f"nodes/node{number}/{place}" for place in own], what


def test_secret_files_are_private_while_it_runs(network: RunningNetwork) -> None:
    for path in [*network.keys(), *(f"nodes/node{n}/data/geth.ipc" for n in range(1, 6)), ".state/control.sock"]:
        mode = stat.S_IMODE((network.path / path).stat().st_mode)
        assert mode & 0o077 == 0, f"{path}: {mode:o}"


def test_one_interpreter_carries_all_nodes(network: RunningNetwork) -> None:
    assert len(network.supervisor.children(recursive=True)) == 5
    assert {process.name() for process in network.supervisor.children()} == {"geth"}
