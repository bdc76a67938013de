"""Containers with their nodes' directories mapped into them: their identities were generated together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from quorumkit.addresses import HttpUrl
from quorumkit.consensus import consensus_of
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import PortError, RpcError, RuntimeUnavailableError, UsageError
from quorumkit.files import write_if_changed
from quorumkit.node.control import SOCKET_NAME
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints, node_name
from quorumkit.progress import Progress
from quorumkit.providers.base import ExchangeHost
from quorumkit.providers.compose import ComposeProvider
from quorumkit.providers.compose_project import is_running
from quorumkit.providers.compose_status import container_status, reported_status
from quorumkit.providers.compose_subnet import ProjectSubnet
from quorumkit.providers.copying import copy_local
from quorumkit.providers.ownership import container_user, give
from quorumkit.providers.ports import LOOPBACK, choose_each, held_ports
from quorumkit.providers.projects import sole_user_of
from quorumkit.providers.register import open_register
from quorumkit.providers.subnets import address, manager_address
from quorumkit.providers.timing import CONTAINER_STATE_EVERY, RECONNECT
from quorumkit.providers.watching import Board, follow, follow_program
from quorumkit.render.compose import render_compose
from quorumkit.render.containers import container_endpoints
from quorumkit.rpc import IpcRpc
from quorumkit.spec import SPEC_NAME, NetworkSpec

_STARTED = re.compile(r"Container (\S+) +(?:Started|Running)|(?:Creating|Recreating|Starting) (\S+) +\.\.\. .*done")
"""What both versions of Compose say of a container that runs now."""


class MappedComposeProvider(ComposeProvider):
    """See `Provider`."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None) -> None:
        super().__init__(directory, spec, binary=binary)
        self._subnet = ProjectSubnet(self._project, spec)

    def exchange_host(self) -> ExchangeHost:
        raise UsageError(
            "the identities of this network were generated together, not exchanged",
            hint="make a network of its own: quorumkit up --exchange --runtime compose ANOTHER_DIR",
        )

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        total = spec.nodes.total
        subnet = self._subnet.choose()
        held = held_ports(present, lambda node: HttpUrl.parse(node.rpc_url).place.port)
        with open_register(self._directory.path) as register:
            running = self._published(held) if held else frozenset[int]()
            rpc = choose_each(
                register, "rpc", spec.ports.rpc, total, held=held, running=running,
                # A person who asks for other ports gets them: the containers are made anew.
                fixed=bool(running) and spec.ports.rpc is None,
            )  # fmt: skip
            register.mine.subnet = subnet
        if first := present[0]:
            self._check_address(spec, first.p2p.host, address(subnet, 1, spec.containers))
        return [
            container_endpoints(
                spec,
                address(subnet, ordinal, spec.containers),
                tm_host=manager_address(subnet, ordinal) if spec.manager_apart else None,
                rpc_url=f"http://{LOOPBACK}:{rpc[ordinal - 1]}",
                rpc_names=("localhost", node_name(ordinal)),
            )
            for ordinal in range(1, total + 1)
        ]

    def _check_address(self, spec: NetworkSpec, host: str, chosen: str) -> None:
        """Nodes whose peers keep their addresses for good cannot move.

        Raises:
            PortError: they would.
        """
        started = self._recipe.has_chain(self._directory.node(node_name(1)))
        if chosen != host and started and consensus_of(spec.consensus.kind).keeps_addresses:
            raise PortError(
                f"compose.subnet: with {spec.consensus.kind} no node can move, and node1 would from {host} to {chosen}",
                hint=f"free the subnet of {host}, and set compose.subnet in {SPEC_NAME} to it",
            )

    def _published(self, held: Sequence[int]) -> frozenset[int]:
        """Which of the nodes' ports this project's own containers hold now."""
        containers = self._project.containers_if_any()
        names = {node_name(ordinal): port for ordinal, port in enumerate(held, start=1)}
        return frozenset(port for name, port in names.items() if is_running(containers.get(name)))

    def render(self, network: Network) -> None:
        """Writes the Compose project, and gives the nodes' files to a user that containers may run as."""
        uid, gid = container_user(self._directory.nodes)
        if os.geteuid() == 0 and self._directory.nodes.stat().st_uid == 0:
            for node in network.nodes:
                give(self._directory.node(node.name), uid, gid)
        files = render_compose(network, image=self._tag, user=f"{uid}:{gid}", subnet=self._subnet.choose())
        for name, content in files.items():
            write_if_changed(self._directory.path / name, content)

    async def start(self, network: Network, progress: Progress) -> bool:
        async with sole_user_of(self._spec.name):
            return await self._start(network, progress)

    async def _start(self, network: Network, progress: Progress) -> bool:
        before = await asyncio.to_thread(self._project.containers)
        if not before:
            await asyncio.to_thread(self._subnet.check)
        started: set[str] = set()
        total = self._spec.containers
        progress("starting containers", 0, total)

        def see(line: str) -> None:
            if match := _STARTED.search(line):
                started.add(match[1] or match[2])
                progress("starting containers", len(started), total)

        if new := [node for node in network.nodes if node.name not in before] if before else []:
            # Those that run let the new ones in before these knock.
            progress("making room for " + ", ".join(node.name for node in new))
            await asyncio.gather(*(self._reload(node.name) for node in network.nodes if node.name in before))
        try:
            await self._project.run("up", "--detach", "--no-build", "--remove-orphans", see=see)
        except asyncio.CancelledError:  # Ctrl-C
            if not before:
                progress("interrupted: stopping what was started")
                await self.stop(progress)
            raise
        return not before

    async def _reload(self, name: str) -> None:
        """One that does not run reads its files when it starts."""
        with contextlib.suppress(RpcError):
            await self.call(name, "node_reload", [name])

    async def discard(self, progress: Progress) -> None:
        """Everything is in the network directory."""

    async def call(self, name: str, method: str, *params: Any) -> Any:
        async with await self._connect_program(name) as control:
            return await control.call(method, *params)

    async def copy(self, name: str, path: str, to: Path) -> None:
        await asyncio.to_thread(copy_local, self._directory.node(name), path, to)

    async def look(self) -> list[NodeStatus]:
        return await self.status(self._directory.load_what_is_there())

    async def status(self, network: Network) -> list[NodeStatus]:
        reported = await asyncio.gather(*(self._ask(node) for node in network.nodes))
        if all(reported):
            return [status for status in reported if status]
        containers = await asyncio.to_thread(self._project.containers)
        return [
            status or container_status(self._directory.node(node.name), network, node, containers.get(node.name))
            for node, status in zip(network.nodes, reported, strict=True)
        ]

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        await self._project.check_up()
        board = Board(node.name for node in network.nodes)
        board.put(*await self.status(network))
        followers = [partial(self._follow, network, node, board) for node in network.nodes]
        async with contextlib.aclosing(follow(board, followers)) as changes:
            async for changed in changes:
                yield [changed.statuses[node.name] for node in network.nodes]

    async def _follow(self, network: Network, node: Node, board: Board) -> None:
        """Keeps one node's status on the board true, for ever: a container that ended may come again."""

        def report(nodes: list[dict[str, Any]]) -> None:
            board.put(reported_status(self._directory.node(node.name), node, nodes[0]))

        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await follow_program(partial(self._connect_program, node.name), report)
            await asyncio.sleep(RECONNECT)
            if loop.time() - looked >= CONTAINER_STATE_EVERY:
                looked = loop.time()
                # One that is removed between listing and looking is an error of Docker's, and gone at the next look.
                with contextlib.suppress(RuntimeUnavailableError):
                    containers = await asyncio.to_thread(self._project.containers)
                    board.put(
                        container_status(self._directory.node(node.name), network, node, containers.get(node.name))
                    )

    async def _connect_program(self, name: str) -> IpcRpc:
        """To a node's own program, over the socket in its mapped directory."""
        return await IpcRpc.connect(self._directory.node(name).absolute() / ".state" / SOCKET_NAME, where=name)

    async def _ask(self, node: Node) -> NodeStatus | None:
        """What a node's own program reports."""
        with contextlib.suppress(RpcError):
            return reported_status(
                self._directory.node(node.name), node, (await self.call(node.name, "node_status"))[0]
            )
        return None
