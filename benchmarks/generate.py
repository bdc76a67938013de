"""Generation of a network directory, against the bare cost of its cryptography on all cores.

    .venv/bin/python benchmarks/generate.py [--repeat 5] [5 50 500]

Each round runs the reference and ours one after the other, so that what else the machine does weighs on both. The
reference makes the same keys and keystores with the same libraries in a plain thread pool and writes nothing. `best`
compares the quickest round of each, which the rest of a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
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

from quorumkit.directory import NetworkDirectory
from quorumkit.operate.generate import generate
from quorumkit.progress import silent
from quorumkit.runtimes import runtime_of
from quorumkit.spec import NetworkSpec, NodesSpec


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
    spec = NetworkSpec(name="bench", nodes=NodesSpec(validators=nodes))
    generate(directory, spec, runtime_of(directory, spec).addresses, silent)


def measure(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of the processors."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    work()
    wall = time.perf_counter() - began
    now = resource.getrusage(resource.RUSAGE_SELF)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=[5, 50, 500])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--place", type=Path, help="where to write; the default is the temporary directory")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores; medians of {arguments.repeat} rounds; aim: within 1.5")
    print(f"{'nodes':>5}  {'bare s':>8} {'ours s':>8} {'ratio':>6} {'(min-max)':>12} {'best':>5}", end="")
    print(f"  {'bare CPU':>8} {'ours CPU':>8}")
    with tempfile.TemporaryDirectory(dir=arguments.place) as folder:
        os.environ["QUORUMKIT_CACHE"] = folder  # the register of ports is kept there
        place = Path(folder)
        for nodes in [1, *arguments.sizes]:  # the first loads what is loaded late
            rounds = []
            for number in range(arguments.repeat if nodes > 1 else 1):
                reference = measure(partial(bare, nodes))
                # A new directory each time, and none removed before the end: ext4 makes files slowly for some
                # seconds after many were removed.
                directory = NetworkDirectory(place / f"{nodes}-{number}")
                result = measure(partial(ours, nodes, directory))
                directory.spec.unlink()  # its ports are free again
                rounds.append((reference, result))
            if nodes == 1:
                continue
            ratios = [result[0] / reference[0] for reference, result in rounds]
            columns = [median(values) for values in zip(*((*one, *other) for one, other in rounds), strict=True)]
            bare_wall, bare_cpu, our_wall, our_cpu = columns
            best = min(result[0] for _, result in rounds) / min(reference[0] for reference, _ in rounds)
            spread = f"({min(ratios):.2f}-{max(ratios):.2f})"
            print(
                f"{nodes:>5}  {bare_wall:>8.3f} {our_wall:>8.3f} {median(ratios):>6.2f} {spread:>12} {best:>5.2f}"
                f"  {bare_cpu:>8.3f} {our_cpu:>8.3f}"
            )


if __name__ == "__main__":
    main()
