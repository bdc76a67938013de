"""Where pods are started that make their own identities: the chart is installed, the rest is theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NotRunningError
from quorumkit.node.status import NodeStatus
from quorumkit.plan import NodeEndpoints
from quorumkit.progress import Progress
from quorumkit.providers.base import ExchangeWords
from quorumkit.providers.disks import Disks
from quorumkit.providers.kubectl import Cluster, run
from quorumkit.providers.kubernetes_pods import Pods, has_pod
from quorumkit.providers.kubernetes_release import Release
from quorumkit.providers.timing import PODS_POLL
from quorumkit.render.chart import pod_endpoints
from quorumkit.spec import NetworkSpec


class KubernetesHost:
    """See `ExchangeHost`."""

    words = ExchangeWords(unit="pod", see="kubectl get pods")
    look_every = PODS_POLL

    def __init__(
        self, directory: NetworkDirectory, spec: NetworkSpec, cluster: Cluster, pods: Pods, release: Release
    ) -> None:
        self._directory = directory
        self._spec = spec
        self._cluster = cluster
        self._pods = pods
        self._release = release
        self.was_running = True
        """Whether anything ran when disks were looked for."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Helm keeps two commands from changing a release at once."""
        return contextlib.nullcontext()

    async def find_disks(self) -> Disks:
        found = await self._release.check_own()
        self.was_running = found.runs
        return Disks(self._release.check_claims(found), running=found.runs)

    def check_beforehand(self) -> None:
        """The spec can be written."""

    def write(self, disks: Disks | None) -> None:
        """The chart is all that a cluster needs."""

    async def start_exchange(self, progress: Progress) -> None:
        progress("installing the chart")
        await self._release.install()

    async def reported(self) -> list[NodeStatus]:
        return await self._pods.look()

    async def check_alive(self, statuses: Sequence[NodeStatus]) -> None:
        if not any(map(has_pod, statuses)) and not await self._release.is_there():
            raise NotRunningError(
                f"{self._directory.path}: not running", hint=f"start it: quorumkit up {self._directory.path}"
            )

    async def why_none(self) -> str:
        return await self._release.why_no_pods()

    async def agreed_endpoints(self) -> list[NodeEndpoints]:
        namespace = self._spec.kubernetes.namespace or await self._context_namespace()
        return pods_endpoints(self._spec, namespace)

    async def adopt(self) -> None:
        await self._release.mark_claims()

    async def undo(self, progress: Progress) -> None:
        await self._release.uninstall()

    async def _context_namespace(self) -> str:
        view = ["config", "view", "--minify", "--output=jsonpath={..namespace}"]
        return (await run(self._cluster.kubectl(*view))).strip() or "default"


def pods_endpoints(spec: NetworkSpec, namespace: str) -> list[NodeEndpoints]:
    """Every node's endpoints, by ordinal, in that namespace."""
    return [pod_endpoints(spec, ordinal, namespace) for ordinal in range(1, spec.nodes.total + 1)]
