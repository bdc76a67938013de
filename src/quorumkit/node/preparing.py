"""What must be there before a node's processes can start: binary, keys, and the chain, made from the genesis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quorumkit.engines import Binary, acquirer_of
from quorumkit.errors import EngineError, NodeError
from quorumkit.files import write_atomic
from quorumkit.identity import check_identity
from quorumkit.managers import manager_of
from quorumkit.node.chain import GENESIS_MARKER, Genesis, is_to_be_made, read_genesis
from quorumkit.node.log import LogSink, own_line
from quorumkit.node.process import Process
from quorumkit.node.trouble import Troubles
from quorumkit.process_spec import PartSpec, ProcessSpec, client_of
from quorumkit.record import NodeRecord

_COMMAND_ENDS_WITHIN = 5.0
"""Seconds that a command gets to end where its node is to stop: what it makes is made anew at the next start."""


@dataclass(frozen=True)
class Prepared:
    """A node whose processes and tasks can start."""

    parts: Sequence[PartSpec]
    genesis: Genesis
    client: str
    """The name of the process that is its client."""


class Preparation:
    """For one start of a node."""

    def __init__(self, directory: Path, record: NodeRecord, log: LogSink, troubles: Troubles) -> None:
        self._directory = directory
        self._record = record
        self._recipe = record.recipe
        self._log = log
        self._troubles = troubles
        self._is_stopped = False
        self._command: Process | None = None

    def stop(self) -> None:
        """Has `run` end a command that it waits for, and return."""
        self._is_stopped = True
        if self._command is not None:
            self._command.stop(_COMMAND_ENDS_WITHIN)

    async def run(self, *, admission: str | None, override: Path | None, tm_override: Path | None) -> Prepared | None:
        """Checks keys and genesis, and makes the chain where there is none yet. `admission` is what the members
        answered when they took the node in, where they had to; `override` and `tm_override` are a client and a
        transaction manager to run instead of those that are found. None where it was stopped meanwhile.

        Raises:
            CorruptFileError: a key or the genesis is not what it should be.
            EngineError: the binary is not what it should be, or not there.
            GenesisMismatchError: the chain was made from another genesis.
            NodeError: the client refused the genesis, or the transaction manager cannot run in that directory.
        """
        binary = await asyncio.to_thread(self.find_binary, override)
        await asyncio.to_thread(self.check_identity)
        await asyncio.to_thread(self._recipe.clear_unfinished, self._directory)
        genesis = await asyncio.to_thread(read_genesis, self._directory)
        if is_to_be_made(self._directory, self._recipe, self._record, genesis):
            await self._make_chain(binary, genesis)
        if self._is_stopped:
            return None
        processes = self._recipe.processes(
            binary.path,
            self._record,
            admission=admission,
            beside={name: program.path for name, program in binary.beside.items()},
        )
        beside = beside_client(self._record, self._directory, override=tm_override)
        # What stands beside a client is there before it.
        names = tuple(spec.name for spec in beside)
        after: list[PartSpec] = [replace(spec, after=(*spec.after, *names)) for spec in processes]
        return Prepared([*after, *beside], genesis, client=client_of(processes).name)

    def find_binary(self, override: Path | None) -> Binary:
        """The client to run."""
        wanted = self._record.engine
        acquirer = acquirer_of(wanted.kind, self._record.consensus.kind)
        binary = acquirer.find(wanted.version, override=override, image=wanted.image)
        if binary is None:
            raise EngineError(
                f"{wanted.kind} {wanted.version} is not there yet",
                hint="`quorumkit up` builds it, or name one with --engine-binary",
            )
        return binary

    def check_identity(self) -> None:
        """Whether the keys are those that the record names."""
        check_identity(self._directory, self._record.identity, self._recipe.further_keys)

    async def _make_chain(self, binary: Binary, genesis: Genesis) -> None:
        marker = self._directory / GENESIS_MARKER
        if marker.exists():
            text = "the chain is gone: it is made again from the genesis, and its blocks come from the peers"
            self._log.line(own_line("WARN", text))
            marker.unlink()  # until it is whole
        for command in self._recipe.setup_commands(binary.path, self._record, str(genesis.path)):
            failure = await self._run_to_end(command)
            if self._is_stopped:
                return  # it is made again, from its first command on
            if failure is not None:
                raise NodeError(f"the client refused {genesis.path.name}: {failure}")
        write_atomic(marker, (genesis.digest + "\n").encode())

    async def _run_to_end(self, command: list[str]) -> str | None:
        """Runs a client command that ends by itself; why it failed, if it did."""
        spec = ProcessSpec(self._record.engine.kind, tuple(command), title="client",
                           why_it_ends=self._recipe.why_it_ends)  # fmt: skip
        self._command = Process(spec, self._directory, self._log, self._troubles)
        if self._is_stopped:
            self._command.stop(_COMMAND_ENDS_WITHIN)
        try:
            return await self._command.run_to_end()
        finally:
            self._command = None


def beside_client(record: NodeRecord, directory: Path, *, override: Path | None) -> list[ProcessSpec]:
    """What runs beside a node's client: its transaction manager, where it has one. `override` is the program to run
    instead of the one that is found.

    Raises:
        EngineError: its program is not here.
        NodeError: it cannot run in that directory.
    """
    if record.tm is None:
        return []
    manager = manager_of(record.tm.kind)
    if record.tm.apart:
        return [manager.process(None, apart=True)]
    manager.check_place(directory)
    return [manager.process(manager.find(override=override))]
