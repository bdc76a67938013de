"""Where containers are started that make their own identities, each on a volume of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from ruamel.yaml.error import YAMLError

from quorumkit.directory import NetworkDirectory
from quorumkit.files import write_if_changed
from quorumkit.mark import ensure_mark, read_mark
from quorumkit.node.status import NodeStatus
from quorumkit.plan import NodeEndpoints, node_names
from quorumkit.progress import Progress
from quorumkit.providers.base import ExchangeWords
from quorumkit.providers.compose_project import Container, Project
from quorumkit.providers.disks import Disks, check_none_begins_anew
from quorumkit.providers.join_secret import ensure_join_secret
from quorumkit.providers.ownership import container_user
from quorumkit.providers.ports import LOOPBACK
from quorumkit.providers.projects import sole_user_of
from quorumkit.providers.timing import CONTAINERS_POLL
from quorumkit.providers.volumes import Volumes, find_volumes, rendered_plain
from quorumkit.render.compose import render_exchanged_compose
from quorumkit.render.containers import container_endpoints
from quorumkit.spec import NetworkSpec

Addresses = Callable[[NetworkSpec, list[NodeEndpoints | None]], list[NodeEndpoints]]


class ProjectVolumes:
    """The volumes of one project."""

    def __init__(self, project: Project, directory: NetworkDirectory, spec: NetworkSpec, *, image: str) -> None:
        self._project = project
        self._directory = directory
        self._names = node_names(spec)
        self._image = image

    def find(self, containers: Mapping[str, Container]) -> Volumes:
        """Those that are the network's own. `containers` are its containers, by service."""
        mark = read_mark(self._directory.path)
        return find_volumes(self._directory, self._project.name, mark, self._names, containers, image=self._image)

    def lost(self, volumes: Volumes) -> list[str]:
        """The nodes that lost their volumes.

        Raises:
            NodeError: all did.
        """
        return check_none_begins_anew(
            self._directory, self._names, volumes.by_node, what="volumes", strange=volumes.strange
        )


class ComposeHost:
    """See `ExchangeHost`."""

    words = ExchangeWords(unit="container", see="quorumkit logs NODE")
    look_every = CONTAINERS_POLL

    def __init__(
        self, directory: NetworkDirectory, spec: NetworkSpec, project: Project, disks: ProjectVolumes,
        *, image: str, addresses: Addresses,
        look: Callable[[], Awaitable[list[NodeStatus]]], stop: Callable[[Progress], Awaitable[bool]],
    ) -> None:  # fmt: skip
        self._directory = directory
        self._spec = spec
        self._project = project
        self._disks = disks
        self._image = image
        self._addresses = addresses
        self._look = look
        self._stop = stop
        self.was_running = True
        """Whether there were containers when disks were looked for."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        return sole_user_of(self._spec.name)

    async def find_disks(self) -> Disks:
        containers = await asyncio.to_thread(self._project.containers)
        self.was_running = bool(containers)
        volumes = await asyncio.to_thread(self._disks.find, containers)
        return Disks(self._disks.lost(volumes), running=self.was_running, plain=frozenset(volumes.plain))

    def check_beforehand(self) -> None:
        """All that `docker compose up` needs can be written."""

    def write(self, disks: Disks | None) -> None:
        """Writes the Compose project and the join secret."""
        secret = ensure_join_secret(self._directory.path)
        uid, gid = container_user(secret)
        if os.geteuid() == 0:
            os.chown(secret, uid, gid)
        project = render_exchanged_compose(
            self._spec, node_names(self._spec), self._addresses(self._spec, []),
            image=self._image, user=f"{uid}:{gid}", secret=secret.name, mark=ensure_mark(self._directory.path),
            plain=disks.plain if disks else rendered_plain(self._directory.compose),
        )  # fmt: skip
        for name, content in project.items():
            write_if_changed(self._directory.path / name, content)

    async def start_exchange(self, progress: Progress) -> None:
        progress("starting containers", 0, self._spec.nodes.total)
        await self._project.run("up", "--detach", "--no-build", "--remove-orphans")

    async def reported(self) -> list[NodeStatus]:
        return await self._look()

    async def check_alive(self, statuses: Sequence[NodeStatus]) -> None:
        """Compose starts them again."""

    async def why_none(self) -> str:
        return ""

    async def agreed_endpoints(self) -> list[NodeEndpoints]:
        return named_endpoints(self._spec, published_ports(self._project, node_names(self._spec)))

    async def adopt(self) -> None:
        """Volumes have their marks from when they are made."""

    async def undo(self, progress: Progress) -> None:
        await self._stop(progress)


def named_endpoints(spec: NetworkSpec, ports: Sequence[int]) -> list[NodeEndpoints]:
    """Every node's endpoints, by ordinal, of nodes that reach each other by their names; `ports` are where JSON-RPC is
    published on this machine."""
    return [
        container_endpoints(spec, name, rpc_url=f"http://{LOOPBACK}:{port}", rpc_names=("localhost", name))
        for name, port in zip(node_names(spec), ports, strict=True)
    ]


def published_ports(project: Project, names: Sequence[str]) -> list[int]:
    """Every node's port on this machine, as the project has it; empty where it cannot be told."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, YAMLError):
        content = project.read()
        return [int(content["services"][name]["ports"][0].split(":")[1]) for name in names]
    return []
