"""`quorumkit up --verify` of a generated directory, against a bare script that starts the same clients at once.

    .venv/bin/python benchmarks/up.py [--nodes 5] [--rounds 7]

One directory is generated; each round copies it for each contender, in turn, and measures from nothing running to a
contract read from every node at the same block with the same hash. The bare script knows where everything is: it runs
`geth init` for all nodes at once, starts all clients at once, each with its account open, and speaks raw JSON-RPC. It
comes in two kinds:

mine     the clients seal from their start (`--mine`), as such scripts do
connect  they seal once all are connected, as ours do: the quickest we could make it

Ours is the command itself, its start included.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring import Load, Table, options, quorumkit, ratios, rounds_of, spread
from quorumkit.contracts import storage_contract
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import acquirer_of
from quorumkit.plan import Network
from quorumkit.process_spec import client_of
from quorumkit.progress import silent
from quorumkit.record import read_record
from quorumkit.stages.transactions import contract_address
from support.clique import CLIQUE

PATIENCE = 120.0  # seconds


def ours(directory: Path) -> float:
    began = time.monotonic()
    try:
        quorumkit("up", directory, "--verify", "--json")
        return time.monotonic() - began
    finally:
        quorumkit("down", directory)


def bare(directory: Path, network: Network, *, mine: bool) -> float:
    recipe = network.spec.recipe
    binary = (
        acquirer_of(recipe.kind, network.spec.consensus.kind).acquire(network.spec.engine.version, progress=silent).path
    )
    records = {node.name: read_record(directory / "nodes" / node.name) for node in network.nodes}
    clients: list[subprocess.Popen[bytes]] = []
    began = time.monotonic()
    try:
        making = [
            subprocess.Popen([binary, "init", "--datadir", "data", directory / "genesis.json"],
                             cwd=directory / "nodes" / name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for name in records
        ]  # fmt: skip
        if any(process.wait() for process in making):
            sys.exit("geth init failed")
        for name, record in records.items():
            command = list(client_of(recipe.processes(binary, record)).argv)
            # Ours opens the account over the socket; a script has the client do it at its start.
            command += ["--unlock", record.identity.account, "--password", "password", *(["--mine"] if mine else [])]
            with (directory / "nodes" / name / "log").open("wb") as log:
                clients.append(
                    subprocess.Popen(command, cwd=directory / "nodes" / name, stdout=log, stderr=log)
                )  # fmt: skip
        urls = [record.endpoints.rpc_url for record in records.values()]
        with ThreadPoolExecutor(len(urls)) as pool:
            if mine:
                list(pool.map(lambda url: _until(lambda: call(url, "eth_chainId")), urls))
            else:
                peers = len(urls) - 1
                list(pool.map(lambda url: _until(lambda: int(call(url, "net_peerCount"), 16) == peers), urls))
                list(pool.map(lambda name: call_ipc(directory / "nodes" / name / recipe.ipc, "miner_start"), records))
            verify(urls, pool)
        return time.monotonic() - began
    finally:
        for client in clients:
            client.send_signal(signal.SIGTERM)
        for client in clients:
            client.wait()


def verify(urls: list[str], pool: ThreadPoolExecutor) -> None:
    """Both transactions at once, then every node's value and hash at the block of the second."""
    contract = storage_contract()
    sender = call(urls[0], "eth_accounts")[0]
    address = contract_address(sender, 0)
    deploy = {"from": sender, "gas": hex(300_000), "nonce": "0x0", "data": contract.deploy_data(0)}
    _until(lambda: call(urls[0], "eth_sendTransaction", deploy))
    write = {"from": sender, "gas": hex(100_000), "nonce": "0x1", "to": address, "data": contract.set_data(42)}
    written = call(urls[0], "eth_sendTransaction", write)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        receipt = _until(lambda: call(urls[0], "eth_getTransactionReceipt", written))
        number = receipt["blockNumber"]
        blocks = list(pool.map(lambda url: _until(lambda: call(url, "eth_getBlockByNumber", number, False)), urls))  # noqa: B023
        at = {"blockHash": receipt["blockHash"]}
        if {block["hash"] for block in blocks} == {receipt["blockHash"]}:
            values = pool.map(lambda url: call(url, "eth_call", {"to": address, "data": contract.get_data()}, at), urls)  # noqa: B023
            if {int(value, 16) for value in values} == {42}:
                return
        time.sleep(0.02)  # the newest blocks were replaced
    sys.exit("the bare clients did not agree")


def _until(ask: Any) -> Any:
    """What `ask` answers, once it does."""
    deadline = time.monotonic() + PATIENCE
    last: object = None
    while time.monotonic() < deadline:
        try:
            if last := ask():
                return last
        except OSError as error:
            last = error
        time.sleep(0.02)
    sys.exit(f"a bare client did not answer in {PATIENCE:g} s; last: {last}")


def call(url: str, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    if any(soon in str(answer.get("error")) for soon in ("indexing is in progress", "authentication needed")):
        return None  # geth says so for a moment after its start
    if "error" in answer:
        sys.exit(f"{url}: {method}: {answer['error']}")
    return answer["result"]


def call_ipc(path: Path, method: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": []}).encode())
        connection.recv(4096)


def main() -> None:
    parser = options(__doc__, rounds=7)
    parser.add_argument("--nodes", type=int, default=5)
    arguments = parser.parse_args()
    nodes, rounds = 2 if arguments.quick else arguments.nodes, rounds_of(arguments)
    table = Table("nodes", "rounds", "load", "`mine`", "`connect`", "ours", "ours / `mine`", "ours / `connect`")
    load = Load()
    with tempfile.TemporaryDirectory(prefix="qk") as folder:
        place = Path(folder)
        template = place / "template"
        quorumkit("init", *CLIQUE, "-n", str(nodes), template)
        network = NetworkDirectory(template).load()
        contenders = {
            "mine": lambda directory: bare(directory, network, mine=True),
            "connect": lambda directory: bare(directory, network, mine=False),
            "ours": ours,
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(rounds):
            for name, contender in contenders.items():
                directory = place / f"{name}{number}"
                shutil.copytree(template, directory, ignore=shutil.ignore_patterns(".state"))
                seconds[name].append(contender(directory))
            load.note()
            print("  ".join(f"{name} {values[-1]:.2f}" for name, values in seconds.items()), file=sys.stderr)
    against = [ratios(seconds["ours"], seconds[name]) for name in ("mine", "connect")]
    table.row(nodes, rounds, load, *(spread(values, " s") for values in seconds.values()), *against)


if __name__ == "__main__":
    main()
