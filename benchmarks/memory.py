"""Resident memory of everything that is ours beside the clients, by real runs.

    .venv/bin/python benchmarks/memory.py [--settle 20] [1 5 25]

Starts a network of each size, lets it seal for a while, and reads the node program's memory and its children's. Ours is
the node program; the clients are for comparison. PSS shares out what processes have in common (libraries, the
client's code), so that the numbers may be added up; RSS counts it in each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from quorumkit.node.supervisor import INFO_NAME

QUORUMKIT = [sys.executable, "-m", "quorumkit"]
MIB = 2**20


def measure(nodes: int, settle: float, place: Path) -> str:
    directory = place / f"n{nodes}"
    began = time.monotonic()
    answer = subprocess.run(
        [*QUORUMKIT, "up", directory, "-n", str(nodes), "--verify", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - began
    try:
        if answer.returncode != 0:
            return f"{nodes:>5}  failed: {answer.stdout or answer.stderr}"
        time.sleep(settle)
        supervisor = psutil.Process(json.loads((directory / ".state" / INFO_NAME).read_bytes())["pid"])
        ours = supervisor.memory_full_info()
        clients = [child.memory_full_info() for child in supervisor.children(recursive=True)]
        processor = supervisor.cpu_percent(5)
        return (
            f"{nodes:>5}  {seconds:>8.1f}  {ours.rss / MIB:>9.1f} {ours.pss / MIB:>9.1f} {ours.pss / MIB / nodes:>9.2f}"
            f"  {processor:>6.1f}  {sum(c.rss for c in clients) / len(clients) / MIB:>9.0f}"
            f" {sum(c.pss for c in clients) / MIB:>9.0f}"
        )
    finally:
        subprocess.run([*QUORUMKIT, "destroy", directory, "--yes"], capture_output=True, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=[1, 5, 25])
    parser.add_argument("--settle", type=float, default=20, help="seconds to run before it is read")
    arguments = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB; memory in MiB, CPU in % of one core"
    )
    print("nodes    up to     ours:     ours:     ours:    ours:    client:  clients:")
    print("       verified       RSS       PSS  PSS/node     CPU   RSS each   PSS sum")
    with tempfile.TemporaryDirectory(prefix="qk") as folder:
        for nodes in arguments.sizes:
            print(measure(nodes, arguments.settle, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
