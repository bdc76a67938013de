"""`quorumkit up --verify` of containers, from an empty directory, against a bare `docker compose up -d` of the same.

    .venv/bin/python benchmarks/compose.py [--nodes 5] [--rounds 5]

Each round runs both, one after the other. Ours makes keys, genesis and files, starts the containers, waits until all
nodes see each other, and verifies: a contract is read from all at the same block. The bare one gets a directory that is
made already, and has only to start its containers until every node answers JSON-RPC with a first block. The image is
there before.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from measuring import Load, Table, options, quorumkit, ratios, rounds_of, run, skip, spread
from quorumkit.record import read_record
from support.clique import CLIQUE

PATIENCE = 300.0  # seconds


def ours(directory: Path, nodes: int, name: str) -> float:
    began = time.monotonic()
    quorumkit("up", *CLIQUE, "-n", str(nodes), "--runtime", "compose", "--name", name, "--verify", "--json", directory)
    return time.monotonic() - began


def bare(directory: Path, nodes: int, name: str) -> float:
    quorumkit("init", *CLIQUE, "-n", str(nodes), "--runtime", "compose", "--name", name, directory)
    records = [read_record(path) for path in directory.glob("nodes/*")]
    began = time.monotonic()
    run("docker", "compose", "up", "-d", cwd=directory)
    for record in records:
        while not has_block(record.endpoints.rpc_url):
            if time.monotonic() - began > PATIENCE:
                sys.exit(f"{record.name}: no block")
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


def check_engine() -> None:
    """Skips where there is no container engine that knows Compose."""
    if shutil.which("docker") is None:
        skip("docker is not on PATH")
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            skip(f"`{' '.join(command)}` fails")


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--nodes", type=int, default=5)
    arguments = parser.parse_args()
    nodes, rounds = 2 if arguments.quick else arguments.nodes, rounds_of(arguments)
    check_engine()
    quorumkit("image", "build", *CLIQUE)
    table = Table("nodes", "rounds", "load", "bare", "ours", "ours / bare")
    load = Load()
    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    contenders = {"bare": bare, "ours": ours}
    with tempfile.TemporaryDirectory(prefix="qk") as folder:
        for number in range(rounds):
            for kind, contender in contenders.items():
                directory = Path(folder) / f"{kind}{number}"
                try:
                    seconds[kind].append(contender(directory, nodes, f"qk{os.getpid()}-{kind}{number}"))
                finally:
                    if directory.exists():
                        quorumkit("destroy", directory, "--yes")
            load.note()
            print("  ".join(f"{kind} {values[-1]:.2f}" for kind, values in seconds.items()), file=sys.stderr)
    bare_seconds, our_seconds = seconds["bare"], seconds["ours"]
    table.row(nodes, rounds, load, spread(bare_seconds, " s"), spread(our_seconds, " s"),
              ratios(our_seconds, bare_seconds))  # fmt: skip


if __name__ == "__main__":
    main()
