"""Containers that share nothing: each makes its own keys on its own volume, and they agree over HTTP by their names."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quorumkit.container_engine import docker, run
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, RuntimeUnavailableError
from quorumkit.mark import read_mark
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, NodeEndpoints, node_names
from quorumkit.progress import Progress
from quorumkit.providers.asking import answers, asking
from quorumkit.providers.base import ExchangeHost
from quorumkit.providers.calling import call_inside
from quorumkit.providers.compose import ComposeProvider
from quorumkit.providers.compose_host import ComposeHost, ProjectVolumes, named_endpoints, published_ports
from quorumkit.providers.compose_project import Container
from quorumkit.providers.compose_status import note_container
from quorumkit.providers.copying import copy_by, reading
from quorumkit.providers.ports import LOOPBACK, choose_block
from quorumkit.providers.register import open_register
from quorumkit.providers.statuses import completed, of_spec
from quorumkit.providers.timing import CONTAINERS_POLL
from quorumkit.providers.twins import check_no_twin_needs_them
from quorumkit.providers.volumes import CONFINED, former_volumes
from quorumkit.providers.watching import poll
from quorumkit.spec import NetworkSpec


class VolumeComposeProvider(ComposeProvider):
    """See `Provider`."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None) -> None:
        super().__init__(directory, spec, binary=binary)
        self._names = node_names(spec)
        self._disks = ProjectVolumes(self._project, directory, spec, image=self._tag)
        self._host = ComposeHost(
            directory, spec, self._project, self._disks,
            image=self._tag, addresses=self.addresses, look=self.look, stop=self.stop,
        )  # fmt: skip
        self._stopped: Mapping[str, Container] = {}

    def exchange_host(self) -> ExchangeHost:
        return self._host

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        """Names, not addresses: a container that comes back with another one is found again by its name."""
        total = spec.nodes.total
        keep = next(iter(published_ports(self._project, self._names)), None)
        with open_register(self._directory.path) as register:
            holding = bool(keep) and bool(self._project.containers_if_any())
            running = frozenset(range(keep, keep + total)) if keep and holding else frozenset[int]()
            rpc = choose_block(register, "rpc", spec.ports.rpc, total, keep=keep, running=running)
        return named_endpoints(spec, [*range(rpc, rpc + total)])

    def render(self, network: Network) -> None:
        """`ComposeHost.write` does."""

    async def start(self, network: Network, progress: Progress) -> bool:
        """They have been started to agree."""
        return not self._host.was_running

    async def stop(self, progress: Progress) -> bool:
        self._stopped = await asyncio.to_thread(self._project.containers)
        return await super().stop(progress)

    async def start_nodes(self, names: Sequence[str]) -> None:
        volumes = await asyncio.to_thread(lambda: self._disks.find(self._project.containers()))
        self._disks.lost(volumes)
        await super().start_nodes(names)

    async def discard(self, progress: Progress) -> None:
        """Removes the network's own volumes, and with them the keys and the chain; those of nodes that the spec has no
        more too."""
        progress("removing volumes")
        volumes = await asyncio.to_thread(self._disks.find, self._stopped)
        mark = read_mark(self._directory.path)
        former = await asyncio.to_thread(former_volumes, self._spec.name, mark) if mark else []
        if names := [*dict.fromkeys([*volumes.by_node.values(), *former])]:
            check_no_twin_needs_them(self._directory, "volumes", names)
            await asyncio.to_thread(docker, "volume", "rm", *names)

    async def look(self) -> list[NodeStatus]:
        """Every node, by ordinal: what its program reports, or else what its container does."""
        containers = await asyncio.to_thread(self._project.containers)
        running = [name for name in self._names if name in containers and containers[name]["State"]["Running"]]
        reported = await self._ask(running)
        statuses = of_spec(self._spec, reported)
        for status in statuses:
            if status.name not in reported:
                note_container(status, containers.get(status.name))
        for status, port in zip(statuses, published_ports(self._project, self._names), strict=False):
            status.rpc_url = f"http://{LOOPBACK}:{port}"  # they know the names only by which they reach each other
        return statuses

    async def status(self, network: Network) -> list[NodeStatus]:
        return [completed(network, status) for status in await self.look()]

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        await self._project.check_up()
        async with contextlib.aclosing(poll(lambda: self.status(network), every=CONTAINERS_POLL)) as changes:
            async for statuses in changes:
                yield statuses

    async def call(self, name: str, method: str, *params: Any) -> Any:
        prefix = [*await asyncio.to_thread(self._project.command), "exec", "-T", name]
        return await call_inside(prefix, method, params, where=name, directory=self._directory.path)

    async def copy(self, name: str, path: str, to: Path) -> None:
        """Read from the node's volume, whether its container runs or not."""
        command = reading(path)
        containers = await asyncio.to_thread(self._project.containers)
        volume = (await asyncio.to_thread(self._disks.find, containers)).by_node.get(name)
        if volume is None:
            raise NodeError(
                f"{name}: it has no volume", hint=f"start the network: quorumkit up{self._directory.as_argument}"
            )
        await copy_by(
            ["docker", "run", "--rm", *CONFINED, "--volume", f"{volume}:/node:ro",
             "--entrypoint", command[0], self._tag, *command[1:]],
            to, what=f"{name}: {path}",
        )  # fmt: skip

    async def _ask(self, running: Sequence[str]) -> dict[str, NodeStatus]:
        """One of the containers asks all of them, so that it is one command however many they are."""
        for asked in running[:3]:  # the first may be about to go
            with contextlib.suppress(RuntimeUnavailableError):
                command = [*self._project.command(), "exec", "-T", asked, "sh", "-c", asking(running)]
                return answers(await asyncio.to_thread(run, command, directory=self._directory.path))
        return {}
