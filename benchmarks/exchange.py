"""How long nodes that share nothing take to agree, and how many requests that costs.

    .venv/bin/python benchmarks/exchange.py [--nodes 5,25,100] [--rounds 5]

All nodes are on one machine, in two processes; everything is as in a real node but that no client is started. The time
is from the start of the last node to the moment when the last one has its lock and its files on the disk. Keys are made
beforehand. The reference is the same number of bare aiohttp round trips, with bodies of the size of a request and an
answer, made by the same two processes at the same time: what no exchange over aiohttp could do without.
"""

from __future__ import annotations

import asyncio
import gc
import math
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from aiohttp import web

from measuring import Load, Table, options, rounds_of, spread
from quorumkit.addresses import Endpoint
from quorumkit.exchange.names import Names
from quorumkit.exchange.run import Exchange, own_identity
from quorumkit.exchange.settings import ExchangeSettings
from quorumkit.spec import parse_spec
from support.clique import on_clique
from support.ports import free_ports

WORKERS = 2


@dataclass
class Measured:
    """One round."""

    seconds: float
    cpu_seconds: float
    requests: int
    reference_seconds: float


def settings_of(folder: Path, ports: list[int], ordinal: int) -> ExchangeSettings:
    port = ports[ordinal - 1]
    return ExchangeSettings(
        spec=parse_spec(on_clique({"name": "bench", "nodes": {"validators": len(ports)}})),
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
            set_waiting=lambda text: None,
            files_changed=lambda: None,
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
        seconds=seconds,
        cpu_seconds=sum(result[1] for result in results),
        requests=requests,
        reference_seconds=reference,
    )


def main() -> None:
    parser = options(__doc__, rounds=5)
    parser.add_argument("--nodes", default="5,25,100")
    arguments = parser.parse_args()
    sizes = [5] if arguments.quick else [int(each) for each in arguments.nodes.split(",")]
    rounds = rounds_of(arguments)
    table = Table(
        "nodes", "rounds", "load", "seconds: median (min–max)", "processor time", "requests a node",
        "that by log₂N", "/ reference",
    )  # fmt: skip
    growth = []
    for nodes in sizes:
        load = Load()
        seen = [measure(nodes) for _ in range(rounds)]
        requests = median(each.requests for each in seen) / nodes
        growth.append(requests / math.log2(nodes))
        table.row(
            nodes, rounds, load, spread([each.seconds for each in seen]),
            spread([each.cpu_seconds for each in seen], " s"), f"{requests:.1f}", f"{growth[-1]:.1f}",
            spread([each.seconds / each.reference_seconds for each in seen]),
        )  # fmt: skip
    if len(growth) > 1 and max(growth) > 3 * median(growth):
        raise SystemExit("requests do not grow as N·log N")


if __name__ == "__main__":
    main()
