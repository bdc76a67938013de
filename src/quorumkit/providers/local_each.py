"""Nodes as processes of this machine that share nothing: each its own node program over its own directory, which makes
its own keys and agrees with the others over HTTP. The network directory only holds what a person wrote, and the join
secret."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, QuorumkitError, UsageError
from quorumkit.files import private_directory, read_json, to_json, write_atomic
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, NodeEndpoints, node_names
from quorumkit.progress import Progress
from quorumkit.providers.base import ExchangeHost, ExchangeWords
from quorumkit.providers.disks import Disks
from quorumkit.providers.join_secret import ensure_join_secret
from quorumkit.providers.local import LocalProvider
from quorumkit.providers.local_programs import Programs, all_of, spawn
from quorumkit.providers.ports import LOOPBACK, choose_block
from quorumkit.providers.program import NodeProgram
from quorumkit.providers.register import open_register
from quorumkit.providers.timing import PROGRAMS_POLL
from quorumkit.record import RECORD_NAME, read_record
from quorumkit.spec import NetworkSpec


class ProgramEachProvider(LocalProvider):
    """See `Provider`, and `ExchangeHost`."""

    words = ExchangeWords(unit="node program", see="quorumkit logs NODE")
    look_every = PROGRAMS_POLL

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None) -> None:
        names = node_names(spec)
        super().__init__(
            directory,
            spec,
            Programs(
                {name: _program(directory, directory.node(name)) for name in names},
                [_program(directory, node) for node in directory.former_nodes(spec)],
            ),
            binary=binary,
        )
        self._was_running = True
        self._endpoints: list[NodeEndpoints] = []
        self._exchange_ports: list[int] = []

    def exchange_host(self) -> ExchangeHost:
        return self

    async def start(self, network: Network, progress: Progress) -> bool:
        """They have been started to agree; a node that was stopped by itself is started here."""
        try:
            await self._programs.call_each("node_start", [*self._programs])
        except asyncio.CancelledError:  # Ctrl-C
            if not self._was_running:
                progress("interrupted: stopping what was started")
                await self.stop(progress)
            raise
        return not self._was_running

    def alone(self) -> AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()

    async def find_disks(self) -> Disks:
        """The nodes' directories: one that is lost is not known any more either."""
        self._was_running = self._programs.any_runs()
        return Disks(running=self._was_running)

    def check_beforehand(self) -> None:
        raise UsageError(
            "with exchanged identities there is nothing to make beforehand: each node makes its own",
            hint=f"quorumkit up --exchange {self._directory.path}",
        )

    def write(self, disks: Disks | None) -> None:
        ensure_join_secret(self._directory.path)
        private_directory(self._directory.nodes)
        self._endpoints = self.addresses(self._spec, [self._endpoints_on_disk(name) for name in self._programs])
        self._exchange_ports = self._choose_exchange_ports()

    async def start_exchange(self, progress: Progress) -> None:
        # What the spec has no more is no peer of the others.
        await self._programs.end([program for program in self._programs.former if program.process()], progress)
        secret = ensure_join_secret(self._directory.path)
        peers = ",".join(f"{LOOPBACK}:{port}" for port in self._exchange_ports)
        started = 0

        async def start(ordinal: int, name: str) -> None:
            nonlocal started
            program = self._programs[name]
            private_directory(self._directory.node(name))
            with program.starting_or_stopping():
                if not program.process():
                    await spawn(program, self._arguments(name, ordinal, secret, peers))
            started += 1
            progress("starting node programs", started, len(self._programs))

        await all_of(start(ordinal, name) for ordinal, name in enumerate(self._programs, start=1))

    async def reported(self) -> list[NodeStatus]:
        return await self.look()

    async def check_alive(self, statuses: Sequence[NodeStatus]) -> None:
        for status in statuses:
            program = self._programs[status.name]
            if program.process() is None:
                lines = program.log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                reason = next((line for line in reversed(lines) if line.startswith("error: ")), "see its log")
                raise NodeError(
                    f"{status.name}: its node program ended: {reason.removeprefix('error: ')}",
                    hint=f"see {program.log_path}",
                )

    async def why_none(self) -> str:
        return ""

    async def agreed_endpoints(self) -> None:
        """The nodes' directories are here."""

    async def adopt(self) -> None:
        """The nodes' directories are all they stand on."""

    async def undo(self, progress: Progress) -> None:
        await self.stop(progress)

    def _arguments(self, name: str, ordinal: int, secret: Path, peers: str) -> list[str]:
        own = self._endpoints[ordinal - 1]
        arguments = [
            *("--logs", str(self._logs_of(name).absolute()), "--health", f"{LOOPBACK}:0", "--exchange"),
            *("--spec", str(self._directory.spec.absolute()), "--ordinal", str(ordinal), "--peers", peers),
            *("--join-secret-file", str(secret.absolute())),
            *("--exchange-bind", f"{LOOPBACK}:{self._exchange_ports[ordinal - 1]}", "--p2p-bind", str(own.p2p_bind)),
            *("--rpc-bind", str(own.rpc_bind)),
            *(word for name, port in own.ports.items() for word in (f"--{name}-port", str(port))),
            *(["--tm-bind", str(own.tm_bind)] if own.tm_bind else []),
        ]
        return [*arguments, "--engine-binary", str(self._override.absolute())] if self._override else arguments

    def _choose_exchange_ports(self) -> list[int]:
        """One for each node, kept where they can be: an address that stays is found without looking."""
        path = self._directory.state / "exchange-ports.json"
        total = len(self._programs)
        keep = None
        with contextlib.suppress(FileNotFoundError, QuorumkitError, KeyError, TypeError, ValueError):
            keep = int(read_json(path, what="list of ports")["first"])
        running = frozenset(range(keep, keep + total)) if keep and self._programs.any_runs() else frozenset[int]()
        with open_register(self._directory.path) as register:
            asked = self._spec.ports.exchange
            first = choose_block(register, "exchange", asked, total, keep=keep, running=running)
        write_atomic(path, to_json({"first": first}), durable=False)
        return list(range(first, first + total))

    def _endpoints_on_disk(self, name: str) -> NodeEndpoints | None:
        directory = self._directory.node(name)
        return read_record(directory).endpoints if (directory / RECORD_NAME).exists() else None


def _program(directory: NetworkDirectory, node: Path) -> NodeProgram:
    return NodeProgram(node / ".state", [node], network=directory.path)
