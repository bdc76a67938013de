"""Nodes as containers of one Docker Compose project, each with its own directory mapped into it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from quorumkit.addresses import HttpUrl
from quorumkit.consensus import consensus_of
from quorumkit.container_engine import compose_command, docker, refusal, run
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import Binary, acquirer_of, recipe_of
from quorumkit.errors import NotRunningError, PortError, RpcError, RuntimeUnavailableError
from quorumkit.files import write_if_changed
from quorumkit.image.build import build_image, find_image, image_tag
from quorumkit.managers import manager_of
from quorumkit.node.control import SOCKET_NAME
from quorumkit.node.restarts import FAILED_AFTER
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints, node_name
from quorumkit.progress import Progress
from quorumkit.providers.base import Command, stopped_status
from quorumkit.providers.copying import copy_local
from quorumkit.providers.ports import LOOPBACK, choose_each, held_ports
from quorumkit.providers.projects import sole_user_of
from quorumkit.providers.register import open_register
from quorumkit.providers.subnets import Subnet, address, choose_subnet, clash, host_subnets, manager_address, room
from quorumkit.record import RECORD_NAME
from quorumkit.render.compose import render_compose, services_of
from quorumkit.render.containers import container_endpoints
from quorumkit.rpc import HttpRpc, IpcRpc, Rpc
from quorumkit.spec import SPEC_NAME, NetworkSpec

IMAGE_USER = 10001
"""Whom the nodes' files are given to where root makes them: containers never run as root."""

_PULL_PATIENCE = 1800.0  # seconds
_STATE_EVERY = 1.0  # seconds between two looks at the containers while one of them does not answer
_RECONNECT = 0.1  # seconds between two tries to reach a node program that is starting
_RUNNING = {"running", "restarting"}
_PYTHON_ERROR = re.compile(r"[A-Z]\w*(Error|Exception): ")
_STARTED = re.compile(r"Container (\S+) +(?:Started|Running)|(?:Creating|Recreating|Starting) (\S+) +\.\.\. .*done")
"""What both versions of Compose say of a container that runs now."""
_INSIDE = re.compile(r"(?<![\w./-])/node(?![\w.-])")
"""A node's directory as it is named in its container."""


