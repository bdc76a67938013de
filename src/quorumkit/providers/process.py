"""Nodes as plain processes of this machine: one detached node program carries them all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from quorumkit.addresses import Endpoint
from quorumkit.consensus import consensus_of
from quorumkit.contracts import console_script
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import Binary, acquirer_of, recipe_of
from quorumkit.errors import NodeError, NotRunningError, PortError, RpcError
from quorumkit.files import private_directory, write_atomic
from quorumkit.managers import manager_of
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints, node_name
from quorumkit.progress import Progress
from quorumkit.providers.base import Command, complete_list, stopped_status
from quorumkit.providers.copying import copy_local
from quorumkit.providers.ports import LOOPBACK, choose_each, held_ports, port_is_free
from quorumkit.providers.program import NodeProgram
from quorumkit.providers.register import open_register
from quorumkit.rpc import IpcRpc, Rpc
from quorumkit.spec import SPEC_NAME, NetworkSpec


class ProcessRuntime:
    """See `Provider`."""

    def __init__(
        self, directory: NetworkDirectory, spec: NetworkSpec,
        *, binary: Path | None = None, tm_binary: Path | None = None,
    ) -> None:  # fmt: skip
        self._directory = directory
        self._spec = spec
        self._recipe = recipe_of(spec.engine.kind)
        self._override = binary or directory.engine_override(spec)
        self._tm_override = tm_binary or directory.manager_override(spec)
        nodes = [directory.node(node_name(ordinal)) for ordinal in range(1, spec.nodes.total + 1)]
        self._program = NodeProgram(directory.state, nodes, network=directory.path, former=directory.former_nodes(spec))

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        runs = self._any_program()
        # What clients hold that outlived their node program is free again once `start` has ended them.
        running = _listening(present) if runs or self._any_orphan() else frozenset()
        if spec.ports.health and not runs and not port_is_free(spec.ports.health):
            raise PortError(
                f"ports.health: port {spec.ports.health} is taken",
                hint=f"stop what holds it, or change ports.health in {SPEC_NAME} or remove it there",
            )
        started = self._recipe.has_chain(self._directory.node(node_name(1)))
        further = recipe_of(spec.engine.kind).ports(spec.consensus.kind)
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

            none = [None] * total
            rpc = choose("rpc", lambda node: node.rpc_bind.port)
            p2p = choose("p2p", lambda node: node.p2p_bind.port)
            named = {name: choose(name, partial(_named_port, name)) for name in further}
            managed = spec.transaction_manager is not None
            tm = choose("tm", lambda node: node.tm.port if node.tm else None) if managed else none
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

    def _any_program(self) -> bool:
        return self._program.process() is not None

    def _any_orphan(self) -> bool:
        return bool(self._program.orphans())

    def render(self, network: Network) -> None:
        """Processes need no files beyond their nodes'."""

    def acquire(self, progress: Progress) -> None:
        wanted = self._spec.engine
        acquirer_of(wanted.kind).acquire(wanted.version, override=self._override, image=wanted.image, progress=progress)
        if self._spec.transaction_manager is not None:
            manager = manager_of(self._spec.transaction_manager.kind)
            manager.find(override=self._tm_override)
            for ordinal in range(1, self._spec.nodes.total + 1):
                manager.check_place(self._directory.node(node_name(ordinal)))

    async def start(self, network: Network, progress: Progress) -> bool:
        names = [node.name for node in network.nodes]
        with self._program.starting_or_stopping():
            return await self._start(names, progress)

    async def _start(self, names: list[str], progress: Progress) -> bool:
        if self._program.process():
            async with await self._program.connect(patient=True) as control:
                carried = {status["name"] for status in await control.call("node_status")}
                if not carried <= set(names):
                    raise NodeError(
                        f"{self._directory.path}: it runs with {len(carried)} nodes, and the spec has {len(names)}",
                        hint="`quorumkit down`, then `quorumkit up`",
                    )
                if new := [name for name in names if name not in carried]:
                    # Those that run let the new ones in before these knock.
                    await control.call("node_reload", sorted(carried))
                    directories = [str(self._directory.node(name).absolute()) for name in new]
                    await control.call("node_carry", directories)
                await control.call("node_start", names)
            return False
        await asyncio.to_thread(self._program.end_orphans)
        progress("starting the node program")
        spawning = asyncio.create_task(asyncio.to_thread(self._program.spawn, self._arguments()))
        try:
            await asyncio.shield(spawning)
        except asyncio.CancelledError:  # Ctrl-C; the thread goes on
            with contextlib.suppress(NodeError):
                await spawning
            progress("interrupted: stopping what was started")
            await self._stop(progress)
            raise
        return True

    async def stop(self, progress: Progress) -> bool:
        with self._program.starting_or_stopping():
            return await self._stop(progress)

    async def _stop(self, progress: Progress) -> bool:
        total = self._spec.nodes.total

        def told(nodes: list[dict[str, Any]]) -> None:
            progress("stopping", sum(node["state"] == "stopped" for node in nodes), total)

        return await self._program.end(told)

    async def discard(self, progress: Progress) -> None:
        """Everything is in the network directory."""

    async def is_running(self) -> bool:
        return self._program.process() is not None

    async def look(self) -> list[NodeStatus]:
        if self._program.process():
            with contextlib.suppress(RpcError):
                return complete_list(self._spec, await self._program.call("node_status"))
        return complete_list(self._spec, [])

    async def status(self, network: Network) -> list[NodeStatus]:
        if self._program.process():
            with contextlib.suppress(RpcError):
                async with await self._program.connect() as control:
                    return _statuses(network, await control.call("node_status"))
        return _statuses(network, [])

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        control = await self._program.connect()
        async with control, contextlib.aclosing(control.subscribe(namespace="status")) as changes:
            try:
                async for nodes in changes:
                    yield _statuses(network, nodes)
            except RpcError:
                raise NotRunningError(
                    f"{self._directory.path}: the node program ended", hint=f"see {self._program.log_path}"
                ) from None

    async def connect(self, node: Node) -> Rpc:
        return await IpcRpc.connect(self._directory.node(node.name).absolute() / self._recipe.ipc, where=node.name)

    async def call(self, name: str, method: str, *params: Any) -> Any:
        return await self._program.call(method, *params)

    async def copy(self, name: str, path: str, to: Path) -> None:
        await asyncio.to_thread(copy_local, self._directory.node(name), path, to)

    async def start_nodes(self, names: Sequence[str]) -> None:
        await self._program.call("node_start", list(names))

    async def stop_nodes(self, names: Sequence[str]) -> None:
        await self._program.call("node_stop", list(names))

    async def restart_nodes(self, names: Sequence[str]) -> None:
        await self._program.call("node_restart", list(names))

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        files = [self._directory.logs / f"{name}.log" for name in names]
        return self._tail(names, files, follow=follow, lines=lines)

    def _tail(self, names: Sequence[str], files: Sequence[Path], *, follow: bool, lines: int) -> Command:
        missing = [name for name, file in zip(names, files, strict=True) if not file.exists()]
        if missing:
            raise NotRunningError(f"no log of {', '.join(missing)} yet", hint="start the network: quorumkit up")
        # -F goes on with the new file when the log is rotated.
        arguments = ["tail", f"--lines={lines}", *(["-F"] if follow else [])]
        return Command([*arguments, *(str(file.absolute()) for file in files)], self._directory.path)

    def console(self, node: Node, *, execute: str | None) -> Command:
        binary = self._binary()
        script = private_directory(self._directory.state).absolute() / "console.js"
        write_atomic(script, console_script().encode(), durable=False)
        return Command(
            self._recipe.console_command(binary.path, script=str(script), execute=execute),
            self._directory.node(node.name),
            failure=None if execute is None else self._recipe.console_failure,
        )

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        directory = self._directory.node(node.name).absolute()
        environment = {
            "QUORUMKIT_NODE": node.name,
            "QUORUMKIT_ENODE": str(node.enode),
            "QUORUMKIT_ACCOUNT": node.identity.account,
            "QUORUMKIT_RPC_URL": node.endpoints.rpc_url,
            "QUORUMKIT_IPC": str(directory / self._recipe.ipc),
        }
        return Command(list(arguments), directory, environment)

    def _arguments(self) -> list[str]:
        """How the node program is run here."""
        arguments = ["--logs", str(self._directory.logs.absolute())]
        arguments += ["--health", f"{LOOPBACK}:{self._spec.ports.health or 0}"]
        if self._override:
            arguments += ["--engine-binary", str(self._override.absolute())]
        if self._tm_override:
            arguments += ["--tm-binary", str(self._tm_override.absolute())]
        return arguments

    def _binary(self) -> Binary:
        wanted = self._spec.engine
        binary = acquirer_of(wanted.kind).find(wanted.version, override=self._override, image=wanted.image)
        if binary is None:
            raise NotRunningError(
                f"{self._recipe.kind} {self._spec.engine.version} is not built yet", hint="`quorumkit up` does it"
            )
        return binary


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


def _statuses(network: Network, told: Sequence[dict[str, Any]]) -> list[NodeStatus]:
    """What the node program told, completed by what the network says of nodes it does not carry."""
    by_name = {status["name"]: NodeStatus.from_json(status) for status in told}
    return [by_name.get(node.name) or stopped_status(network, node) for node in network.nodes]
