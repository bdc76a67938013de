"""`quorumkit up --verify` of containers, from an empty directory, against a bare `docker compose up -d` of the same.

    .venv/bin/python benchmarks/compose.py [--nodes 5] [--repeat 5]

Each round runs both, one after the other. Ours makes keys, genesis and files, starts the containers, waits until all
nodes see each other, and verifies: a contract is read from all at the same block. The bare one gets a directory that is
made already, and has only to start its containers until every node answers JSON-RPC with a first block. The image is
there before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

PATIENCE = 300.0  # seconds
QUORUMKIT = [sys.executable, "-P", "-m", "quorumkit"]


def ours(directory: Path, nodes: int, name: str) -> float:
    began = time.monotonic()
    quorumkit("up", "-n", str(nodes), "--runtime", "compose", "--name", name, "--verify", "--json", directory)
    return time.monotonic() - began


def bare(directory: Path, nodes: int, name: str) -> float:
    quorumkit("init", "-n", str(nodes), "--runtime", "compose", "--name", name, directory)
    records = [json.loads(path.read_bytes()) for path in directory.glob("nodes/*/node.json")]
    began = time.monotonic()
    subprocess.run(["docker", "compose", "up", "-d"], cwd=directory, capture_output=True, check=True)
    for record in records:
        while not has_block(record["rpc_url"]):
            if time.monotonic() - began > PATIENCE:
                sys.exit(f"{record['name']}: no block")
            time.sleep(0.05)
    return time.monotonic() - began


def has_block(url: str) -> bool:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(json.load(response)["result"], 16) > 0
    except (OSError, KeyError, ValueError):  # not up yet, or only just
        return False


def quorumkit(*arguments: str | Path) -> None:
    answer = subprocess.run([*QUORUMKIT, *arguments], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        sys.exit(f"{arguments[0]} failed:\n{answer.stdout}{answer.stderr}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    quorumkit("image", "build")
    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    contenders = {"bare": bare, "ours": ours}
    with tempfile.TemporaryDirectory(prefix="qk") as folder:
        for number in range(arguments.repeat):
            for kind, run in contenders.items():
                directory = Path(folder) / f"{kind}{number}"
                try:
                    seconds[kind].append(run(directory, arguments.nodes, f"qk{os.getpid()}-{kind}{number}"))
                finally:
                    if directory.exists():
                        quorumkit("destroy", directory, "--yes")
            print("  ".join(f"{kind} {values[-1]:.2f}" for kind, values in seconds.items()), file=sys.stderr)
    print(f"{arguments.nodes} nodes, {os.cpu_count()} cores, {arguments.repeat} rounds")
    for kind, values in seconds.items():
        print(f"{kind:<10} median {median(values):6.2f} s   from {min(values):6.2f} to {max(values):6.2f}")
    ratios = [one / other for one, other in zip(seconds["ours"], seconds["bare"], strict=True)]
    print(f"ours/bare  median {median(ratios):6.2f}     from {min(ratios):6.2f} to {max(ratios):6.2f}")


if __name__ == "__main__":
    main()