class ComposeRuntime:
    """See `Provider`."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None) -> None:
        self._directory = directory
        self._spec = spec
        self._recipe = recipe_of(spec.engine.kind)
        self._override = binary or directory.engine_override(spec)
        self._chosen_subnet: str | None = None

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        total = spec.nodes.total
        subnet = self._subnet()
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
        containers = self._containers_quietly()
        names = {node_name(ordinal): port for ordinal, port in enumerate(held, start=1)}
        return frozenset(port for name, port in names.items() if _runs(containers.get(name)))

    def render(self, network: Network) -> None:
        """Writes the Compose project, and gives the nodes' files to a user that containers may run as."""
        tag = self._tag
        owner = self._directory.nodes.stat()
        uid, gid = owner.st_uid, owner.st_gid
        if os.geteuid() == 0 and uid == 0:
            uid = gid = IMAGE_USER
            for node in network.nodes:
                _give(self._directory.node(node.name), uid, gid)
        for name, content in render_compose(network, image=tag, user=f"{uid}:{gid}", subnet=self._subnet()).items():
            write_if_changed(self._directory.path / name, content)

    def acquire(self, progress: Progress) -> None:
        compose_command()
        if image := self._manager_image:
            _have_image(image, progress)
        if self._spec.compose.image:
            if find_image(self._spec.compose.image) is None:
                raise RuntimeUnavailableError(
                    f"compose.image: {self._spec.compose.image} is not here",
                    hint=f"docker pull {self._spec.compose.image}, or leave compose.image out and one is built",
                )
            return
        build_image(self._tag, self._recipe, self._binary(progress), progress)

    async def start(self, network: Network, progress: Progress) -> bool:
        async with sole_user_of(self._spec.name):
            return await self._start(network, progress)

    async def _start(self, network: Network, progress: Progress) -> bool:
        before = await asyncio.to_thread(self._containers)
        if not before:
            await asyncio.to_thread(self._check_subnet)
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
            await asyncio.gather(*(self._reload(node) for node in network.nodes if node.name in before))
        await self._compose("up", "--detach", "--no-build", "--remove-orphans", see=see)
        return not before

    async def _reload(self, node: Node) -> None:
        """One that does not run reads its files when it starts."""
        with contextlib.suppress(RpcError):
            await self.call(node.name, "node_reload", [node.name])

    async def call(self, name: str, method: str, *params: Any) -> Any:
        async with await IpcRpc.connect(self._control_socket(name), where=name) as control:
            return await control.call(method, *params)

    async def copy(self, name: str, path: str, to: Path) -> None:
        await asyncio.to_thread(copy_local, self._directory.node(name), path, to)

    async def stop(self, progress: Progress) -> bool:
        ran = bool(await asyncio.to_thread(self._containers))
        progress("stopping containers")
        if ran or self._directory.compose.exists():
            await self._compose("down", "--remove-orphans")
        return ran

    async def discard(self, progress: Progress) -> None:
        """Everything is in the network directory."""

    async def is_running(self) -> bool:
        return bool(await asyncio.to_thread(self._containers))

    async def look(self) -> list[NodeStatus]:
        return await self.status(self._directory.load_what_is_there())

    async def status(self, network: Network) -> list[NodeStatus]:
        told = await asyncio.gather(*(self._ask(node) for node in network.nodes))
        if all(told):
            return [status for status in told if status]
        containers = await asyncio.to_thread(self._containers)
        return [
            status or self._from_container(network, node, containers.get(node.name))
            for node, status in zip(network.nodes, told, strict=True)
        ]

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        if not await self.is_running():
            raise NotRunningError(
                f"{self._directory.path}: not running", hint=f"start it: quorumkit up {self._directory.path}"
            )
        statuses = {status.name: status for status in await self.status(network)}
        change = asyncio.Event()
        followers = [asyncio.create_task(self._follow(network, node, statuses, change)) for node in network.nodes]
        try:
            while True:
                change.clear()
                yield [statuses[node.name] for node in network.nodes]
                await change.wait()
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)

    async def connect(self, node: Node) -> Rpc:
        return HttpRpc(node.endpoints.rpc_url, where=node.name)

    async def start_nodes(self, names: Sequence[str]) -> None:
        await asyncio.to_thread(self._containers)  # those of another network of that name are not touched
        await self._compose("up", "--detach", "--no-build", *services_of(self._spec, names))

    async def stop_nodes(self, names: Sequence[str]) -> None:
        await self._must_run()
        await self._compose("stop", *services_of(self._spec, names))

    async def restart_nodes(self, names: Sequence[str]) -> None:
        await self._must_run()
        await self._compose("restart", *services_of(self._spec, names))

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        options = ["--tail", str(lines), *(["--follow"] if follow else [])]
        services = services_of(self._spec, names)
        prefix = ["--no-log-prefix"] if len(services) == 1 else []
        self._containers()  # those of another network of that name are none of ours
        return Command([*self._project(), "logs", *prefix, *options, *services], self._directory.path.absolute())

    def console(self, node: Node, *, execute: str | None) -> Command:
        arguments = ["quorumkit", "console", *(["--exec", execute] if execute is not None else [])]
        return self.execute(node, arguments)

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        self._containers()  # nothing is run in those of another network of that name
        # Without a terminal on this side there is none to give to the other.
        terminal = [] if os.isatty(0) and os.isatty(1) else ["-T"]
        inside = Path("/node")
        told = {
            "QUORUMKIT_NODE": node.name,
            "QUORUMKIT_ENODE": str(node.enode),
            "QUORUMKIT_ACCOUNT": node.identity.account,
            "QUORUMKIT_RPC_URL": f"http://{LOOPBACK}:{node.endpoints.rpc_bind.port}",
            "QUORUMKIT_IPC": str(inside / self._recipe.ipc),
        }
        options = [*terminal, *(word for name, value in told.items() for word in ("--env", f"{name}={value}"))]
        return Command([*self._project(), "exec", *options, node.name, *arguments], self._directory.path.absolute())

    def _project(self) -> list[str]:
        """Compose on this project, whatever COMPOSE_FILE and COMPOSE_PROJECT_NAME the person has set for another."""
        return [*compose_command(), "--project-name", self._spec.name, "--file", self._directory.compose.name]

    @property
    def _tag(self) -> str:
        return self._spec.compose.image or image_tag(self._recipe.kind, self._spec.engine.version)

    @property
    def _manager_image(self) -> str | None:
        """The image of transaction managers that have containers of their own."""
        manager = self._spec.transaction_manager
        return manager_of(manager.kind).image(manager) if manager else None

    def _binary(self, progress: Progress) -> Binary:
        wanted = self._spec.engine
        return acquirer_of(wanted.kind).acquire(
            wanted.version, override=self._override, image=wanted.image, progress=progress
        )

    def _subnet(self) -> str:
        """The spec's subnet; else the one that the project has already; else a free one."""
        if self._spec.compose.subnet:
            return self._spec.compose.subnet
        if self._chosen_subnet is None:
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError, TypeError, YAMLError):
                present = _subnet_in(self._directory.compose)
                usable = bool(self._containers_quietly()) or self._overlapping(present) is None
                if room(present) >= self._spec.containers and usable:
                    self._chosen_subnet = present
        if self._chosen_subnet is None:
            in_use = [*host_subnets(), *_docker_subnets().values()]
            self._chosen_subnet = choose_subnet(self._directory.path, self._spec.containers, in_use)
        return self._chosen_subnet

    def _check_subnet(self) -> None:
        """Before the project's network is made, its subnet must be nobody else's.

        Raises:
            PortError: it is.
        """
        subnet = _subnet_in(self._directory.compose)
        overlapping = self._overlapping(subnet)
        if overlapping is not None:
            again = "run `quorumkit up` again: another one is chosen"
            asked = f"set another compose.subnet in {SPEC_NAME}, then run `quorumkit up` again"
            raise PortError(
                f"compose.subnet: {subnet} overlaps {overlapping}, which this machine uses already",
                hint=asked if self._spec.compose.subnet else again,
            )

    def _overlapping(self, subnet: str) -> Subnet | None:
        """What of this machine's networks overlaps the subnet, this project's own aside."""
        taken = _docker_subnets()
        own = f"{self._spec.name}_quorum"
        others = [network for name, network in taken.items() if name != own]
        routes = host_subnets()
        if own in taken:  # a network that an earlier start left is an interface of this machine too
            routes = [route for route in routes if route != Subnet(subnet)]
        return clash(subnet, [*others, *routes])

    async def _compose(self, *arguments: str, see: Callable[[str], None] = lambda line: None) -> None:
        """One Compose command on this project; Ctrl-C ends it. `see` is given each line it says meanwhile.

        Raises:
            RuntimeUnavailableError: it failed; the message is in Compose's own words.
        """
        command = [*await asyncio.to_thread(self._project), *arguments]
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self._directory.path,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        said: list[str] = []
        try:
            async for line in process.stderr:
                said.append(line.decode("utf-8", "replace"))
                see(said[-1])
            await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
        if process.returncode != 0:
            raise refusal(command, "".join(said))

    async def _must_run(self) -> None:
        if not await self.is_running():
            raise NotRunningError(f"{self._directory.path}: not running", hint="start it: quorumkit up")

    def _containers(self) -> dict[str, dict[str, Any]]:
        """The project's containers by service: `docker inspect` of each; the same for both versions of Compose."""
        listed = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self._spec.name}")
        if not listed.split():
            return {}
        containers = {}
        for container in json.loads(docker("inspect", *listed.split())):
            labels = container["Config"]["Labels"]
            place = Path(labels.get("com.docker.compose.project.working_dir", ""))
            if place.resolve() != self._directory.path.resolve():
                raise RuntimeUnavailableError(
                    f"another Compose project is named {self._spec.name}, in {place}",
                    hint=f"stop that one, or give this network another name in {SPEC_NAME}",
                )
            containers[labels["com.docker.compose.service"]] = container
        return containers

    def _containers_quietly(self) -> dict[str, dict[str, Any]]:
        """The same, where `init` on a machine without Docker is no error."""
        try:
            return self._containers()
        except RuntimeUnavailableError:
            return {}

    def _control_socket(self, name: str) -> Path:
        return self._directory.node(name).absolute() / ".state" / SOCKET_NAME

    async def _ask(self, node: Node) -> NodeStatus | None:
        """What a node's own program tells, over the socket in its mapped directory."""
        with contextlib.suppress(RpcError):
            async with await IpcRpc.connect(self._control_socket(node.name), where=node.name) as control:
                return self._as_told(node, (await control.call("node_status"))[0])
        return None

    async def _follow(
        self, network: Network, node: Node, statuses: dict[str, NodeStatus], change: asyncio.Event
    ) -> None:
        """Keeps one node's entry in `statuses` true, and sets `change` when it changed."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            with contextlib.suppress(RpcError):
                control = await IpcRpc.connect(self._control_socket(node.name), where=node.name)
                async with control, contextlib.aclosing(control.subscribe(namespace="status")) as changes:
                    async for nodes in changes:
                        statuses[node.name] = self._as_told(node, nodes[0])
                        change.set()
            await asyncio.sleep(_RECONNECT)
            if loop.time() - looked >= _STATE_EVERY:
                looked = loop.time()
                # One that is removed between listing and looking is an error of Docker's, and gone at the next look.
                with contextlib.suppress(RuntimeUnavailableError):
                    containers = await asyncio.to_thread(self._containers)
                    status = self._from_container(network, node, containers.get(node.name))
                    if status != statuses[node.name]:
                        statuses[node.name] = status
                        change.set()

    def _as_told(self, node: Node, value: dict[str, Any]) -> NodeStatus:
        """What a node program tells of its node; the name is ours, for it may not be able to read its own."""
        status = NodeStatus.from_json(value)
        status.name, status.ordinal, status.role = node.name, node.ordinal, status.role or node.role
        status.rpc_url = node.endpoints.rpc_url
        status.error = self._on_host(node, status.error)
        path = self._directory.node(node.name) / RECORD_NAME
        if status.ready and not path.exists():
            status.error = f"{path}: it is gone; the node goes on, but cannot start again without it"
        return status

    def _on_host(self, node: Node, text: str | None) -> str | None:
        """What is said inside of the node's directory, in terms of where it lies outside."""
        return text and _INSIDE.sub(lambda _: str(self._directory.node(node.name)), text)

    def _from_container(self, network: Network, node: Node, container: dict[str, Any] | None) -> NodeStatus:
        """What can be said of a node whose program does not answer."""
        status = stopped_status(network, node)
        directory = self._directory.node(node.name)
        if container is None:
            return status
        self._note_container(status, container)
        if not (directory / RECORD_NAME).exists():
            status.state, status.error = "failed", f"{directory}: its files are gone; put them back from a backup"
        status.error = self._on_host(node, status.error)
        return status

    def _note_container(self, status: NodeStatus, container: dict[str, Any] | None) -> None:
        """Writes into a status what the node's container tells of it."""
        if container is None:
            return
        state = container["State"]
        status.restarts = int(container.get("RestartCount", 0))
        if state["Status"] in _RUNNING:
            status.state = "starting" if state["Status"] == "running" else "restarting"
            if status.restarts >= FAILED_AFTER:
                status.state = "failed"
            status.error = self._last_complaint(container["Id"])
        elif state["Status"] == "exited" and state["ExitCode"] not in (0, 137, 143):
            status.state, status.error = "failed", self._last_complaint(container["Id"])
        elif state.get("Error"):
            status.state, status.error = "failed", state["Error"]

    @staticmethod
    def _last_complaint(container: str) -> str | None:
        """The last warning or error in a container's log, if there is one."""
        with contextlib.suppress(RuntimeUnavailableError):
            lines = run(["docker", "logs", "--tail", "20", container], merged=True).splitlines()
            for line in reversed(lines):
                if line.startswith(("error: ", "WARN ", "Fatal: ")) or _PYTHON_ERROR.match(line):
                    return line.removeprefix("error: ")
        return None


