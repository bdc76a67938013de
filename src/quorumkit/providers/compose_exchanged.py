"""Containers that share nothing: each makes its own keys on its own volume, and they agree over HTTP by their names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from quorumkit.container_engine import compose_command, docker, run
from quorumkit.directory import NetworkDirectory
from quorumkit.directory_lock import locked
from quorumkit.errors import NodeError, RuntimeUnavailableError, WaitTimeoutError
from quorumkit.files import SECRET_MODE, write_atomic, write_if_changed
from quorumkit.mark import ensure_mark, read_mark
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, NodeEndpoints, node_name, role_of
from quorumkit.progress import Progress
from quorumkit.providers.calling import call_inside
from quorumkit.providers.compose import IMAGE_USER, ComposeRuntime
from quorumkit.providers.copying import copy_by, reading
from quorumkit.providers.forming import (
    answers,
    asking,
    check_none_begins_anew,
    check_spec,
    completed,
    raise_failed,
    raise_lost,
    write_down,
)
from quorumkit.providers.ports import LOOPBACK, choose_block
from quorumkit.providers.projects import sole_user_of
from quorumkit.providers.register import open_register
from quorumkit.providers.twins import check_no_twin_needs_them
from quorumkit.providers.volumes import Volumes, find_volumes, rendered_plain
from quorumkit.render.compose import render_exchanged_compose
from quorumkit.render.containers import container_endpoints
from quorumkit.spec import NetworkSpec
from quorumkit.spec_file import ensure_spec

JOIN_SECRET = "join-secret"  # noqa: S105 - a file's name
_POLL = 0.5


class ExchangedComposeRuntime(ComposeRuntime):
    """See `Provider`."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None) -> None:
        super().__init__(directory, spec, binary=binary)
        self._names = [node_name(ordinal) for ordinal in range(1, spec.nodes.total + 1)]
        self._stopped: dict[str, dict[str, Any]] = {}

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        """Names, not addresses: a container that comes back with another one is found again by its name."""
        total = spec.nodes.total
        keep = self._first_port()
        with open_register(self._directory.path) as register:
            running = frozenset(range(keep, keep + total)) if keep and self._containers_quietly() else frozenset[int]()
            rpc = choose_block(register, "rpc", spec.ports.rpc, total, keep=keep, running=running)
        return self._endpoints([*range(rpc, rpc + total)])

    def _endpoints(self, ports: Sequence[int]) -> list[NodeEndpoints]:
        return [
            container_endpoints(self._spec, name, rpc_url=f"http://{LOOPBACK}:{port}", rpc_names=("localhost", name))
            for name, port in zip(self._names, ports, strict=True)
        ]

    def prepare(self, volumes: Volumes | None = None) -> list[NodeEndpoints]:
        """Writes the Compose project and the join secret: all that `docker compose up` needs. Makes no keys."""
        with locked(self._directory):
            check_spec(self._directory, self._spec)
            ensure_spec(self._directory, self._spec)
            mark = ensure_mark(self._directory.path)
            plain = rendered_plain(self._directory.compose) if volumes is None else volumes.plain
            secret = self._directory.path / JOIN_SECRET
            if not secret.exists():
                write_atomic(secret, secrets.token_urlsafe(32).encode(), mode=SECRET_MODE)
            owner = secret.stat()
            uid, gid = owner.st_uid, owner.st_gid
            if os.geteuid() == 0 and uid == 0:
                uid = gid = IMAGE_USER
                os.chown(secret, uid, gid)
            endpoints = self.addresses(self._spec, [])
            project = render_exchanged_compose(
                self._spec, self._names, endpoints,
                image=self._tag, user=f"{uid}:{gid}", secret=JOIN_SECRET, mark=mark, plain=plain,
            )  # fmt: skip
            for name, content in project.items():
                write_if_changed(self._directory.path / name, content)
        return endpoints

    def render(self, network: Network) -> None:
        """`prepare` does."""

    async def form(self, progress: Progress, timeout: float) -> Network:
        check_spec(self._directory, self._spec)
        async with sole_user_of(self._spec.name):
            before = await asyncio.to_thread(self._containers)
            volumes = await asyncio.to_thread(self._volumes, before)
            gone = self._check_none_begins_anew(volumes)
            endpoints = await asyncio.to_thread(self.prepare, volumes)
            progress("starting containers", 0, len(self._names))
            try:
                await self._compose("up", "--detach", "--no-build", "--remove-orphans")
            except asyncio.CancelledError:  # Ctrl-C
                await self._interrupted(before, progress)
                raise
        raise_lost(gone)
        statuses: list[NodeStatus] = []
        total = len(self._names)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while True:
                        statuses = await self.look()
                        raise_failed(statuses)
                        agreed = sum(bool(status.account) for status in statuses)
                        progress("exchanging identities", agreed, total)
                        if agreed == total:
                            break
                        await asyncio.sleep(_POLL)
                    return await asyncio.to_thread(write_down, self._directory, self._spec, statuses, endpoints)
        except asyncio.CancelledError:  # Ctrl-C
            await self._interrupted(before, progress)
            raise
        missing = [f"{s.name} is {s.state}{f' ({s.error})' if s.error else ''}" for s in statuses if not s.account]
        raise WaitTimeoutError(
            f"not agreed after {timeout:g} s: {'; '.join(missing) or 'no container answered'}",
            hint="they go on trying: see `quorumkit logs NODE`; `quorumkit down` stops them",
        )

    async def learn(self) -> Network | None:
        statuses = await self.look()
        if not all(status.account for status in statuses):
            return None
        endpoints = self._endpoints(self._published_ports())
        return await asyncio.to_thread(write_down, self._directory, self._spec, statuses, endpoints)

    async def call(self, name: str, method: str, *params: Any) -> Any:
        prefix = [*await asyncio.to_thread(self._project), "exec", "-T", name]
        return await call_inside(prefix, method, params, where=name, directory=self._directory.path)

    async def copy(self, name: str, path: str, to: Path) -> None:
        """Read from the node's volume, whether its container runs or not."""
        command = reading(path)
        containers = await asyncio.to_thread(self._containers)
        volume = (await asyncio.to_thread(self._volumes, containers)).by_node.get(name)
        if volume is None:
            raise NodeError(f"{name}: it has no volume", hint="start the network: quorumkit up")
        # Root reads what belongs to any user there; nothing else is in its reach.
        confined = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--cap-add", "DAC_READ_SEARCH"]
        await copy_by(
            ["docker", "run", "--rm", "--pull", "never", "--user", "0", *confined, "--volume", f"{volume}:/node:ro",
             "--entrypoint", command[0], self._tag, *command[1:]],
            to, what=f"{name}: {path}",
        )  # fmt: skip

    async def _interrupted(self, before: Mapping[str, Any], progress: Progress) -> None:
        if not before:
            progress("interrupted: stopping what was started")
            await self.stop(progress)

    async def start(self, network: Network, progress: Progress) -> bool:
        """`form` has started them."""
        return False

    async def stop(self, progress: Progress) -> bool:
        self._stopped = await asyncio.to_thread(self._containers)
        return await super().stop(progress)

    async def start_nodes(self, names: Sequence[str]) -> None:
        volumes = await asyncio.to_thread(lambda: self._volumes(self._containers()))
        self._check_none_begins_anew(volumes)
        await super().start_nodes(names)

    async def discard(self, progress: Progress) -> None:
        """Removes the network's own volumes, and with them the keys and the chain."""
        progress("removing volumes")
        volumes = await asyncio.to_thread(self._volumes, self._stopped)
        if names := [*volumes.by_node.values()]:
            check_no_twin_needs_them(self._directory, "volumes", names)
            await asyncio.to_thread(docker, "volume", "rm", *names)

    def _check_none_begins_anew(self, volumes: Volumes) -> list[str]:
        return check_none_begins_anew(
            self._directory, self._names, volumes.by_node, what="volumes", strange=volumes.strange
        )

    def _volumes(self, containers: Mapping[str, Mapping[str, Any]]) -> Volumes:
        mark = read_mark(self._directory.path)
        return find_volumes(self._directory, self._spec.name, mark, self._names, containers, image=self._tag)

    async def status(self, network: Network) -> list[NodeStatus]:
        return [completed(network, status) for status in await self.look()]

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        await self._must_run()
        last: list[NodeStatus] = []
        while True:
            statuses = await self.status(network)
            if statuses != last:
                last = statuses
                yield statuses
            await asyncio.sleep(_POLL)

    def _first_port(self) -> int | None:
        """The first node's port on this machine, as the project has it."""
        return next(iter(self._published_ports()), None)

    def _published_ports(self) -> list[int]:
        """Every node's port on this machine, as the project has it; empty where it cannot be told."""
        from ruamel.yaml import YAML

        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, YAMLError):
            project = YAML(typ="safe", pure=True).load(self._directory.compose.read_text(encoding="utf-8"))
            return [int(project["services"][name]["ports"][0].split(":")[1]) for name in self._names]
        return []

    async def look(self) -> list[NodeStatus]:
        """Every node, by ordinal: what its program tells, or else what its container does."""
        containers = await asyncio.to_thread(self._containers)
        running = [name for name in self._names if name in containers and containers[name]["State"]["Running"]]
        told = await self._ask_all(running)
        statuses = [
            told.get(name) or self._told_by_container(ordinal, name, containers.get(name))
            for ordinal, name in enumerate(self._names, start=1)
        ]
        for status, port in zip(statuses, self._published_ports(), strict=False):
            status.rpc_url = f"http://{LOOPBACK}:{port}"  # they know the names only by which they reach each other
        return statuses

    async def _ask_all(self, running: Sequence[str]) -> dict[str, NodeStatus]:
        """One of the containers asks all of them, so that it is one command however many they are."""
        for asked in running[:3]:  # the first may be about to go
            with contextlib.suppress(RuntimeUnavailableError):
                command = [*compose_command(), "exec", "-T", asked, "sh", "-c", asking(running)]
                return answers(await asyncio.to_thread(run, command, directory=self._directory.path))
        return {}

    def _told_by_container(self, ordinal: int, name: str, container: dict[str, Any] | None) -> NodeStatus:
        status = NodeStatus(name, ordinal, role_of(ordinal, self._spec))
        self._note_container(status, container)
        return status
