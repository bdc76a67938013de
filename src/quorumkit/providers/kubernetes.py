"""Nodes as pods of one StatefulSet, made by the Helm chart that this package carries.

Kubernetes starts and restarts the pods, the pods agree with each other; here the chart is installed, and what became
of it is told. No key ever leaves a pod: the network directory holds the spec and the nodes' public records.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, NotRunningError, UsageError
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints
from quorumkit.progress import Progress
from quorumkit.providers.base import ExchangeHost
from quorumkit.providers.calling import call_inside
from quorumkit.providers.copying import copy_by, reading
from quorumkit.providers.kubectl import ForwardedRpc, run
from quorumkit.providers.kubernetes_commands import KubernetesCommands
from quorumkit.providers.kubernetes_host import KubernetesHost, pods_endpoints
from quorumkit.providers.pods import NODE_CONTAINER, pod_state
from quorumkit.providers.statuses import completed
from quorumkit.providers.timing import PODS_POLL, REPLACED_PODS_POLL
from quorumkit.providers.watching import poll
from quorumkit.render.containers import RPC_PORT
from quorumkit.rpc import Rpc
from quorumkit.spec import NetworkSpec

_FORWARDS_AT_ONCE = 8


class KubernetesProvider(KubernetesCommands):
    """See `Provider`."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec) -> None:
        super().__init__(directory, spec)
        self._forwards = asyncio.Semaphore(_FORWARDS_AT_ONCE)
        self._host = KubernetesHost(directory, spec, self._cluster, self._pods, self._release)

    def exchange_host(self) -> ExchangeHost:
        return self._host

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        return pods_endpoints(spec, spec.kubernetes.namespace or "default")

    def render(self, network: Network) -> None:
        """The chart does."""

    def acquire(self, progress: Progress) -> None:
        """The cluster gets the image; here only what speaks to it is looked for."""
        progress("looking for the cluster")
        asyncio.run(run(self._cluster.kubectl("version", "--request-timeout=20s")))
        asyncio.run(run(self._cluster.helm("version", "--short")))

    async def start(self, network: Network, progress: Progress) -> bool:
        """They have been started to agree."""
        return not self._host.was_running

    async def stop(self, progress: Progress) -> bool:
        progress("stopping pods")
        return await self._release.stop()

    async def discard(self, progress: Progress) -> None:
        progress("removing claims")
        await self._release.remove_claims()

    async def is_running(self) -> bool:
        return await self._release.is_there()

    async def look(self) -> list[NodeStatus]:
        await self._release.check_own()
        return await self._pods.look()

    async def status(self, network: Network) -> list[NodeStatus]:
        return [completed(network, status) for status in await self.look()]

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        await self._release.check_own()
        watched = poll(self._pods.look, every=PODS_POLL, check=self._host.check_alive)
        async with contextlib.aclosing(watched) as changes:
            async for statuses in changes:
                yield [completed(network, status) for status in statuses]

    async def connect(self, node: Node) -> Rpc:
        async with self._forwards:
            return await ForwardedRpc.open(self._cluster, self._pods.of(node.name), RPC_PORT, where=node.name)

    async def call(self, name: str, method: str, *params: Any) -> Any:
        prefix = self._cluster.kubectl("exec", "--stdin", self._pods.of(name), "--")
        return await call_inside(prefix, method, params, where=name)

    async def copy(self, name: str, path: str, to: Path) -> None:
        command = reading(path)
        await self._release.check_own()
        container = f"--container={NODE_CONTAINER}"
        inside = self._cluster.kubectl("exec", self._pods.of(name), container, "--", *command)
        await copy_by(inside, to, what=f"{name}: {path}")

    async def start_nodes(self, names: Sequence[str]) -> None:
        raise UsageError(
            "on Kubernetes the StatefulSet starts its pods, and keeps them running",
            hint="quorumkit up, or kubectl scale, for pods that were scaled away",
        )

    async def stop_nodes(self, names: Sequence[str]) -> None:
        raise UsageError(
            "on Kubernetes a single node cannot stay stopped: its StatefulSet starts the pod again",
            hint=f"quorumkit node restart {names[0]}; or quorumkit down for all",
        )

    async def restart_nodes(self, names: Sequence[str]) -> None:
        """Deletes the pods, and returns when there are new ones with their containers running."""
        pods = [self._pods.of(name) for name in names]
        await self._release.check_own()
        if not await self.is_running():
            raise NotRunningError(
                f"{self._directory.path}: not running", hint=f"start it: quorumkit up{self._directory.as_argument}"
            )
        before = {name: pod["metadata"]["uid"] for name, pod in (await self._pods.all()).items()}
        await run(self._cluster.kubectl("delete", "pods", *pods, "--ignore-not-found"))
        while True:
            now = {
                name: pod
                for name, pod in (await self._pods.all()).items()
                if pod["metadata"]["uid"] != before.get(name)
            }
            states = {name: pod_state(now[pod]) for name, pod in zip(names, pods, strict=True) if pod in now}
            for name, state in states.items():
                if state.state == "failed":
                    raise NodeError(f"{name}: {state.reason}", hint=f"see `quorumkit logs {name}`")
            if len(states) == len(names) and all(state.running for state in states.values()):
                return
            await asyncio.sleep(REPLACED_PODS_POLL)
