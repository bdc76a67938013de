"""Nodes as plain processes of this machine, carried by detached node programs: by one that carries them all, or each
node by its own (local_one.py, local_each.py)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from quorumkit.addresses import Endpoint
from quorumkit.consensus import consensus_of
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import acquirer_of
from quorumkit.errors import NotRunningError, PortError
from quorumkit.managers import manager_of
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints, node_name
from quorumkit.progress import Progress
from quorumkit.providers.copying import copy_local
from quorumkit.providers.local_commands import LocalCommands
from quorumkit.providers.local_programs import Programs
from quorumkit.providers.ports import LOOPBACK, choose_each, held_ports, port_is_free
from quorumkit.providers.program import NodeProgram
from quorumkit.providers.register import open_register
from quorumkit.providers.statuses import by_name, of_network, of_spec
from quorumkit.providers.watching import Board, follow, follow_program
from quorumkit.rpc import IpcRpc, Rpc
from quorumkit.spec import SPEC_NAME, NetworkSpec


class LocalProvider(LocalCommands):
    """The part of a `Provider` that is the same however many node programs there are."""

    def __init__(
        self, directory: NetworkDirectory, spec: NetworkSpec,
        programs: Programs, *, binary: Path | None = None, tm_binary: Path | None = None,
    ) -> None:  # fmt: skip
        super().__init__(directory, spec, programs, binary=binary)
        self._tm_override = tm_binary or directory.manager_override(spec)

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        runs = self._programs.any_runs()
        # What clients hold that outlived their node program is free again once `start` has ended them.
        running = _listening(present) if runs or self._programs.any_orphan() else frozenset()
        if spec.ports.health and not runs and not port_is_free(spec.ports.health):
            raise PortError(
                f"ports.health: port {spec.ports.health} is taken",
                hint=f"stop what holds it, or change ports.health in {SPEC_NAME} or remove it there",
            )
        started = self._recipe.has_chain(self._directory.node(node_name(1)))
        further = self._recipe.ports(spec.consensus.kind)
        kept = {"p2p", *further} if started and consensus_of(spec.consensus.kind).keeps_addresses else set()
        total = spec.nodes.total

        with open_register(self._directory.path) as register:

            def choose(kind: str, port_of: Callable[[NodeEndpoints], int | None]) -> list[int]:
                return choose_each(
                    register,
                    kind,
                    getattr(spec.ports, kind, None),
                    total,
                    held=held_ports(present, port_of),
                    running=running,
                    fixed=runs or kind in kept,
                )

            rpc = choose("rpc", lambda node: node.rpc_bind.port)
            p2p = choose("p2p", lambda node: node.p2p_bind.port)
            named = {name: choose(name, partial(_named_port, name)) for name in further}
            managed = spec.transaction_manager is not None
            tm = choose("tm", lambda node: node.tm.port if node.tm else None) if managed else [None] * total
        return [
            NodeEndpoints(
                p2p=Endpoint(LOOPBACK, p2p[place]),
                p2p_bind=Endpoint(LOOPBACK, p2p[place]),
                rpc_bind=Endpoint(LOOPBACK, rpc[place]),
                rpc_url=f"http://{LOOPBACK}:{rpc[place]}",
                ports={name: ports[place] for name, ports in named.items()},
                tm=_on_loopback(tm[place]),
                tm_bind=_on_loopback(tm[place]),
            )
            for place in range(total)
        ]

    def render(self, network: Network) -> None:
        """Processes need no files beyond their nodes'."""

    def acquire(self, progress: Progress) -> None:
        wanted = self._spec.engine
        acquirer = acquirer_of(wanted.kind, self._spec.consensus.kind)
        acquirer.acquire(wanted.version, override=self._override, image=wanted.image, progress=progress)
        if self._spec.transaction_manager is not None:
            manager = manager_of(self._spec.transaction_manager.kind)
            manager.find(override=self._tm_override)
            for name in self._programs:
                manager.check_place(self._directory.node(name))

    async def stop(self, progress: Progress) -> bool:
        return await self._programs.end([*self._programs.distinct, *self._programs.former], progress)

    async def discard(self, progress: Progress) -> None:
        """Everything is in the network directory."""

    async def is_running(self) -> bool:
        return self._programs.any_runs()

    async def look(self) -> list[NodeStatus]:
        return of_spec(self._spec, await self._programs.statuses())

    async def status(self, network: Network) -> list[NodeStatus]:
        return of_network(network, await self._programs.statuses())

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        if not self._programs.any_runs():
            raise NotRunningError(
                f"{self._directory.path}: not running", hint=f"start it: quorumkit up {self._directory.path}"
            )
        board = Board(self._programs)

        async def follower(program: NodeProgram) -> None:
            own = set(self._programs.carried_by(program))

            def report(nodes: list[dict[str, Any]]) -> None:
                reported = by_name(nodes)
                board.put(*reported.values())
                board.end(own - set(reported))  # what the spec has since, and the program does not carry yet

            await follow_program(partial(program.connect, patient=True), report)
            board.end(own)

        followers = [partial(follower, program) for program in self._programs.distinct]
        async with contextlib.aclosing(follow(board, followers)) as changes:
            async for changed in changes:
                yield of_network(network, changed.statuses)
        if len(self._programs.distinct) == 1:
            log = self._programs.distinct[0].log_path
            raise NotRunningError(f"{self._directory.path}: the node program ended", hint=f"see {log}")
        raise NotRunningError(f"{self._directory.path}: the node programs ended", hint="see `quorumkit logs NODE`")

    async def connect(self, node: Node) -> Rpc:
        return await IpcRpc.connect(self._directory.node(node.name).absolute() / self._recipe.ipc, where=node.name)

    async def call(self, name: str, method: str, *params: Any) -> Any:
        return await self._programs[name].call(method, *params)

    async def copy(self, name: str, path: str, to: Path) -> None:
        await asyncio.to_thread(copy_local, self._directory.node(name), path, to)

    async def start_nodes(self, names: Sequence[str]) -> None:
        await self._programs.call_each("node_start", names)

    async def stop_nodes(self, names: Sequence[str]) -> None:
        await self._programs.call_each("node_stop", names)

    async def restart_nodes(self, names: Sequence[str]) -> None:
        await self._programs.call_each("node_restart", names)


def _on_loopback(port: int | None) -> Endpoint | None:
    return Endpoint(LOOPBACK, port) if port else None


def _named_port(name: str, endpoints: NodeEndpoints) -> int | None:
    return endpoints.ports.get(name)


def _listening(present: Sequence[NodeEndpoints | None]) -> frozenset[int]:
    return frozenset(
        port
        for node in present
        if node
        for port in (
            node.rpc_bind.port,
            node.p2p_bind.port,
            *node.ports.values(),
            node.tm_bind.port if node.tm_bind else None,
        )
        if port
    )
