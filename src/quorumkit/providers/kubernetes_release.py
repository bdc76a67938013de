"""The Helm release of a network, and what stands on it in the cluster: whether it is the network's own, and its
making and removal."""

from __future__ import annotations

import asyncio
import json
from importlib.resources import as_file, files

from quorumkit.directory import NetworkDirectory
from quorumkit.image.build import image_tag
from quorumkit.mark import ensure_mark, read_mark
from quorumkit.plan import node_names
from quorumkit.providers.belongings import (
    Belongings,
    check_claims,
    check_release,
    find_belongings,
    mark_claims,
    unmarked,
)
from quorumkit.providers.disks import check_none_begins_anew
from quorumkit.providers.known import is_known, knows_nodes
from quorumkit.providers.kubectl import Cluster, run
from quorumkit.providers.kubernetes_pods import Pods
from quorumkit.providers.pods import pod_state
from quorumkit.providers.timing import CHART_POLL, PODS_STOP_PATIENCE
from quorumkit.providers.twins import check_no_twin_needs_them
from quorumkit.render.chart import chart_values
from quorumkit.spec import NetworkSpec

_PATIENCE = f"--timeout={PODS_STOP_PATIENCE}s"


class Release:
    """The one that a network has, or is to have."""

    def __init__(self, cluster: Cluster, directory: NetworkDirectory, spec: NetworkSpec, pods: Pods) -> None:
        self._cluster = cluster
        self._directory = directory
        self._spec = spec
        self._pods = pods
        self._is_adopted = False

    async def is_there(self) -> bool:
        return await self._cluster.get("statefulset", self._spec.name) is not None

    async def check_own(self) -> Belongings:
        """What the cluster has of this network.

        Raises:
            RuntimeUnavailableError: what has its name there is not its own.
        """
        found = await find_belongings(self._cluster, self._spec.name)
        mark = read_mark(self._directory.path)
        check_release(found, mark)
        if found.runs and found.mark is None and not self._is_adopted:
            if not is_known(self._directory, await self._pods.look()):
                raise unmarked(found, mark)
            self._is_adopted = True
        return found

    def check_claims(self, found: Belongings) -> list[str]:
        """Before pods are made on what was found: the nodes that lost their claims.

        Raises:
            RuntimeUnavailableError: there are claims that are not this network's.
            NodeError: all known nodes' claims are gone.
        """
        adopt = found.runs or knows_nodes(self._directory)
        check_claims(found, read_mark(self._directory.path), adopt=adopt)
        names = node_names(self._spec)
        persistence = self._spec.kubernetes.values.get("persistence")
        if isinstance(persistence, dict) and any(str(key).startswith("existing") for key in persistence):
            return []  # they have names that a person gave
        present = {name for name in names if f"data-{self._pods.of(name)}" in found.claims}
        return check_none_begins_anew(self._directory, names, present, what="claims")

    async def mark_claims(self) -> None:
        """Marks as this network's the claims that have no mark, once they are known to be its own."""
        found = await find_belongings(self._cluster, self._spec.name)
        await mark_claims(self._cluster, found.unmarked_claims, ensure_mark(self._directory.path))

    async def install(self) -> None:
        image = self._spec.kubernetes.image or image_tag(self._spec.engine.kind, self._spec.engine.version)
        values = json.dumps(chart_values(self._spec, image=image, mark=ensure_mark(self._directory.path))).encode()
        create = ["--create-namespace"] if self._spec.kubernetes.namespace else []
        with as_file(files("quorumkit").joinpath("chart")) as chart:
            command = self._cluster.helm("upgrade", "--install", self._spec.name, str(chart), *create, "--values=-")
            await run(command, stdin=values)
        await self._replace_broken()

    async def _replace_broken(self) -> None:
        """Deletes pods that do not run and were made from settings that are no more: with `OnDelete`, and in parts with
        `RollingUpdate` too, a StatefulSet would keep them as they are, however well its new settings."""
        while True:
            found = await self._cluster.get("statefulset", self._spec.name)
            if found is None:
                return
            status = found.get("status", {})
            if status.get("observedGeneration", 0) >= found["metadata"]["generation"]:
                break
            await asyncio.sleep(CHART_POLL)
        broken = [
            name
            for name, pod in (await self._pods.all()).items()
            if pod["metadata"]["labels"].get("controller-revision-hash") != status.get("updateRevision")
            and not pod_state(pod).running
        ]
        if broken:
            await run(self._cluster.kubectl("delete", "pods", *broken, "--ignore-not-found"))

    async def stop(self) -> bool:
        """Removes the release; its claims stay. Whether there was one."""
        found = await self.check_own()
        if found.runs and (mark := read_mark(self._directory.path)):  # known to be its own while its nodes can be asked
            await mark_claims(self._cluster, found.unmarked_claims, mark)
        if found.chart is not None:
            await self.uninstall()
        return found.chart is not None

    async def uninstall(self) -> None:
        await run(self._cluster.helm("uninstall", self._spec.name, "--wait", _PATIENCE))
        await run(self._cluster.kubectl("wait", "--for=delete", "pods", self._pods.selector, _PATIENCE))

    async def remove_claims(self) -> None:
        """Removes the claims that bear the network's mark, and with them keys and chain."""
        found = await find_belongings(self._cluster, self._spec.name)
        mark = read_mark(self._directory.path)
        if found.unmarked_claims and knows_nodes(self._directory):
            raise unmarked(found, mark)
        if claims := found.claims_of(mark):
            check_no_twin_needs_them(self._directory, "claims", claims)
            await run(self._cluster.kubectl("delete", "persistentvolumeclaims", *claims, "--ignore-not-found"))

    async def why_no_pods(self) -> str:
        """A namespace's rules may keep a StatefulSet from making pods at all; only its events say so."""
        events = await self._cluster.get(
            "events", f"--field-selector=involvedObject.name={self._spec.name},reason=FailedCreate"
        )
        found = [str(event.get("message", "")) for event in (events or {}).get("items", [])]
        return f"; {' '.join(found[-1].split())}" if found else ""