def _have_image(image: str, progress: Progress) -> None:
    """Has the container engine get an image that it has not.

    Raises:
        RuntimeUnavailableError: it cannot.
    """
    if find_image(image) is not None:
        return
    progress(f"pulling the image {image}")
    try:
        docker("pull", "--quiet", image, timeout=_PULL_PATIENCE)
    except RuntimeUnavailableError as error:
        raise RuntimeUnavailableError(
            f"{image}: not here, and could not be pulled: {error.message}",
            hint="load it with `docker load`, or name another as transaction_manager.image",
        ) from None


def _runs(container: dict[str, Any] | None) -> bool:
    return container is not None and container["State"]["Status"] in _RUNNING


def _docker_subnets() -> dict[str, Subnet]:
    """The IPv4 subnets of Docker's networks, by the network's name; none where there is no Docker."""
    with contextlib.suppress(RuntimeUnavailableError):
        names = docker("network", "ls", "--quiet").split()
        if names:
            networks = json.loads(docker("network", "inspect", *names))
            return {
                network["Name"]: Subnet(config["Subnet"])
                for network in networks
                for config in network["IPAM"]["Config"] or []
                if ":" not in config.get("Subnet", ":")
            }
    return {}


def _subnet_in(compose_file: Path) -> str:
    """The subnet that a rendered project has."""
    from ruamel.yaml import YAML

    project = YAML(typ="safe", pure=True).load(compose_file.read_text(encoding="utf-8"))
    return str(project["networks"]["quorum"]["ipam"]["config"][0]["subnet"])


def _give(directory: Path, uid: int, gid: int) -> None:
    """Makes a node's directory and all in it belong to somebody else; only root can.

    By descriptors: a container that runs could put a link in a folder's place meanwhile, and what it points at would
    be given away.
    """
    for _, _, names, folder in os.fwalk(directory, follow_symlinks=False):
        if os.fstat(folder).st_uid != uid:
            os.fchown(folder, uid, gid)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid != uid:
                    os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
