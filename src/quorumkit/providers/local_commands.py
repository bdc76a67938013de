"""What a person runs on nodes that are processes of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from quorumkit.contracts import console_script
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import Binary, acquirer_of
from quorumkit.errors import NotRunningError
from quorumkit.files import private_directory, write_atomic
from quorumkit.plan import Node
from quorumkit.providers.base import Command, node_environment
from quorumkit.providers.local_programs import Programs
from quorumkit.spec import NetworkSpec


class LocalCommands:
    """The part of a provider that makes commands for the terminal."""

    def __init__(
        self, directory: NetworkDirectory, spec: NetworkSpec, programs: Programs,
        *, binary: Path | None,
    ) -> None:  # fmt: skip
        self._directory = directory
        self._spec = spec
        self._programs = programs
        self._recipe = spec.recipe
        self._override = binary or directory.engine_override(spec)

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        files = [self._logs_of(name) / f"{name}.log" for name in names]
        missing = [name for name, file in zip(names, files, strict=True) if not file.exists()]
        if missing:
            raise NotRunningError(
                f"no log of {', '.join(missing)} yet",
                hint=f"start the network: quorumkit up{self._directory.as_argument}",
            )
        # -F goes on with the new file when the log is rotated.
        arguments = ["tail", f"--lines={lines}", *(["-F"] if follow else [])]
        return Command([*arguments, *(str(file.absolute()) for file in files)], self._directory.path)

    def _logs_of(self, name: str) -> Path:
        return self._programs[name].state / "logs"

    def console(self, node: Node, *, execute: str | None) -> Command:
        binary = self._binary()
        script = private_directory(self._directory.state).absolute() / "console.js"
        write_atomic(script, console_script().encode(), durable=False)
        return Command(
            self._recipe.console_command(binary.path, script=str(script), execute=execute),
            self._directory.node(node.name),
            failure=None if execute is None else self._recipe.console_failure,
        )

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        directory = self._directory.node(node.name).absolute()
        environment = node_environment(node, rpc_url=node.endpoints.rpc_url, ipc=str(directory / self._recipe.ipc))
        return Command(list(arguments), directory, environment)

    def _binary(self) -> Binary:
        wanted = self._spec.engine
        binary = acquirer_of(wanted.kind, self._spec.consensus.kind).find(
            wanted.version, override=self._override, image=wanted.image
        )
        if binary is None:
            raise NotRunningError(
                f"{self._recipe.kind} {self._spec.engine.version} is not built yet", hint="`quorumkit up` does it"
            )
        return binary
