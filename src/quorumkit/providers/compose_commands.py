"""What a person runs on nodes in containers of a Compose project."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from quorumkit.directory import NetworkDirectory
from quorumkit.plan import Node
from quorumkit.providers.base import Command, node_environment
from quorumkit.providers.compose_project import Project
from quorumkit.providers.ports import LOOPBACK
from quorumkit.render.compose import services_of
from quorumkit.spec import NetworkSpec


class ComposeCommands:
    """The part of a provider that makes commands for the terminal."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec) -> None:
        self._directory = directory
        self._spec = spec
        self._recipe = spec.recipe
        self._project = Project(directory, spec)

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        options = ["--tail", str(lines), *(["--follow"] if follow else [])]
        services = services_of(self._spec, names)
        prefix = ["--no-log-prefix"] if len(services) == 1 else []
        self._project.containers()  # those of another network of that name are none of ours
        return self._command("logs", *prefix, *options, *services)

    def console(self, node: Node, *, execute: str | None) -> Command:
        arguments = ["quorumkit", "console", *(["--exec", execute] if execute is not None else [])]
        return self.execute(node, arguments)

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        self._project.containers()  # nothing is run in those of another network of that name
        # Without a terminal on this side there is none to give to the other.
        terminal = [] if os.isatty(0) and os.isatty(1) else ["-T"]
        environment = node_environment(
            node, rpc_url=f"http://{LOOPBACK}:{node.endpoints.rpc_bind.port}", ipc=str(Path("/node") / self._recipe.ipc)
        )
        options = [*terminal, *(word for name, value in environment.items() for word in ("--env", f"{name}={value}"))]
        return self._command("exec", *options, node.name, *arguments)

    def _command(self, *arguments: str) -> Command:
        return Command([*self._project.command(), *arguments], self._directory.path.absolute())
