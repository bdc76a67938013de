"""Generation of a network directory, against the bare cost of its cryptography on all cores.

    .venv/bin/python benchmarks/generate.py [--rounds 20] [5 50 500]

Each round runs the reference and ours one after the other, so that what else the machine does weighs on both. The
reference makes the same keys and keystores with the same libraries in a plain thread pool and writes nothing. "Best
against best" compares the quickest round of each, which the rest of a busy machine disturbs least.
"""

from __future__ import annotations

import hashlib
import os
import resource
import secrets
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import coincurve
from Crypto.Cipher import AES
from Crypto.Hash import keccak

from measuring import Load, Table, options, ratios, rounds_of, spread
from quorumkit.directory import NetworkDirectory
from quorumkit.identities.generated import generate
from quorumkit.progress import silent
from quorumkit.providers import provider_of
from quorumkit.spec import parse_spec
from support.clique import on_clique

LARGE, MANY = 100, 5
"""Networks of more nodes than that are measured not more often than that."""


def bare(nodes: int) -> None:
    """Per node: two key pairs, their public halves, one password, one keystore encryption."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(_bare_node, range(nodes)))


def _bare_node(_: int) -> None:
    nodekey, account = coincurve.PrivateKey(), coincurve.PrivateKey()
    nodekey.public_key.format(compressed=False)
    keccak.new(digest_bits=256, data=account.public_key.format(compressed=False)[1:]).digest()
    password = secrets.token_urlsafe(32).encode()
    derived = hashlib.scrypt(password, salt=os.urandom(32), n=4096, r=8, p=1, maxmem=2**26, dklen=32)
    cipher = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=os.urandom(16))
    keccak.new(digest_bits=256, data=derived[16:] + cipher.encrypt(account.secret)).digest()


def ours(nodes: int, directory: NetworkDirectory) -> None:
    """What `quorumkit init` does once it is loaded."""
    spec = parse_spec(on_clique({"name": "bench", "nodes": {"validators": nodes}}))
    generate(directory, spec, provider_of(directory, spec).addresses, silent)


def measure(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of the processors."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    work()
    wall = time.perf_counter() - began
    now = resource.getrusage(resource.RUSAGE_SELF)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = options(__doc__, rounds=20)
    parser.add_argument("sizes", type=int, nargs="*", default=[5, 50, 500])
    parser.add_argument("--place", type=Path, help="where to write; the default is the temporary directory")
    arguments = parser.parse_args()
    sizes = [5] if arguments.quick else arguments.sizes
    table = Table(
        "nodes", "rounds", "load", "ratio by the clock: median (min–max)", "best against best",
        "ratio of processor time", "processor time of ours", "ours by the clock",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=arguments.place) as folder:
        os.environ["QUORUMKIT_CACHE"] = folder  # the register of ports is kept there
        place = Path(folder)
        compare(1, 1, place)  # the first loads what is loaded late
        for nodes in sizes:
            rounds = min(rounds_of(arguments), MANY) if nodes > LARGE else rounds_of(arguments)
            load = Load()
            measured = compare(nodes, rounds, place, load)
            bare_wall, bare_cpu, our_wall, our_cpu = (list(column) for column in zip(*measured, strict=True))
            table.row(
                nodes, rounds, load, ratios(our_wall, bare_wall), f"{min(our_wall) / min(bare_wall):.2f}",
                f"{median(our_cpu) / median(bare_cpu):.2f}", f"{median(our_cpu):.2f} s", spread(our_wall, " s"),
            )  # fmt: skip


def compare(nodes: int, rounds: int, place: Path, load: Load | None = None) -> list[tuple[float, float, float, float]]:
    """A round a row: seconds by the clock and of the processors of the reference, and the same of ours."""
    measured = []
    for number in range(rounds):
        reference = measure(partial(bare, nodes))
        # A new directory each time, and none removed before the end: ext4 makes files slowly for some seconds after
        # many were removed.
        directory = NetworkDirectory(place / f"{nodes}-{number}")
        result = measure(partial(ours, nodes, directory))
        directory.spec.unlink()  # its ports are free again
        measured.append((*reference, *result))
        if load is not None:
            load.note()
    return measured


if __name__ == "__main__":
    main()
