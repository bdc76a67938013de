"""Containers that share nothing: each makes its own keys on its own volume, and they agree over HTTP by their names."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from quorumkit.container_engine import docker, run
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, RuntimeUnavailableError
from quorumkit.files import write_if_changed
from quorumkit.mark import ensure_mark, read_mark
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, NodeEndpoints, node_name
from quorumkit.progress import Progress
from quorumkit.providers.asking import answers, asking
from quorumkit.providers.base import ExchangeHost, ExchangeWords
from quorumkit.providers.calling import call_inside
from quorumkit.providers.compose import ComposeProvider
from quorumkit.providers.compose_project import Container
from quorumkit.providers.compose_status import note_container
from quorumkit.providers.copying import copy_by, reading
from quorumkit.providers.disks import Disks, check_none_begins_anew
from quorumkit.providers.join_secret import ensure_join_secret
from quorumkit.providers.ownership import container_user
from quorumkit.providers.ports import LOOPBACK, choose_block
from quorumkit.providers.projects import sole_user_of
from quorumkit.providers.register import open_register
from quorumkit.providers.statuses import completed, of_spec
from quorumkit.providers.timing import CONTAINERS_POLL
from quorumkit.providers.twins import check_no_twin_needs_them
from quorumkit.providers.volumes import CONFINED, Volumes, find_volumes, former_volumes, rendered_plain
from quorumkit.providers.watching import poll
from quorumkit.render.compose import render_exchanged_compose
from quorumkit.render.containers import container_endpoints
from quorumkit.spec import NetworkSpec


class VolumeComposeProvider(ComposeProvider):
    """See `Provider`, and `ExchangeHost`: it is both, which makes more methods than twenty."""

    words = ExchangeWords(unit="container", see="quorumkit logs NODE")
    look_every = CONTAINERS_POLL

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None) -> None:
        super().__init__(directory, spec, binary=binary)
        self._names = [node_name(ordinal) for ordinal in range(1, spec.nodes.total + 1)]
        self._was_running = True
        self._stopped: Mapping[str, Container] = {}

    def exchange_host(self) -> ExchangeHost:
        return self

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        """Names, not addresses: a container that comes back with another one is found again by its name."""
        total = spec.nodes.total
        keep = next(iter(self._published_ports()), None)
        with open_register(self._directory.path) as register:
            holding = bool(keep) and bool(self._project.containers_if_any())
            running = frozenset(range(keep, keep + total)) if keep and holding else frozenset[int]()
            rpc = choose_block(register, "rpc", spec.ports.rpc, total, keep=keep, running=running)
        return self._endpoints([*range(rpc, rpc + total)])

    def _endpoints(self, ports: Sequence[int]) -> list[NodeEndpoints]:
        return [
            container_endpoints(self._spec, name, rpc_url=f"http://{LOOPBACK}:{port}", rpc_names=("localhost", name))
            for name, port in zip(self._names, ports, strict=True)
        ]

    def render(self, network: Network) -> None:
        """`write` does."""

    async def start(self, network: Network, progress: Progress) -> bool:
        """They have been started to agree."""
        return not self._was_running

    async def stop(self, progress: Progress) -> bool:
        self._stopped = await asyncio.to_thread(self._project.containers)
        return await super().stop(progress)

    async def start_nodes(self, names: Sequence[str]) -> None:
        volumes = await asyncio.to_thread(lambda: self._volumes(self._project.containers()))
        self._lost(volumes)
        await super().start_nodes(names)

    async def discard(self, progress: Progress) -> None:
        """Removes the network's own volumes, and with them the keys and the chain; those of nodes that the spec has no
        more too."""
        progress("removing volumes")
        volumes = await asyncio.to_thread(self._volumes, self._stopped)
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
        for status, port in zip(statuses, self._published_ports(), strict=False):
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
        volume = (await asyncio.to_thread(self._volumes, containers)).by_node.get(name)
        if volume is None:
            raise NodeError(
                f"{name}: it has no volume", hint=f"start the network: quorumkit up{self._directory.as_argument}"
            )
        await copy_by(
            ["docker", "run", "--rm", *CONFINED, "--volume", f"{volume}:/node:ro",
             "--entrypoint", command[0], self._tag, *command[1:]],
            to, what=f"{name}: {path}",
        )  # fmt: skip

    # What follows is of `ExchangeHost`.

    def alone(self) -> AbstractAsyncContextManager[None]:
        return sole_user_of(self._spec.name)

    async def find_disks(self) -> Disks:
        containers = await asyncio.to_thread(self._project.containers)
        self._was_running = bool(containers)
        volumes = await asyncio.to_thread(self._volumes, containers)
        return Disks(self._lost(volumes), running=self._was_running, plain=frozenset(volumes.plain))

    def check_beforehand(self) -> None:
        """All that `docker compose up` needs can be written."""

    def write(self, disks: Disks | None) -> None:
        """Writes the Compose project and the join secret."""
        secret = ensure_join_secret(self._directory.path)
        uid, gid = container_user(secret)
        if os.geteuid() == 0:
            os.chown(secret, uid, gid)
        project = render_exchanged_compose(
            self._spec, self._names, self.addresses(self._spec, []),
            image=self._tag, user=f"{uid}:{gid}", secret=secret.name, mark=ensure_mark(self._directory.path),
            plain=disks.plain if disks else rendered_plain(self._directory.compose),
        )  # fmt: skip
        for name, content in project.items():
            write_if_changed(self._directory.path / name, content)

    async def start_exchange(self, progress: Progress) -> None:
        progress("starting containers", 0, len(self._names))
        await self._project.run("up", "--detach", "--no-build", "--remove-orphans")

    async def reported(self) -> list[NodeStatus]:
        return await self.look()

    async def check_alive(self, statuses: Sequence[NodeStatus]) -> None:
        """Compose starts them again."""

    async def why_none(self) -> str:
        return ""

    async def agreed_endpoints(self) -> list[NodeEndpoints]:
        return self._endpoints(self._published_ports())

    async def adopt(self) -> None:
        """Volumes have their marks from when they are made."""

    async def undo(self, progress: Progress) -> None:
        await self.stop(progress)

    def _lost(self, volumes: Volumes) -> list[str]:
        """The nodes that lost their volumes.

        Raises:
            NodeError: all did.
        """
        return check_none_begins_anew(
            self._directory, self._names, volumes.by_node, what="volumes", strange=volumes.strange
        )

    def _volumes(self, containers: Mapping[str, Container]) -> Volumes:
        mark = read_mark(self._directory.path)
        return find_volumes(self._directory, self._spec.name, mark, self._names, containers, image=self._tag)

    def _published_ports(self) -> list[int]:
        """Every node's port on this machine, as the project has it; empty where it cannot be told."""
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, YAMLError):
            project = self._project.read()
            return [int(project["services"][name]["ports"][0].split(":")[1]) for name in self._names]
        return []

    async def _ask(self, running: Sequence[str]) -> dict[str, NodeStatus]:
        """One of the containers asks all of them, so that it is one command however many they are."""
        for asked in running[:3]:  # the first may be about to go
            with contextlib.suppress(RuntimeUnavailableError):
                command = [*self._project.command(), "exec", "-T", asked, "sh", "-c", asking(running)]
                return answers(await asyncio.to_thread(run, command, directory=self._directory.path))
        return {}
