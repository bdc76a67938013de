"""Nodes as processes of this machine whose identities were generated together: one node program carries them all."""

from __future__ import annotations

import asyncio
from pathlib import Path

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, UsageError
from quorumkit.plan import Network, node_names
from quorumkit.progress import Progress
from quorumkit.providers.base import ExchangeHost
from quorumkit.providers.local import LocalProvider
from quorumkit.providers.local_programs import Programs, spawn
from quorumkit.providers.ports import LOOPBACK
from quorumkit.providers.program import NodeProgram
from quorumkit.spec import NetworkSpec


class OneProgramProvider(LocalProvider):
    """See `Provider`."""

    def __init__(
        self, directory: NetworkDirectory, spec: NetworkSpec,
        *, binary: Path | None = None, tm_binary: Path | None = None,
    ) -> None:  # fmt: skip
        names = node_names(spec)
        nodes = [directory.node(name) for name in names]
        self._program = NodeProgram(directory.state, nodes, network=directory.path, former=directory.former_nodes(spec))
        programs = Programs(dict.fromkeys(names, self._program))
        super().__init__(directory, spec, programs, binary=binary, tm_binary=tm_binary)

    def exchange_host(self) -> ExchangeHost:
        raise UsageError(
            "the identities of this network were generated together, not exchanged",
            hint="make a network of its own: quorumkit up --exchange ANOTHER_DIR",
        )

    async def start(self, network: Network, progress: Progress) -> bool:
        names = [node.name for node in network.nodes]
        with self._program.starting_or_stopping():
            if self._program.process():
                await self._carry(names)
                return False
            progress("starting the node program")
            try:
                await spawn(self._program, self._arguments())
            except asyncio.CancelledError:  # Ctrl-C
                progress("interrupted: stopping what was started")
                await self._program.end(self._programs.stopping(progress))
                raise
            return True

    async def _carry(self, names: list[str]) -> None:
        """Has the program that runs carry these nodes, and start those that are stopped."""
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

    def _arguments(self) -> list[str]:
        """How the node program is run here."""
        arguments = ["--logs", str(self._directory.logs.absolute())]
        arguments += ["--health", f"{LOOPBACK}:{self._spec.ports.health or 0}"]
        if self._override:
            arguments += ["--engine-binary", str(self._override.absolute())]
        if self._tm_override:
            arguments += ["--tm-binary", str(self._tm_override.absolute())]
        return arguments
