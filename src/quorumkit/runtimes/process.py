"""Nodes as plain processes of this machine: one detached node program carries them all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from quorumkit.contracts import console_script
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import Binary, engine_of
from quorumkit.errors import NodeError, NotRunningError, PortError, RpcError
from quorumkit.files import SECRET_MODE, private_directory, write_atomic
from quorumkit.node.control import SOCKET_NAME
from quorumkit.node.managed import STOP_GRACE
from quorumkit.node.status import NodeStatus
from quorumkit.node.supervisor import INFO_NAME, read_info
from quorumkit.plan import Endpoint, Network, Node, NodeEndpoints
from quorumkit.progress import Progress
from quorumkit.rpc import IpcRpc, Rpc
from quorumkit.runtimes.base import Command, stopped_status
from quorumkit.runtimes.ports import LOOPBACK, PortBlocks, choose_ports, port_is_free
from quorumkit.spec import SPEC_NAME, NetworkSpec

SUPERVISOR_LOG = "supervisor.log"
_CONTROL_TIMEOUT = 2 * STOP_GRACE
_CONTROL_POLL = 0.02  # seconds between two tries to reach a node program that is starting


class ProcessRuntime:
    """See `Runtime`."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None) -> None:
        self._directory = directory
        self._spec = spec
        self._engine = engine_of(spec.engine.kind)
        self._override = binary or directory.engine_override(spec)

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        first = present[0]
        keep = PortBlocks(rpc=first.rpc_bind.port, p2p=first.p2p_bind.port) if first else None
        supervisor = self._supervisor()
        # What clients hold that outlived their node program is free again once `start` has ended them.
        running = _listening(present) if supervisor or self._orphans() else frozenset()
        if spec.ports.health and not supervisor and not port_is_free(spec.ports.health):
            raise PortError(
                f"ports.health: port {spec.ports.health} is taken",
                hint=f"stop what holds it, or change ports.health in {SPEC_NAME} or remove it there",
            )
        ports = choose_ports(self._directory.path, spec.ports, spec.nodes.total, keep=keep, running=running)
        return [
            NodeEndpoints(
                p2p=Endpoint(LOOPBACK, ports.p2p + offset),
                p2p_bind=Endpoint(LOOPBACK, ports.p2p + offset),
                rpc_bind=Endpoint(LOOPBACK, ports.rpc + offset),
                rpc_url=f"http://{LOOPBACK}:{ports.rpc + offset}",
            )
            for offset in range(spec.nodes.total)
        ]

    def render(self, network: Network) -> None:
        """Processes need no files beyond their nodes'."""

    def acquire(self, progress: Progress) -> None:
        self._engine.acquire(self._spec.engine.version, override=self._override, progress=progress)

    async def start(self, network: Network, progress: Progress) -> bool:
        names = [node.name for node in network.nodes]
        with self._starting_or_stopping():
            return await self._start(names, progress)

    async def _start(self, names: list[str], progress: Progress) -> bool:
        if self._supervisor():
            async with await self._control(patient=True) as control:
                carried = {status["name"] for status in await control.call("node_status")}
                if carried != set(names):
                    raise NodeError(
                        f"{self._directory.path}: it runs with {len(carried)} nodes, and the spec has {len(names)}",
                        hint="`quorumkit down`, then `quorumkit up`",
                    )
                await control.call("node_start", names)
            return False
        await asyncio.to_thread(self._end_orphans)
        progress("starting the node program")
        spawning = asyncio.create_task(asyncio.to_thread(self._spawn, [self._directory.node(name) for name in names]))
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
        with self._starting_or_stopping():
            return await self._stop(progress)

    async def _stop(self, progress: Progress) -> bool:
        supervisor = self._supervisor()
        if supervisor is None:
            return bool(await asyncio.to_thread(self._end_orphans))
        total = self._spec.nodes.total
        progress("stopping", 0, total)
        with contextlib.suppress(RpcError, psutil.Error):
            # A signal is heard even where the control socket does not listen yet.
            supervisor.terminate()
            async with await self._control() as control:
                async with contextlib.aclosing(control.subscribe(namespace="status")) as statuses:
                    async for nodes in statuses:
                        progress("stopping", sum(node["state"] == "stopped" for node in nodes), total)
        try:
            await asyncio.to_thread(supervisor.wait, _CONTROL_TIMEOUT)
        except psutil.TimeoutExpired:
            supervisor.kill()
            await asyncio.to_thread(supervisor.wait)
        await asyncio.to_thread(self._end_orphans)
        return True

    async def is_running(self) -> bool:
        return self._supervisor() is not None

    async def status(self, network: Network) -> list[NodeStatus]:
        if self._supervisor():
            with contextlib.suppress(RpcError):
                async with await self._control() as control:
                    return _statuses(network, await control.call("node_status"))
        return _statuses(network, [])

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        control = await self._control()
        async with control, contextlib.aclosing(control.subscribe(namespace="status")) as changes:
            try:
                async for nodes in changes:
                    yield _statuses(network, nodes)
            except RpcError:
                raise NotRunningError(
                    f"{self._directory.path}: the node program ended", hint=f"see {self._log_path}"
                ) from None

    async def connect(self, node: Node) -> Rpc:
        return await IpcRpc.connect(self._directory.node(node.name).absolute() / self._engine.ipc, where=node.name)

    async def start_nodes(self, names: Sequence[str]) -> None:
        await self._control_call("node_start", list(names))

    async def stop_nodes(self, names: Sequence[str]) -> None:
        await self._control_call("node_stop", list(names))

    async def restart_nodes(self, names: Sequence[str]) -> None:
        await self._control_call("node_restart", list(names))

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        files = [self._directory.logs / f"{name}.log" for name in names]
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
            self._engine.console_command(binary.path, script=str(script), execute=execute),
            self._directory.node(node.name),
        )

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        directory = self._directory.node(node.name).absolute()
        environment = {
            "QUORUMKIT_NODE": node.name,
            "QUORUMKIT_ENODE": node.enode,
            "QUORUMKIT_ACCOUNT": node.identity.account,
            "QUORUMKIT_RPC_URL": node.endpoints.rpc_url,
            "QUORUMKIT_IPC": str(directory / self._engine.ipc),
        }
        return Command(list(arguments), directory, environment)

    @property
    def _control_socket(self) -> Path:
        return self._directory.state.absolute() / SOCKET_NAME

    @property
    def _log_path(self) -> Path:
        return self._directory.state / SUPERVISOR_LOG

    def _binary(self) -> Binary:
        binary = self._engine.find(self._spec.engine.version, override=self._override)
        if binary is None:
            raise NotRunningError(
                f"{self._engine.kind} {self._spec.engine.version} is not built yet", hint="`quorumkit up` does it"
            )
        return binary

    def _supervisor(self) -> psutil.Process | None:
        """The node program that runs this network, if one does: a pid alone could be somebody else's by now."""
        info = read_info(self._directory.state)
        if info is None:
            return None
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(info["pid"])
            if abs(process.create_time() - info["created"]) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    async def _control(self, *, patient: bool = False) -> IpcRpc:
        """A connection to the node program; with `patient`, to one that is only just starting too."""
        deadline = time.monotonic() + (_CONTROL_TIMEOUT if patient else 0)
        while True:
            if self._supervisor() is None:
                raise NotRunningError(
                    f"{self._directory.path}: not running", hint=f"start it: quorumkit up {self._directory.path}"
                )
            try:
                return await IpcRpc.connect(self._control_socket, where="the node program")
            except RpcError:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(_CONTROL_POLL)

    @contextlib.contextmanager
    def _starting_or_stopping(self) -> Iterator[None]:
        """Keeps two commands from starting and stopping the node program at once.

        Raises:
            NodeError: another command does so, for longer than it should take.
        """
        private_directory(self._directory.state)
        try:
            with FileLock(self._directory.state / "start.lock", mode=SECRET_MODE, timeout=2 * _CONTROL_TIMEOUT):
                yield
        except Timeout:
            raise NodeError(
                f"{self._directory.path}: another quorumkit command is starting or stopping it",
                hint="wait for it, or end it",
            ) from None

    async def _control_call(self, method: str, *params: Any) -> Any:
        async with await self._control() as control:
            return await control.call(method, *params, timeout=_CONTROL_TIMEOUT)

    def _spawn(self, nodes: Sequence[Path]) -> None:
        """Starts the node program and returns when its control socket listens.

        Raises:
            NodeError: it ended instead; the message is its own.
        """
        private_directory(self._directory.state)
        reader, writer = os.pipe()
        # -P: a folder named like one of our modules, where the person stands, is not to be imported.
        command = [
            sys.executable,
            "-P",
            "-m",
            "quorumkit",
            "node",
            "run",
            "--state",
            str(self._directory.state.absolute()),
        ]
        command += ["--logs", str(self._directory.logs.absolute()), "--ready-descriptor", str(writer)]
        command += ["--health", f"{LOOPBACK}:{self._spec.ports.health or 0}"]
        if self._override:
            command += ["--engine-binary", str(self._override.absolute())]
        try:
            with self._log_path.open("ab") as log:
                start = log.tell()
                process = subprocess.Popen(
                    [*command, *(str(node.absolute()) for node in nodes)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[writer],
                    start_new_session=True,
                )
            os.close(writer)
            writer = -1
            with os.fdopen(reader, "rb") as pipe:
                reader = -1
                if pipe.readline():
                    return
            process.wait()
        finally:
            for descriptor in (reader, writer):
                if descriptor >= 0:
                    os.close(descriptor)
        with self._log_path.open("rb") as log:
            log.seek(start)
            said = log.read().decode("utf-8", "replace").strip()
        reason = said.removeprefix("error: ").splitlines()[0] if said else f"exit code {process.returncode}"
        raise NodeError(f"the node program did not start: {reason}", hint=f"see {self._log_path}")

    def _end_orphans(self) -> int:
        """Ends clients that outlived a node program which was killed; how many there were."""
        orphans = self._orphans()
        for process in orphans:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(orphans, STOP_GRACE)
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive)
        (self._directory.state / INFO_NAME).unlink(missing_ok=True)
        self._control_socket.unlink(missing_ok=True)
        return len(orphans)

    def _orphans(self) -> list[psutil.Process]:
        """Clients that run although their node program does not: their working directory is their node's."""
        if read_info(self._directory.state) is None or self._supervisor():
            return []
        nodes = self._directory.nodes.resolve()
        orphans = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if Path(process.cwd()).parent == nodes and "--datadir" in process.cmdline():
                    orphans.append(process)
        return orphans


def _listening(present: Sequence[NodeEndpoints | None]) -> frozenset[int]:
    return frozenset(port for node in present if node for port in (node.rpc_bind.port, node.p2p_bind.port))


def _statuses(network: Network, told: Sequence[dict[str, Any]]) -> list[NodeStatus]:
    """What the node program told, completed by what the network says of nodes it does not carry."""
    by_name = {status["name"]: NodeStatus.from_json(status) for status in told}
    return [by_name.get(node.name) or stopped_status(network, node) for node in network.nodes]
