"""How long nodes that share nothing take to agree, and how many requests that costs.

    python benchmarks/exchange.py [--nodes 5,25,100] [--rounds 3]

All nodes are on one machine, in two processes; everything is as in a real node but that no client is started. The time
is from the start of the last node to the moment when the last one has its lock and its files on the disk. Keys are made
beforehand. The reference is the same number of bare aiohttp round trips, with bodies of the size of a request and an
answer, made by the same two processes at the same time: what no exchange over aiohttp could do without.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import math
import multiprocessing
import os
import random
import resource
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from quorumkit.exchange.names import Names
from quorumkit.exchange.run import Exchange, own_identity
from quorumkit.exchange.settings import ExchangeSettings
from quorumkit.plan import Endpoint
from quorumkit.spec import NetworkSpec, NodesSpec

WORKERS = 2
AIM = {100: 2.0}
"""Seconds on two cores."""


@dataclass
class Measured:
    nodes: int
    seconds: float
    cpu_seconds: float
    requests: int
    per_node: float
    per_node_and_log2: float
    reference_seconds: float
    ratio: float


def free_ports(count: int) -> list[int]:
    """Below 32768, where no outgoing connection takes one before its node starts (ip(7), ip_local_port_range)."""
    found: list[int] = []
    for port in random.sample(range(20_000, 30_000), 10_000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def settings_of(folder: Path, ports: list[int], ordinal: int) -> ExchangeSettings:
    port = ports[ordinal - 1]
    return ExchangeSettings(
        spec=NetworkSpec(name="bench", nodes=NodesSpec(validators=len(ports))),
        ordinal=ordinal,
        names=Names(1, tuple(Endpoint("127.0.0.1", each) for each in ports)),
        secret=folder / "join-secret",
        host="127.0.0.1",
        bind=Endpoint("127.0.0.1", port),
        p2p_bind=Endpoint("127.0.0.1", 30303),
        p2p_port=30303,
        rpc_bind=Endpoint("127.0.0.1", 8545),
        rpc_url="",
    )


async def exchange(folder: Path, ports: list[int], mine: list[int], last: int, pipe: Connection) -> None:
    """Runs the nodes `mine`; the one with the ordinal `last` only when told to."""
    nodes = {
        ordinal: Exchange(
            settings_of(folder, ports, ordinal),
            folder / f"node{ordinal}",
            say=lambda level, text: None,
            tell=lambda text: None,
            rendered=lambda: None,
        )
        for ordinal in mine
    }
    running = [asyncio.create_task(node.run()) for ordinal, node in nodes.items() if ordinal != last]
    loop = asyncio.get_running_loop()
    pipe.send("up")
    await loop.run_in_executor(None, pipe.recv)
    before = resource.getrusage(resource.RUSAGE_SELF)
    sent = sum(node.client.requests for node in nodes.values())
    if last in nodes:
        running.append(asyncio.create_task(nodes[last].run()))
    waiting = [asyncio.create_task(node.locked.wait()) for node in nodes.values()]
    all_locked: asyncio.Future[Any] = asyncio.gather(*waiting)
    ends: list[asyncio.Future[Any]] = [*running, all_locked]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for each in ends:
        if each.done():
            each.result()
    ended = time.monotonic()
    after = resource.getrusage(resource.RUSAGE_SELF)
    total = sum(node.client.requests for node in nodes.values())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pipe.send((ended, cpu, total, total - sent))
    await loop.run_in_executor(None, pipe.recv)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def round_trips(count: int, pipe: Connection) -> None:
    """The reference: so many POSTs, as many at a time as nodes would make."""

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=bytes(1500))

    server = await asyncio.get_running_loop().create_server(web.Server(answer, access_log=None), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pipe.send("up")
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as session:

        async def one() -> None:
            async with session.post(f"http://127.0.0.1:{port}/", data=bytes(1200)) as response:
                await response.read()

        await asyncio.gather(*(one() for _ in range(count)))
    pipe.send(time.monotonic())
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    server.close()


def work(kind: Callable[..., Coroutine[Any, Any, None]], arguments: tuple[object, ...], pipe: Connection) -> None:
    gc.freeze()
    asyncio.run(kind(*arguments, pipe))


def in_two(
    kind: Callable[..., Coroutine[Any, Any, None]], arguments: list[tuple[object, ...]], *, settle: float
) -> tuple[float, list[Any]]:
    """Starts both workers, lets them settle, tells them to go; when that was, and what they measured."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for each in arguments:
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(kind, each, theirs))
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    time.sleep(settle)
    began = time.monotonic()
    for pipe in pipes:
        pipe.send("go")
    results = [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send("end")
    for process in processes:
        process.join()
    return began, results


def measure(nodes: int) -> Measured:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "join-secret").write_bytes(os.urandom(32).hex().encode())
        for ordinal in range(1, nodes + 1):
            (folder / f"node{ordinal}").mkdir()
            own_identity(folder / f"node{ordinal}", locked=False)
        ports = free_ports(nodes)
        shares = [list(range(start, nodes + 1, WORKERS)) for start in range(1, WORKERS + 1)]
        # Time for all but the last to learn of each other, as when one comes minutes later.
        began, results = in_two(exchange, [(folder, ports, share, nodes) for share in shares], settle=2.0 + nodes / 20)
        genesis = {(folder / f"node{ordinal}/genesis.json").read_bytes() for ordinal in range(1, nodes + 1)}
        assert len(genesis) == 1
    seconds = max(result[0] for result in results) - began
    requests = sum(result[2] for result in results)
    since_last = sum(result[3] for result in results)
    began, ends = in_two(round_trips, [(since_last // WORKERS + 1,)] * WORKERS, settle=0.2)
    reference = max(ends) - began
    return Measured(
        nodes=nodes,
        seconds=round(seconds, 3),
        cpu_seconds=round(sum(result[1] for result in results), 3),
        requests=requests,
        per_node=round(requests / nodes, 1),
        per_node_and_log2=round(requests / nodes / math.log2(nodes), 2),
        reference_seconds=round(reference, 3),
        ratio=round(seconds / reference, 2),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="5,25,100")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for nodes in map(int, options.nodes.split(",")):
        rounds = sorted((measure(nodes) for _ in range(options.rounds)), key=lambda each: each.seconds)
        median = rounds[len(rounds) // 2]
        rows.append(median)
        if not options.json:
            aim = f", aim < {AIM[nodes]:g} s" if nodes in AIM else ""
            print(
                f"{nodes:4} nodes: {median.seconds:6.3f} s from the last start to the last lock{aim} "
                f"(best {rounds[0].seconds:.3f}, worst {rounds[-1].seconds:.3f}; {median.cpu_seconds:.2f} s of CPU); "
                f"{median.requests} requests in all, {median.per_node} a node, "
                f"{median.per_node_and_log2} x log2(N); {median.ratio} x as long as bare round trips "
                f"({median.reference_seconds:.3f} s)",
                flush=True,
            )
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    spread = [row.per_node_and_log2 for row in rows]
    if len(spread) > 1 and max(spread) > 3 * statistics.median(spread):
        raise SystemExit("requests do not grow as N·log N")


if __name__ == "__main__":
    main()
