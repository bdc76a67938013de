"""Private transactions a second through the builtin transaction manager, end to end, on three instances.

    .venv/bin/python benchmarks/tm.py [--transactions N] [--concurrency N] [--size BYTES] [--rounds 3]

One transaction is: node 1 takes a payload for nodes 2 and 3 (`/sendraw` over its unix socket), both have it on their
disks, node 1 too, and both read it back in clear (`/receiveraw`). Three processes on loopback; this one is the client
of all of them on the same cores. Beside it, in the same run, the bare cost of the cryptography that such a transaction
needs, in one thread, without network, disk or HTTP: the ratio of the two says what the transaction manager adds and
depends less on the machine than either.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from measuring import Load, Table, options, rounds_of, spread
from quorumkit.tm.config_render import render_tm_conf
from quorumkit.tm.enclave import Enclave, for_recipient
from quorumkit.tm.keys import KeyPair, generate_key_pair, write_key_files
from support.ports import free_ports

PUBLISHED_TRANSACTIONS_PER_SECOND = 137
"""The best figure published for private transactions on three GoQuorum nodes with another transaction manager."""

TARGET_RSS_MB = 60


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--transactions", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--size", type=int, default=2048, help="bytes of a payload; a small contract's creation")
    parser.add_argument("--directory", type=Path, help="where the stores are; its disk is part of what is measured")
    arguments = parser.parse_args()
    transactions, concurrency = (50, [4]) if arguments.quick else (arguments.transactions, arguments.concurrency)
    rounds = rounds_of(arguments)
    table = Table(
        "at a time", "rounds", "load", f"transactions a second; {PUBLISHED_TRANSACTIONS_PER_SECOND} is published",
        "of the bare cryptography", "latency p50, p95, p99", "one at a time: p50, p95, p99",
        "CPU a transaction: sender, parties, client", f"resident, loaded (aim: {TARGET_RSS_MB} MB)", "one disk sync",
    )  # fmt: skip
    for at_a_time in concurrency:
        load, seen = Load(), []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="qktm-", dir=arguments.directory) as root:
                seen.append(asyncio.run(measure(Path(root), transactions, at_a_time, arguments.size)))
            load.note()
        middle = sorted(seen, key=lambda each: each.rate)[len(seen) // 2]
        table.row(
            at_a_time, rounds, load, spread([each.rate for each in seen]), f"{middle.rate / middle.reference:.1%}",
            percentiles(middle.latencies), percentiles(middle.alone),
            ", ".join(f"{seconds * 1000:.1f}" for seconds in middle.processor) + " ms",
            f"{min(middle.rss):.0f}–{max(middle.rss):.0f} MB", f"{middle.sync * 1000:.2f} ms",
        )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """One round; times are in seconds."""

    rate: float
    """Transactions a second."""
    latencies: list[float]
    alone: list[float]
    """Latencies with one transaction at a time."""
    reference: float
    """Transactions a second of the bare cryptography."""
    processor: list[float]
    """Processor time a transaction, of each instance and of this client."""
    sync: float
    rss: list[float]


async def measure(root: Path, transactions: int, concurrency: int, size: int) -> Measured:
    pairs = [generate_key_pair() for _ in range(3)]
    directories = [root / f"node{number}" for number in (1, 2, 3)]
    references = [bare_cryptography(pairs, size)]
    sync = disk_sync(root)
    with started(directories, pairs) as processes:
        sockets = [directory / "tm.ipc" for directory in directories]
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(unix_client(path)) for path in sockets]
            await all_up(clients)
            parties = [pair.public_base64 for pair in pairs[1:]]
            await load(clients, parties, max(transactions // 10, concurrency), concurrency, size)  # warm
            before = [cpu_seconds(process.pid) for process in processes] + [cpu_seconds(os.getpid())]
            latencies, seconds = await load(clients, parties, transactions, concurrency, size)
            after = [cpu_seconds(process.pid) for process in processes] + [cpu_seconds(os.getpid())]
            alone, _ = await load(clients, parties, min(200, transactions), 1, size)
            loaded = [rss_mb(process) for process in processes]
    references.append(bare_cryptography(pairs, size))
    return Measured(
        rate=transactions / seconds,
        latencies=latencies,
        alone=alone,
        reference=statistics.mean(references),
        processor=[(end - start) / transactions for start, end in zip(before, after, strict=True)],
        sync=sync,
        rss=loaded,
    )


async def load(
    clients: list[aiohttp.ClientSession], parties: list[str], transactions: int, concurrency: int, size: int
) -> tuple[list[float], float]:
    """Latencies of single transactions in seconds, and the time for all of them."""
    latencies: list[float] = []
    left = iter(range(transactions))

    async def client() -> None:
        for _ in left:
            payload = os.urandom(size)
            start = time.perf_counter()
            payload_hash = await send(clients[0], parties, payload)
            answers = await asyncio.gather(*(receive(reader, payload_hash) for reader in clients[1:]))
            latencies.append(time.perf_counter() - start)
            if any(answer != payload for answer in answers):
                raise SystemExit("a party read something else than was sent")

    start = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(concurrency)))
    return latencies, time.perf_counter() - start


async def send(client: aiohttp.ClientSession, parties: list[str], payload: bytes) -> str:
    async with client.post("http://c/sendraw", data=payload, headers={"c11n-to": ",".join(parties)}) as response:
        text = await response.text()
        if response.status != 200:
            raise SystemExit(f"sendraw: {response.status} {text}")
        return text


async def receive(client: aiohttp.ClientSession, payload_hash: str) -> bytes:
    async with client.get("http://c/receiveraw", headers={"c11n-key": payload_hash}) as response:
        return await response.read()


def bare_cryptography(pairs: list[KeyPair], size: int) -> float:
    """Transactions a second of the cryptography alone: seal for two, each opens the box on arrival and reads once."""
    sender, *readers = (Enclave([pair]) for pair in pairs)
    payload = os.urandom(size)
    count = 0
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < 1:
        sealed = sender.seal(payload, pairs[0].public, [pair.public for pair in pairs[1:]])
        for reader, pair in zip(readers, pairs[1:], strict=True):
            part = for_recipient(sealed, pair.public)
            assert part is not None
            hashlib.sha3_512(part.cipher_text).digest()
            reader.addressee(part)
            reader.open(part)
        count += 1
    return count / elapsed


def disk_sync(directory: Path) -> float:
    """Seconds that the disk takes to make 4 KiB durable: the median of 50."""
    times = []
    with (directory / "sync").open("wb") as file:
        for _ in range(50):
            start = time.perf_counter()
            file.write(os.urandom(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


@contextlib.contextmanager
def started(directories: list[Path], pairs: list[KeyPair]) -> Iterator[list[subprocess.Popen[bytes]]]:
    ports = free_ports(len(pairs))
    urls = [f"http://127.0.0.1:{port}/" for port in ports]
    processes = []
    try:
        for directory, pair, port, url in zip(directories, pairs, ports, urls, strict=True):
            directory.mkdir()
            write_key_files(pair, directory)
            others = [(u, p.public_base64) for u, p in zip(urls, pairs, strict=True) if u != url]
            conf = render_tm_conf(
                url=url,
                port=port,
                interface="127.0.0.1",
                other_nodes=[other for other, _ in others],
                other_keys=[key for _, key in others],
            )
            (directory / "tm.conf").write_bytes(conf)
            processes.append(subprocess.Popen([sys.executable, "-m", "quorumkit.tm", str(directory / "tm.conf")]))
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def unix_client(path: Path) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path), limit=0))


async def all_up(clients: list[aiohttp.ClientSession]) -> None:
    deadline = time.monotonic() + 20
    for client in clients:
        while True:
            try:
                async with client.get("http://c/parties") as response:
                    if all(peer["answered"] for peer in (await response.json())["peers"]):
                        break
            except aiohttp.ClientError:
                pass
            if time.monotonic() > deadline:
                raise SystemExit("the transaction managers did not come up")
            await asyncio.sleep(0.05)


def rss_mb(process: subprocess.Popen[bytes]) -> float:
    return round(psutil.Process(process.pid).memory_info().rss / 1e6, 1)


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def percentiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return ", ".join(f"{cuts[at - 1] * 1000:.1f}" for at in (50, 95, 99)) + " ms"


if __name__ == "__main__":
    main()
