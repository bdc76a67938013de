"""The node program: one process that carries one node or all the nodes of a network on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock, Timeout

from quorumkit.errors import NodeError, PortError, QuorumkitError
from quorumkit.files import private_directory
from quorumkit.node.control import SOCKET_NAME, ControlServer
from quorumkit.node.exchanging import exchange_of, keep_exchanging
from quorumkit.node.info import INFO_NAME, LOCK_NAME, write_info
from quorumkit.node.log import Sinks
from quorumkit.node.node import Node
from quorumkit.node.trouble import kept_up

if TYPE_CHECKING:
    from quorumkit.exchange.run import Exchange
    from quorumkit.exchange.settings import ExchangeSettings


@dataclass(frozen=True)
class Options:
    """How the node program is run. None of it changes what the nodes are."""

    nodes: Sequence[Path]
    """Node directories."""
    state: Path
    """Where the control socket, the lock and what runs now are kept."""
    binary: Path | None = None
    """The client to run; without it, the one in the cache."""
    tm_binary: Path | None = None
    """The transaction manager to run, where it is not Quorumkit's own; without it, the one on PATH."""
    logs: Path | None = None
    """A directory for rotated logs, a file a node; without it they go to standard output."""
    health: tuple[str, int] | None = None
    """Where to serve /healthz, /readyz, /metrics."""
    health_names: frozenset[str] = frozenset()
    """Host names that it answers under there, beside those of the nodes; `*` stands for all."""
    stopped: frozenset[str] = frozenset()
    """Nodes not to start until asked."""
    exchange: ExchangeSettings | None = None
    """For a node that shares nothing with the others: how it agrees with them before its client starts."""
    ready_descriptor: int | None = None
    """A descriptor to write a line to and close, once the control socket listens."""


def run(options: Options) -> None:
    """Runs until SIGTERM or SIGINT, or until the control socket asks for its end.

    Raises:
        QuorumkitError: it cannot start at all. That a node cannot run is said in its status instead.
    """
    if sys.version_info < (3, 12) and hasattr(os, "pidfd_open"):
        # Otherwise a thread for each client waits for its end.
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())
    asyncio.run(_run(options))


async def _run(options: Options) -> None:
    with contextlib.ExitStack() as stack:
        try:
            if options.exchange is not None:
                private_directory(options.nodes[0])
            private_directory(options.state)
            stack.enter_context(FileLock(options.state / LOCK_NAME, timeout=0, mode=0o600))
        except Timeout:
            raise NodeError(f"{options.state}: another node program runs these nodes already") from None
        await Program(options).run()


