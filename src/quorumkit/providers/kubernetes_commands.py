"""What a person runs on nodes in pods."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from quorumkit.directory import NetworkDirectory
from quorumkit.plan import Node
from quorumkit.providers.base import Command, node_environment
from quorumkit.providers.kubectl import Cluster
from quorumkit.providers.kubernetes_pods import Pods
from quorumkit.providers.kubernetes_release import Release
from quorumkit.render.containers import RPC_PORT
from quorumkit.spec import NetworkSpec


class KubernetesCommands:
    """The part of a provider that makes commands for the terminal."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec) -> None:
        self._directory = directory
        self._spec = spec
        self._cluster = Cluster(spec.kubernetes.context, spec.kubernetes.namespace)
        self._pods = Pods(self._cluster, spec)
        self._release = Release(self._cluster, directory, spec, self._pods)

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        asyncio.run(self._release.check_own())
        options = [f"--tail={lines}", *(["--follow"] if follow else [])]
        if len(names) == 1:
            return self._command("logs", self._pods.of(names[0]), *options)
        indexes = ",".join(pod.rpartition("-")[2] for pod in map(self._pods.of, names))
        selector = f"{self._pods.selector},apps.kubernetes.io/pod-index in ({indexes})"
        options += ["--prefix", f"--max-log-requests={len(names)}", "--ignore-errors"]
        return self._command("logs", selector, *options)

    def console(self, node: Node, *, execute: str | None) -> Command:
        return self._inside(node, ["quorumkit", "console", *(["--exec", execute] if execute is not None else [])])

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        environment = node_environment(
            node,
            rpc_url=f"http://127.0.0.1:{RPC_PORT}",
            ipc=f"/node/{self._spec.recipe.ipc}",
        )
        return self._inside(node, ["env", *(f"{name}={value}" for name, value in environment.items()), *arguments])

    def _inside(self, node: Node, arguments: Sequence[str]) -> Command:
        asyncio.run(self._release.check_own())  # nothing is run in pods of another network of that name
        # Without a terminal on this side there is none to give to the other.
        terminal = ["--stdin", "--tty"] if os.isatty(0) and os.isatty(1) else ["--stdin"]
        return self._command("exec", *terminal, self._pods.of(node.name), "--", *arguments)

    def _command(self, *arguments: str) -> Command:
        return Command(self._cluster.kubectl(*arguments), self._directory.path.absolute())
