"""Resident memory of everything that is ours beside the clients, by real runs.

    .venv/bin/python benchmarks/memory.py [--settle 20] [--rounds 1] [1 5 25]

Starts a network of each size, lets it seal for a while, and reads the node program's memory and its children's. Ours is
the node program; the clients are for comparison. PSS shares out what processes have in common (libraries, the
client's code), so that the numbers may be added up; RSS counts it in each.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import psutil

from measuring import Load, Table, options, quorumkit, rounds_of, spread
from quorumkit.node.info import INFO_NAME
from support.clique import CLIQUE

MIB = 2**20


def main() -> None:
    parser = options(__doc__, rounds=1)
    parser.add_argument("sizes", type=int, nargs="*", default=[1, 5, 25])
    parser.add_argument("--settle", type=float, default=20, help="seconds to run before it is read")
    arguments = parser.parse_args()
    sizes, settle = ([1], 1.0) if arguments.quick else (arguments.sizes, arguments.settle)
    rounds = rounds_of(arguments)
    table = Table(
        "nodes", "rounds", "load", "node program RSS", "PSS", "PSS a node", "its processor share",
        "clients, PSS a node", "`up` to verified",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="qk") as folder:
        for nodes in sizes:
            load = Load()
            seen = [measure(nodes, settle, Path(folder) / f"{nodes}-{number}") for number in range(rounds)]
            rss, pss, processor, clients, seconds = (list(column) for column in zip(*seen, strict=True))
            table.row(
                nodes, rounds, load, spread(rss, " MiB"), spread(pss, " MiB"),
                spread([each / nodes for each in pss], " MiB"), spread(processor, " %"),
                spread([each / nodes for each in clients], " MiB"), spread(seconds, " s"),
            )  # fmt: skip


def measure(nodes: int, settle: float, directory: Path) -> tuple[float, float, float, float, float]:
    """The node program's resident and proportional memory, its share of a core, the clients' memory, and how long the
    network took to start."""
    try:
        began = time.monotonic()
        quorumkit("up", directory, *CLIQUE, "-n", str(nodes), "--verify", "--json")
        seconds = time.monotonic() - began
        time.sleep(settle)
        supervisor = psutil.Process(json.loads((directory / ".state" / INFO_NAME).read_bytes())["pid"])
        ours = supervisor.memory_full_info()
        clients = [child.memory_full_info() for child in supervisor.children(recursive=True)]
        processor = supervisor.cpu_percent(min(settle, 5))
        return ours.rss / MIB, ours.pss / MIB, processor, sum(client.pss for client in clients) / MIB, seconds
    finally:
        if directory.exists():
            quorumkit("destroy", directory, "--yes")


if __name__ == "__main__":
    main()
