"""Private transactions a second through the builtin transaction manager, end to end, on three instances.

    python benchmarks/tm.py [--transactions N] [--concurrency N] [--size BYTES] [--json]

One transaction is: node 1 takes a payload for nodes 2 and 3 (`/sendraw` over its unix socket), both have it on their
disks, node 1 too, and both read it back in clear (`/receiveraw`). Three processes on loopback; this one is the client
of all of them on the same cores. Beside it, in the same run, the bare cost of the cryptography that such a transaction
needs, in one thread, without network, disk or HTTP: the ratio of the two says what the transaction manager adds and
depends less on the machine than either.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from quorumkit.tm.config import render_tm_conf
from quorumkit.tm.enclave import Enclave, for_recipient
from quorumkit.tm.keys import KeyPair, generate_key_pair, write_key_files

PUBLISHED_TRANSACTIONS_PER_SECOND = 137
"""The best figure published for private transactions on three GoQuorum nodes with another transaction manager."""

TARGET_RSS_MB = 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--size", type=int, default=2048, help="bytes of a payload; a small contract's creation")
    parser.add_argument("--directory", type=Path, help="where the stores are; its disk is part of what is measured")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="qktm-", dir=arguments.directory) as root:
        result = asyncio.run(measure(Path(root), arguments.transactions, arguments.concurrency, arguments.size))
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        report(result)


async def measure(root: Path, transactions: int, concurrency: int, size: int) -> dict[str, Any]:
    pairs = [generate_key_pair() for _ in range(3)]
    directories = [root / f"node{number}" for number in (1, 2, 3)]
    references = [bare_cryptography(pairs, size)]
    sync = disk_sync(root)
    with started(directories, pairs) as processes:
        sockets = [directory / "tm.ipc" for directory in directories]
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(unix_client(path)) for path in sockets]
            await all_up(clients)
            idle = [rss_mb(process) for process in processes]
            parties = [pair.public_base64 for pair in pairs[1:]]
            await load(clients, parties, max(transactions // 10, concurrency), concurrency, size)  # warm
            before = [cpu_seconds(process.pid) for process in processes] + [cpu_seconds(os.getpid())]
            latencies, seconds = await load(clients, parties, transactions, concurrency, size)
            after = [cpu_seconds(process.pid) for process in processes] + [cpu_seconds(os.getpid())]
            alone, _ = await load(clients, parties, min(200, transactions), 1, size)
            loaded = [rss_mb(process) for process in processes]
    references.append(bare_cryptography(pairs, size))
    reference = statistics.mean(references)
    rate = transactions / seconds
    return {
        "transactions": transactions,
        "concurrency": concurrency,
        "payload_bytes": size,
        "cores": os.cpu_count(),
        "transactions_per_second": round(rate, 1),
        "times_published": round(rate / PUBLISHED_TRANSACTIONS_PER_SECOND, 2),
        "latency_ms": percentiles(latencies),
        "latency_alone_ms": percentiles(alone),
        "bare_cryptography_per_second": round(reference, 1),
        "share_of_bare_cryptography": round(rate / reference, 4),
        "cpu_ms_per_transaction": {
            name: round((end - start) / transactions * 1000, 2)
            for name, start, end in zip(("node1", "node2", "node3", "client"), before, after, strict=True)
        },
        "disk_sync_ms": round(sync * 1000, 3),
        "rss_idle_mb": idle,
        "rss_loaded_mb": loaded,
    }


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


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


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


def percentiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"p{at}": round(cuts[at - 1] * 1000, 2) for at in (50, 95, 99)} | {"max": round(max(seconds) * 1000, 2)}


def report(result: dict[str, Any]) -> None:
    print(
        f"{result['transactions']} private transactions of {result['payload_bytes']} bytes, "
        f"{result['concurrency']} at a time, on {result['cores']} cores"
    )
    print(
        f"  {result['transactions_per_second']} a second: {result['times_published']} times the published "
        f"{PUBLISHED_TRANSACTIONS_PER_SECOND}, {result['share_of_bare_cryptography']:.1%} of the bare cryptography "
        f"({result['bare_cryptography_per_second']} a second)"
    )
    for name, title in (("latency_ms", "latency"), ("latency_alone_ms", "latency, one at a time")):
        print(f"  {title}: " + ", ".join(f"{at} {ms} ms" for at, ms in result[name].items()))
    print("  CPU a transaction: " + ", ".join(f"{at} {ms} ms" for at, ms in result["cpu_ms_per_transaction"].items()))
    print(f"  one sync of the disk: {result['disk_sync_ms']} ms")
    print(f"  resident, idle: {result['rss_idle_mb']} MB, loaded: {result['rss_loaded_mb']} MB (aim: {TARGET_RSS_MB})")


if __name__ == "__main__":
    main()
