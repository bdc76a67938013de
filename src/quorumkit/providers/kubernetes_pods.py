"""The pods of a network, and what their node programs report."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from quorumkit.errors import RuntimeUnavailableError
from quorumkit.node.status import NodeStatus
from quorumkit.plan import node_name, role_of
from quorumkit.providers.asking import answers, asking
from quorumkit.providers.kubectl import Cluster, run
from quorumkit.providers.pods import NO_POD, PodState, pod_state
from quorumkit.render.chart import pod_name
from quorumkit.spec import NetworkSpec


class Pods:
    """Those of one network in one cluster."""

    def __init__(self, cluster: Cluster, spec: NetworkSpec) -> None:
        self._cluster = cluster
        self._spec = spec
        self._ordinals = range(1, spec.nodes.total + 1)
        self.selector = f"--selector=app.kubernetes.io/instance={spec.name},app.kubernetes.io/component=node"

    def of(self, name: str) -> str:
        """The pod of the node of that name."""
        return pod_name(self._spec, next(ordinal for ordinal in self._ordinals if node_name(ordinal) == name))

    async def all(self) -> dict[str, dict[str, Any]]:
        """What the API says of each pod that there is, by its name."""
        listed = await self._cluster.get("pods", self.selector)
        return {pod["metadata"]["name"]: pod for pod in (listed or {}).get("items", [])}

    async def look(self) -> list[NodeStatus]:
        """Every node, by ordinal: what it reports itself, or else what its pod says."""
        pods = await self.all()
        states = {name: pod_state(pod) for name, pod in pods.items()}
        reported = await self._ask(
            {name: pods[name]["status"].get("podIP", "") for name, state in states.items() if state.running}
        )
        return [
            self._status(ordinal, states.get(pod_name(self._spec, ordinal), NO_POD), reported.get(node_name(ordinal)))
            for ordinal in self._ordinals
        ]

    async def _ask(self, addresses: Mapping[str, str]) -> dict[str, NodeStatus]:
        """What the node programs report, given their pods' addresses: one of the pods asks all, so that it is one
        connection into the cluster however many they are."""
        hosts = [f"[{address}]" if ":" in address else address for address in addresses.values()]
        for asked in list(addresses)[:3]:  # the first may be about to go
            with contextlib.suppress(RuntimeUnavailableError):
                return answers(await run(self._cluster.kubectl("exec", asked, "--", "sh", "-c", asking(hosts))))
        return {}

    def _status(self, ordinal: int, pod: PodState, reported: NodeStatus | None) -> NodeStatus:
        status = reported or NodeStatus(
            node_name(ordinal), ordinal, role_of(ordinal, self._spec), state=pod.state, error=pod.reason
        )
        status.role = status.role or role_of(ordinal, self._spec)
        status.pid = None  # of the pod's own processes: it means nothing here
        status.restarts += pod.restarts
        return status


def has_pod(status: NodeStatus) -> bool:
    return status.state != "stopped"