class Program:
    """Carries its nodes; see `control.Controlled` for what it can be asked."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._end = asyncio.Event()
        self._change = asyncio.Event()
        self._health_port: int | None = None
        self._logs = Sinks(options.logs)
        self._network = ""
        self._nodes: dict[str, Node] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._exchange: Exchange | None = None
        for directory in options.nodes:
            self._take(directory, alone=len(options.nodes) == 1)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)
        # Before any client runs: should this process be killed, its clients are found by it.
        self._write_info()
        for name, node in self._nodes.items():
            if name not in self._options.stopped:
                node.start()
            self._run(node)
        exchanging: list[asyncio.Task[None]] = []
        if self._exchange is not None:
            (node,) = self._nodes.values()
            keeping = keep_exchanging(self._exchange, node.troubles)
            exchanging.append(asyncio.create_task(keeping, name="exchange"))
        await asyncio.sleep(0)  # the clients start before anything else is loaded
        control = ControlServer(self, self._options.state / SOCKET_NAME)
        health = None
        ended = asyncio.create_task(self._end.wait())
        try:
            await control.listen()
            _tell_ready(self._options.ready_descriptor)
            if self._options.health:
                health = await self._serve_health(*self._options.health)
                self._write_info()
            await asyncio.wait([ended, *exchanging], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            await asyncio.gather(*(self._nodes[name].stop() for name, task in self._running.items() if not task.done()))
            tasks = [*self._running.values(), *exchanging]
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            if health is not None:
                await health.close()
            await control.close()
            self._logs.close()
            (self._options.state / INFO_NAME).unlink(missing_ok=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def status(self) -> list[dict[str, Any]]:
        return [node.status.to_json() for node in self._nodes.values()]

    def info(self) -> dict[str, Any]:
        """What a later command must know to find, or clean up after, this supervisor."""
        return {
            "pid": os.getpid(),
            "created": psutil.Process().create_time(),
            "network": self._network,
            "health_port": self._health_port,
        }

    def start_nodes(self, names: list[str]) -> None:
        for node in self._named(names):
            node.start()

    async def stop_nodes(self, names: list[str]) -> None:
        await asyncio.gather(*(node.stop() for node in self._named(names)))

    def reload_nodes(self, names: list[str]) -> None:
        """Their files were written again: what can be taken over without a restart is."""
        for node in self._named(names):
            node.reload()

    def carry_nodes(self, directories: list[str]) -> None:
        """Runs further nodes beside the others; one that is carried already is left alone."""
        carried = {node.directory for node in self._nodes.values()}
        for directory in map(Path, directories):
            if directory.absolute() not in carried:
                node = self._take(directory, alone=False)
                node.start()
                self._run(node)
        self._note_change()

    async def admit_node(self, name: str, enode: str) -> str:
        """Has a member that runs here take in the node of that enode URL; what to tell that node of it.

        Raises:
            NodeError: the member cannot do it, or not now.
            RpcError: its client cannot be asked.
        """
        return await self._named([name])[0].admit(enode)

    def admitted_node(self, name: str, admission: str) -> None:
        """The members have taken that node in."""
        self._named([name])[0].admitted(admission)

    async def replace_node(self, name: str) -> dict[str, Any]:
        """Signs for the new identity of a node that lost its keys; tells how far its replacement has come.

        Raises:
            NodeError: this node exchanges no identities, or the exchange refuses.
        """
        if self._exchange is None:
            raise NodeError(
                f"{name}: the identities of this network were generated together, not exchanged",
                hint="put the node's directory back from a backup",
            )
        return (await self._exchange.replace(name)).to_json()

    def shut_down(self) -> None:
        self._end.set()

    def next_change(self) -> asyncio.Event:
        return self._change

    def _take(self, directory: Path, *, alone: bool) -> Node:
        log = self._logs.sink(directory.absolute().name, alone=alone)
        node = Node(
            directory.absolute(), override=self._options.binary, tm_override=self._options.tm_binary, log=log,
            changed=self._note_change,
        )  # fmt: skip
        log.troubled = functools.partial(node.troubles.note, "its log")
        # What is wrong with a node is said in its status, and its next start may find it mended.
        try:
            node.load()
            self._network = node.record.network
        except (QuorumkitError, OSError):
            pass
        except Exception as error:
            node.troubles.report("its record", error)
        if self._options.exchange is not None:
            self._exchange = exchange_of(node, self._options.exchange, log)
            self._network = self._options.exchange.spec.name
        self._nodes[node.status.name] = node
        return node

    def _run(self, node: Node) -> None:
        name = node.status.name
        self._running[name] = asyncio.create_task(kept_up(node.run, "the care of the node", node.troubles), name=name)

    def _named(self, names: list[str]) -> list[Node]:
        unknown = [name for name in names if name not in self._nodes]
        if unknown:
            raise NodeError(f"no node {', '.join(unknown)} here")
        return [self._nodes[name] for name in names]

    def _note_change(self) -> None:
        """Wakes everybody who waits, and is ready for the next."""
        self._change.set()
        self._change = asyncio.Event()

    def _write_info(self) -> None:
        write_info(self._options.state, self.info())

    async def _serve_health(self, host: str, port: int) -> Any:
        from quorumkit.node.health import HealthServer

        server = HealthServer(self._network, lambda: [node.status for node in self._nodes.values()], self._host_names)
        try:
            self._health_port = await server.listen(host, port)
        except OSError as error:
            await server.close()
            raise PortError(f"health endpoint: {host}:{port}: {error.strerror or error}") from None
        return server

    def _host_names(self) -> frozenset[str]:
        """What the nodes are known under."""
        return _names(self._options).union(*(node.host_names for node in self._nodes.values()))


def _names(options: Options) -> frozenset[str]:
    """The host names that the program answers under, whatever its nodes are."""
    names = {socket.gethostname(), *options.health_names}
    if (exchange := options.exchange) is not None:
        names |= {exchange.host, *exchange.rpc_names}
    return frozenset(names)


def _tell_ready(descriptor: int | None) -> None:
    """Whoever started the program waits for this line."""
    if descriptor is not None:
        with contextlib.suppress(OSError), os.fdopen(descriptor, "w") as pipe:
            pipe.write("ready\n")
