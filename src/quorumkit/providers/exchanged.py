"""Nodes as plain processes that share nothing: each its own node program over its own directory, which makes its own
keys and agrees with the others over HTTP. The network directory only holds what a person wrote, and the join secret."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Any

from quorumkit.directory import NetworkDirectory
from quorumkit.directory_lock import locked
from quorumkit.errors import NodeError, NotRunningError, QuorumkitError, RpcError, UsageError, WaitTimeoutError
from quorumkit.files import SECRET_MODE, private_directory, read_json, to_json, write_atomic
from quorumkit.mark import ensure_mark
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints, node_name
from quorumkit.progress import Progress
from quorumkit.providers.base import Command, complete_list, stopped_status
from quorumkit.providers.forming import check_spec
from quorumkit.providers.ports import LOOPBACK, choose_block
from quorumkit.providers.process import ProcessRuntime
from quorumkit.providers.program import NodeProgram
from quorumkit.providers.register import open_register
from quorumkit.record import RECORD_NAME, read_record
from quorumkit.spec import NetworkSpec
from quorumkit.spec_file import ensure_spec

JOIN_SECRET = "join-secret"  # noqa: S105 - a file's name
_POLL = 0.1


class ExchangedRuntime(ProcessRuntime):
    """See `Provider`."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None) -> None:
        super().__init__(directory, spec, binary=binary)
        self._names = [node_name(ordinal) for ordinal in range(1, spec.nodes.total + 1)]
        self._programs = {
            name: NodeProgram(directory.node(name) / ".state", [directory.node(name)], network=directory.path)
            for name in self._names
        }
        self._former = {
            node.name: NodeProgram(node / ".state", [node], network=directory.path)
            for node in directory.former_nodes(spec)
        }
        self._started = False

    def prepare(self) -> list[NodeEndpoints]:
        raise UsageError(
            "with exchanged identities there is nothing to make beforehand: each node makes its own",
            hint=f"quorumkit up --exchange {self._directory.path}",
        )

    async def form(self, progress: Progress, timeout: float) -> Network:
        """Starts every node's program that does not run, and returns the network once all have agreed on it.

        Raises:
            NodeError: a node program does not start.
            WaitTimeoutError: they did not agree in time; the message says who waits for whom.
        """
        with locked(self._directory):
            check_spec(self._directory, self._spec)
            ensure_spec(self._directory, self._spec)
            ensure_mark(self._directory.path)
            secret = self._directory.path / JOIN_SECRET
            if not secret.exists():
                write_atomic(secret, secrets.token_urlsafe(32).encode(), mode=SECRET_MODE)
            private_directory(self._directory.nodes)
            endpoints = self.addresses(self._spec, [self._endpoints_on_disk(name) for name in self._names])
            exchange = self._exchange_ports()
        try:
            await self._start_programs(endpoints, exchange, progress)
            async with asyncio.timeout(timeout):
                while waiting := [name for name in self._names if not self._has_agreed(name)]:
                    progress("exchanging identities", len(self._names) - len(waiting), len(self._names))
                    await self._check_alive(waiting)
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            told = [f"{status['name']} {status['error']}" for status in await self._told(waiting)]
            raise WaitTimeoutError(
                f"not agreed after {timeout:g} s: {'; '.join(told)}",
                hint="they go on trying: see `quorumkit logs NODE`; `quorumkit down` stops them",
            ) from None
        except asyncio.CancelledError:  # Ctrl-C
            if self._started:
                progress("interrupted: stopping what was started")
                await self.stop(progress)
            raise
        return self._directory.load()

    async def start(self, network: Network, progress: Progress) -> bool:
        """`form` has started them; a node that was stopped by itself is started here."""
        await asyncio.gather(*(self._programs[name].call("node_start", [name]) for name in self._names))
        return self._started

    async def stop(self, progress: Progress) -> bool:
        stopped: set[str] = set()

        async def end(name: str, program: NodeProgram) -> bool:
            with program.starting_or_stopping():
                ran = await program.end(lambda nodes: None)
            stopped.add(name)
            progress("stopping", len(stopped), len(self._names))
            return ran

        programs = self._programs | self._former
        present = [(name, program) for name, program in programs.items() if program.state.exists()]
        return any(await asyncio.gather(*(end(name, program) for name, program in present)))

    async def is_running(self) -> bool:
        return self._any_program()

    async def status(self, network: Network) -> list[NodeStatus]:
        return _statuses(network, await self._told(self._names))

    async def look(self) -> list[NodeStatus]:
        return complete_list(self._spec, await self._told(self._names))

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        news: asyncio.Queue[tuple[str, dict[str, Any] | None]] = asyncio.Queue()

        async def follow(name: str) -> None:
            with contextlib.suppress(QuorumkitError):
                async with (
                    await self._programs[name].connect(patient=True) as control,
                    contextlib.aclosing(control.subscribe(namespace="status")) as changes,
                ):
                    async for nodes in changes:
                        news.put_nowait((name, nodes[0]))
            news.put_nowait((name, None))

        following = [asyncio.create_task(follow(name)) for name in self._names]
        told: dict[str, dict[str, Any]] = {}
        ended: set[str] = set()
        try:
            while len(ended) < len(following):
                name, status = await news.get()
                if status is None:
                    ended.add(name)
                    told.pop(name, None)
                else:
                    told[name] = status
                if len(told) + len(ended) == len(following):
                    yield _statuses(network, told.values())
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
        raise NotRunningError(f"{self._directory.path}: the node programs ended", hint="see `quorumkit logs NODE`")

    async def start_nodes(self, names: Sequence[str]) -> None:
        await self._each(names, "node_start")

    async def stop_nodes(self, names: Sequence[str]) -> None:
        await self._each(names, "node_stop")

    async def restart_nodes(self, names: Sequence[str]) -> None:
        await self._each(names, "node_restart")

    async def learn(self) -> Network | None:
        return self._directory.load() if all(map(self._has_agreed, self._names)) else None

    async def call(self, name: str, method: str, *params: Any) -> Any:
        return await self._programs[name].call(method, *params)

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        files = [self._logs_of(name) / f"{name}.log" for name in names]
        return self._tail(names, files, follow=follow, lines=lines)

    def _logs_of(self, name: str) -> Path:
        return self._programs[name].state / "logs"

    async def _each(self, names: Sequence[str], method: str) -> None:
        await asyncio.gather(*(self._programs[name].call(method, [name]) for name in names))

    async def _told(self, names: Iterable[str]) -> list[dict[str, Any]]:
        async def ask(name: str) -> list[dict[str, Any]]:
            with contextlib.suppress(RpcError, NotRunningError):
                answer: list[dict[str, Any]] = await self._programs[name].call("node_status")
                return answer
            return []

        answers = await asyncio.gather(*(ask(name) for name in names))
        return [status for answer in answers for status in answer]

    async def _start_programs(self, endpoints: list[NodeEndpoints], exchange: list[int], progress: Progress) -> None:
        peers = ",".join(f"{LOOPBACK}:{port}" for port in exchange)
        started = 0

        async def start(ordinal: int, name: str) -> None:
            nonlocal started
            program, own = self._programs[name], endpoints[ordinal - 1]
            private_directory(self._directory.node(name))
            with program.starting_or_stopping():
                if not program.process():
                    self._started = True
                    await asyncio.to_thread(program.end_orphans)
                    await asyncio.to_thread(
                        program.spawn, self._arguments_of(name, ordinal, own, exchange[ordinal - 1], peers)
                    )
            started += 1
            progress("starting node programs", started, len(self._names))

        await asyncio.gather(*(start(ordinal, name) for ordinal, name in enumerate(self._names, start=1)))

    def _arguments_of(self, name: str, ordinal: int, own: NodeEndpoints, exchange: int, peers: str) -> list[str]:
        arguments = [
            *("--logs", str(self._logs_of(name).absolute()), "--health", f"{LOOPBACK}:0", "--exchange"),
            *("--spec", str(self._directory.spec.absolute()), "--ordinal", str(ordinal), "--peers", peers),
            *("--join-secret-file", str((self._directory.path / JOIN_SECRET).absolute())),
            *("--exchange-bind", f"{LOOPBACK}:{exchange}", "--p2p-bind", str(own.p2p_bind)),
            *("--rpc-bind", str(own.rpc_bind)),
            *(word for name, port in own.ports.items() for word in (f"--{name}-port", str(port))),
            *(["--tm-bind", str(own.tm_bind)] if own.tm_bind else []),
        ]
        return [*arguments, "--engine-binary", str(self._override.absolute())] if self._override else arguments

    def _exchange_ports(self) -> list[int]:
        """One for each node, kept where they can be: an address that stays is found without looking."""
        path = self._directory.state / "exchange-ports.json"
        keep = None
        with contextlib.suppress(FileNotFoundError, QuorumkitError, KeyError, TypeError, ValueError):
            keep = int(read_json(path, what="list of ports")["first"])
        running = frozenset(range(keep, keep + len(self._names))) if keep and self._any_program() else frozenset[int]()
        with open_register(self._directory.path) as register:
            asked = self._spec.ports.exchange
            first = choose_block(register, "exchange", asked, len(self._names), keep=keep, running=running)
        write_atomic(path, to_json({"first": first}), durable=False)
        return list(range(first, first + len(self._names)))

    def _any_program(self) -> bool:
        return any(program.process() for program in (self._programs | self._former).values())

    def _any_orphan(self) -> bool:
        return any(program.orphans() for program in (self._programs | self._former).values())

    def _endpoints_on_disk(self, name: str) -> NodeEndpoints | None:
        directory = self._directory.node(name)
        return read_record(directory).endpoints if (directory / RECORD_NAME).exists() else None

    def _has_agreed(self, name: str) -> bool:
        return (self._directory.node(name) / RECORD_NAME).exists()

    async def _check_alive(self, names: Sequence[str]) -> None:
        """Raises:
        NodeError: the program of one of them ended.
        """
        for name in names:
            program = self._programs[name]
            if program.process() is None:
                said = program.log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                reason = next((line for line in reversed(said) if line.startswith("error: ")), "see its log")
                raise NodeError(
                    f"{name}: its node program ended: {reason.removeprefix('error: ')}", hint=f"see {program.log_path}"
                )


def _statuses(network: Network, told: Iterable[dict[str, Any]]) -> list[NodeStatus]:
    by_name = {status["name"]: NodeStatus.from_json(status) for status in told}

    def status_of(node: Node) -> NodeStatus:
        return by_name.get(node.name) or stopped_status(network, node)

    return [status_of(node) for node in network.nodes]
