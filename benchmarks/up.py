"""`quorumkit up --verify` of a generated directory, against a bare script that starts the same clients at once.

    .venv/bin/python benchmarks/up.py [--nodes 5] [--repeat 7]

One directory is generated; each round copies it for each contender, in turn, and measures from nothing running to a
contract read from every node at the same block with the same hash. The bare script knows where everything is: it runs
`geth init` for all nodes at once, starts all clients at once, and speaks raw JSON-RPC. It comes in two kinds:

mine     the clients seal from their start (`--mine`), as such scripts do
connect  they seal once all are connected, as ours do: the quickest we could make it

Ours is the command itself, its start included.
"""

from __future__ import annotations

import argparse
import json
import os
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
from statistics import median
from typing import Any

from quorumkit.contracts import storage_contract
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import engine_of
from quorumkit.operate.verify import contract_address
from quorumkit.plan import Network
from quorumkit.progress import silent

PATIENCE = 120.0  # seconds
QUORUMKIT = [sys.executable, "-m", "quorumkit"]


def ours(directory: Path) -> float:
    began = time.monotonic()
    answer = subprocess.run(
        [*QUORUMKIT, "up", directory, "--verify", "--json"], capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    subprocess.run([*QUORUMKIT, "down", directory], capture_output=True, check=True)
    if answer.returncode != 0:
        sys.exit(f"up failed:\n{answer.stdout}{answer.stderr}")
    return seconds


def bare(directory: Path, network: Network, *, mine: bool) -> float:
    engine = engine_of(network.spec.engine.kind)
    binary = engine.acquire(network.spec.engine.version, progress=silent).path
    records = {node.name: json.loads((directory / "nodes" / node.name / "node.json").read_bytes())
               for node in network.nodes}  # fmt: skip
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
        from quorumkit.node.record import NodeRecord

        for name, record in records.items():
            command = engine.run_command(binary, NodeRecord.model_validate(record)) + (["--mine"] if mine else [])
            with (directory / "nodes" / name / "log").open("wb") as log:
                clients.append(
                    subprocess.Popen(command, cwd=directory / "nodes" / name, stdout=log, stderr=log)
                )  # fmt: skip
        urls = [record["rpc_url"] for record in records.values()]
        with ThreadPoolExecutor(len(urls)) as pool:
            if mine:
                list(pool.map(lambda url: _until(lambda: call(url, "eth_chainId")), urls))
            else:
                peers = len(urls) - 1
                list(pool.map(lambda url: _until(lambda: int(call(url, "net_peerCount"), 16) == peers), urls))
                list(pool.map(lambda name: call_ipc(directory / "nodes" / name / engine.ipc, "miner_start"), records))
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
    while time.monotonic() < deadline:
        try:
            if answer := ask():
                return answer
        except OSError:
            pass
        time.sleep(0.02)
    sys.exit("a bare client did not answer")


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qk") as folder:
        place = Path(folder)
        template = place / "template"
        subprocess.run([*QUORUMKIT, "init", "-n", str(arguments.nodes), template], capture_output=True, check=True)
        network = NetworkDirectory(template).load()
        contenders = {
            "mine": lambda directory: bare(directory, network, mine=True),
            "connect": lambda directory: bare(directory, network, mine=False),
            "ours": ours,
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(arguments.repeat):
            for name, run in contenders.items():
                directory = place / f"{name}{number}"
                shutil.copytree(template, directory, ignore=shutil.ignore_patterns(".state"))
                seconds[name].append(run(directory))
            print("  ".join(f"{name} {values[-1]:.2f}" for name, values in seconds.items()), file=sys.stderr)
    print(f"{arguments.nodes} nodes, {os.cpu_count()} cores, {arguments.repeat} rounds; aim: within 1.3")
    for name, values in seconds.items():
        print(f"{name:<8} median {median(values):6.2f} s   from {min(values):6.2f} to {max(values):6.2f}")
    for name in ("mine", "connect"):
        ratios = [one / other for one, other in zip(seconds["ours"], seconds[name], strict=True)]
        best = min(seconds["ours"]) / min(seconds[name])
        spread = f"from {min(ratios):5.2f} to {max(ratios):5.2f}"
        print(f"ours/{name:<8} median {median(ratios):5.2f}   {spread}   best against best {best:5.2f}")


if __name__ == "__main__":
    main()
