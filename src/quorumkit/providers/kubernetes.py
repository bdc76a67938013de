"""Nodes as pods of one StatefulSet, made by the Helm chart that this package carries.

Kubernetes starts and restarts the pods, the pods agree with each other; here the chart is installed, and what became
of it is told. No key ever leaves a pod: the network directory holds the spec and the nodes' public records.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from quorumkit.directory import NetworkDirectory
from quorumkit.directory_lock import locked
from quorumkit.engines import recipe_of
from quorumkit.errors import NodeError, NotRunningError, RuntimeUnavailableError, UsageError, WaitTimeoutError
from quorumkit.image.build import image_tag
from quorumkit.mark import ensure_mark, read_mark
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints, node_name, role_of
from quorumkit.progress import Progress
from quorumkit.providers.base import Command
from quorumkit.providers.belongings import (
    Belongings,
    check_claims,
    check_release,
    find_belongings,
    mark_claims,
    unmarked,
)
from quorumkit.providers.calling import call_inside
from quorumkit.providers.copying import copy_by, reading
from quorumkit.providers.forming import (
    UnknownNodesError,
    answers,
    asking,
    check_none_begins_anew,
    check_spec,
    completed,
    is_known,
    knows_nodes,
    raise_failed,
    raise_lost,
    write_down,
)
from quorumkit.providers.kubectl import Cluster, ForwardedRpc, run
from quorumkit.providers.pods import NO_POD, NODE_CONTAINER, PodState, pod_state
from quorumkit.providers.twins import check_no_twin_needs_them
from quorumkit.render.chart import chart_values, pod_endpoints, pod_name
from quorumkit.render.containers import RPC_PORT
from quorumkit.rpc import Rpc
from quorumkit.spec import NetworkSpec
from quorumkit.spec_file import ensure_spec

_POLL = 1.0  # seconds between two looks at the pods
_FORWARDS_AT_ONCE = 8
_STOP_PATIENCE = "--timeout=180s"


class KubernetesRuntime:
    """See `Provider`."""

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec) -> None:
        self._directory = directory
        self._spec = spec
        self._cluster = Cluster(spec.kubernetes.context, spec.kubernetes.namespace)
        self._ordinals = range(1, spec.nodes.total + 1)
        self._forwards = asyncio.Semaphore(_FORWARDS_AT_ONCE)
        self._started = False
        self._is_adopted = False

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        namespace = spec.kubernetes.namespace or "default"
        return [pod_endpoints(spec, ordinal, namespace) for ordinal in range(1, spec.nodes.total + 1)]

    def render(self, network: Network) -> None:
        """The chart does."""

    def acquire(self, progress: Progress) -> None:
        """The cluster gets the image; here only what speaks to it is looked for."""
        progress("looking for the cluster")
        asyncio.run(run(self._cluster.kubectl("version", "--request-timeout=20s")))
        asyncio.run(run(self._cluster.helm("version", "--short")))

    def prepare(self) -> list[NodeEndpoints]:
        """Writes the spec: the chart is all else that a cluster needs."""
        with locked(self._directory):
            check_spec(self._directory, self._spec)
            ensure_spec(self._directory, self._spec)
            ensure_mark(self._directory.path)
        return self.addresses(self._spec, [])

    async def form(self, progress: Progress, timeout: float) -> Network:
        check_spec(self._directory, self._spec)
        found = await self._own_belongings()
        adopt = found.runs or knows_nodes(self._directory)
        check_claims(found, read_mark(self._directory.path), adopt=adopt)
        gone = self._nodes_without_claims(found)
        self.prepare()
        try:
            progress("installing the chart")
            await self._install()
            self._started = not found.runs
            raise_lost(gone)
            network = await self._agreed(progress, timeout)
        except asyncio.CancelledError:  # Ctrl-C
            if not found.runs:
                progress("interrupted: stopping what was started")
                await self._uninstall()
            raise
        except UnknownNodesError:
            if not found.runs:
                await self._uninstall()
            raise
        found = await find_belongings(self._cluster, self._spec.name)
        await mark_claims(self._cluster, found.unmarked_claims, ensure_mark(self._directory.path))
        return network

    async def _own_belongings(self) -> Belongings:
        """What the cluster has of this network.

        Raises:
            RuntimeUnavailableError: what has its name there is not its own.
        """
        found = await find_belongings(self._cluster, self._spec.name)
        mark = read_mark(self._directory.path)
        check_release(found, mark)
        if found.runs and found.mark is None and not self._is_adopted:
            if not is_known(self._directory, await self.look()):
                raise unmarked(found, mark)
            self._is_adopted = True
        return found

    def _nodes_without_claims(self, found: Belongings) -> list[str]:
        names = [node_name(ordinal) for ordinal in self._ordinals]
        persistence = self._spec.kubernetes.values.get("persistence")
        if isinstance(persistence, dict) and any(str(key).startswith("existing") for key in persistence):
            return []  # they have names that a person gave
        present = {name for name in names if f"data-{self._pod(name)}" in found.claims}
        return check_none_begins_anew(self._directory, names, present, what="claims")

    async def start(self, network: Network, progress: Progress) -> bool:
        """`form` has started them."""
        return self._started

    async def stop(self, progress: Progress) -> bool:
        progress("stopping pods")
        found = await self._own_belongings()
        if found.runs and (mark := read_mark(self._directory.path)):  # known to be its own while its nodes can be asked
            await mark_claims(self._cluster, found.unmarked_claims, mark)
        if found.chart is not None:
            await self._uninstall()
        return found.chart is not None

    async def _uninstall(self) -> None:
        await run(self._cluster.helm("uninstall", self._spec.name, "--wait", "--timeout=180s"))
        await run(self._cluster.kubectl("wait", "--for=delete", "pods", self._nodes(), _STOP_PATIENCE))

    async def discard(self, progress: Progress) -> None:
        progress("removing claims")
        found = await find_belongings(self._cluster, self._spec.name)
        mark = read_mark(self._directory.path)
        if found.unmarked_claims and knows_nodes(self._directory):
            raise unmarked(found, mark)
        if claims := found.claims_of(mark):
            check_no_twin_needs_them(self._directory, "claims", claims)
            await run(self._cluster.kubectl("delete", "persistentvolumeclaims", *claims, "--ignore-not-found"))

    async def is_running(self) -> bool:
        return await self._cluster.get("statefulset", self._spec.name) is not None

    async def status(self, network: Network) -> list[NodeStatus]:
        await self._own_belongings()
        return [completed(network, status) for status in await self.look()]

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        await self._own_belongings()
        async for statuses in self._watch():
            yield [completed(network, status) for status in statuses]

    async def _watch(self) -> AsyncGenerator[list[NodeStatus]]:
        last: list[NodeStatus] = []
        while True:
            statuses = await self.look()
            if not any(map(_has_pod, statuses)) and not await self.is_running():
                raise NotRunningError(
                    f"{self._directory.path}: not running", hint=f"start it: quorumkit up {self._directory.path}"
                )
            if statuses != last:
                last = statuses
                yield statuses
            await asyncio.sleep(_POLL)

    async def learn(self) -> Network | None:
        await self._own_belongings()
        statuses = await self.look()
        return await self._write(statuses) if all(status.account for status in statuses) else None

    async def call(self, name: str, method: str, *params: Any) -> Any:
        prefix = self._cluster.kubectl("exec", "--stdin", self._pod(name), "--")
        return await call_inside(prefix, method, params, where=name)

    async def copy(self, name: str, path: str, to: Path) -> None:
        command = reading(path)
        await self._own_belongings()
        in_pod = self._cluster.kubectl("exec", self._pod(name), f"--container={NODE_CONTAINER}", "--", *command)
        await copy_by(in_pod, to, what=f"{name}: {path}")

    async def connect(self, node: Node) -> Rpc:
        async with self._forwards:
            return await ForwardedRpc.open(self._cluster, self._pod(node.name), RPC_PORT, where=node.name)

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
        pods = [self._pod(name) for name in names]
        await self._own_belongings()
        await self._must_run()
        before = {name: pod["metadata"]["uid"] for name, pod in (await self._pods()).items()}
        await run(self._cluster.kubectl("delete", "pods", *pods, "--ignore-not-found"))
        while True:
            now = {
                name: pod for name, pod in (await self._pods()).items() if pod["metadata"]["uid"] != before.get(name)
            }
            states = {name: pod_state(now[pod]) for name, pod in zip(names, pods, strict=True) if pod in now}
            for name, state in states.items():
                if state.state == "failed":
                    raise NodeError(f"{name}: {state.reason}", hint=f"see `quorumkit logs {name}`")
            if len(states) == len(names) and all(state.running for state in states.values()):
                return
            await asyncio.sleep(_POLL / 2)

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        asyncio.run(self._own_belongings())
        options = [f"--tail={lines}", *(["--follow"] if follow else [])]
        if len(names) == 1:
            return self._command(self._cluster.kubectl("logs", self._pod(names[0]), *options))
        indexes = ",".join(pod.rpartition("-")[2] for pod in map(self._pod, names))
        selector = f"{self._nodes()},apps.kubernetes.io/pod-index in ({indexes})"
        options += ["--prefix", f"--max-log-requests={len(names)}", "--ignore-errors"]
        return self._command(self._cluster.kubectl("logs", selector, *options))

    def console(self, node: Node, *, execute: str | None) -> Command:
        return self._inside(node, ["quorumkit", "console", *(["--exec", execute] if execute is not None else [])])

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        told = {
            "QUORUMKIT_NODE": node.name,
            "QUORUMKIT_ENODE": str(node.enode),
            "QUORUMKIT_ACCOUNT": node.identity.account,
            "QUORUMKIT_RPC_URL": f"http://127.0.0.1:{RPC_PORT}",
            "QUORUMKIT_IPC": f"/node/{recipe_of(self._spec.engine.kind).ipc}",
        }
        return self._inside(node, ["env", *(f"{name}={value}" for name, value in told.items()), *arguments])

    def _inside(self, node: Node, arguments: Sequence[str]) -> Command:
        # Without a terminal on this side there is none to give to the other.
        asyncio.run(self._own_belongings())  # nothing is run in pods of another network of that name
        terminal = ["--stdin", "--tty"] if os.isatty(0) and os.isatty(1) else ["--stdin"]
        return self._command(self._cluster.kubectl("exec", *terminal, self._pod(node.name), "--", *arguments))

    async def _install(self) -> None:
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
            await asyncio.sleep(_POLL / 4)
        broken = [
            name
            for name, pod in (await self._pods()).items()
            if pod["metadata"]["labels"].get("controller-revision-hash") != status.get("updateRevision")
            and not pod_state(pod).running
        ]
        if broken:
            await run(self._cluster.kubectl("delete", "pods", *broken, "--ignore-not-found"))

    async def _agreed(self, progress: Progress, timeout: float) -> Network:
        """The network, once every pod tells an identity that is agreed on.

        Raises:
            NodeError: a pod cannot run.
            WaitTimeoutError: see `form`.
        """
        statuses: list[NodeStatus] = []
        total = len(self._ordinals)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout), contextlib.aclosing(self._watch()) as changes:
                async for statuses in changes:
                    raise_failed(statuses)
                    agreed = [status for status in statuses if status.account]
                    if len(agreed) == total:
                        return await self._write(statuses)
                    progress(*_stage(statuses))
        missing = [
            f"{status.name} is {status.state}{f' ({status.error})' if status.error else ''}"
            for status in statuses
            if not status.account
        ]
        raise WaitTimeoutError(
            f"not agreed after {timeout:g} s: {'; '.join(missing) or 'no pod answered'}"
            f"{await self._why_no_pods() if not statuses or not any(map(_has_pod, statuses)) else ''}",
            hint="they go on trying: see `kubectl get pods`; `quorumkit down` stops them",
        )

    async def _why_no_pods(self) -> str:
        """A namespace's rules may keep a StatefulSet from making pods at all; it tells so in events only."""
        events = await self._cluster.get(
            "events", f"--field-selector=involvedObject.name={self._spec.name},reason=FailedCreate"
        )
        found = [str(event.get("message", "")) for event in (events or {}).get("items", [])]
        return f"; {' '.join(found[-1].split())}" if found else ""

    async def _write(self, statuses: Sequence[NodeStatus]) -> Network:
        """Writes down who the nodes are, as they tell it."""
        namespace = self._spec.kubernetes.namespace or await self._context_namespace()
        endpoints = [pod_endpoints(self._spec, ordinal, namespace) for ordinal in self._ordinals]
        return write_down(self._directory, self._spec, statuses, endpoints)

    async def _context_namespace(self) -> str:
        view = ["config", "view", "--minify", "--output=jsonpath={..namespace}"]
        return (await run(self._cluster.kubectl(*view))).strip() or "default"

    async def look(self) -> list[NodeStatus]:
        """Every node, by ordinal: what it tells itself, or else what its pod tells."""
        pods = await self._pods()
        states = {name: pod_state(pod) for name, pod in pods.items()}
        told = await self._ask(
            {name: pods[name]["status"].get("podIP", "") for name, state in states.items() if state.running}
        )
        return [
            self._status(ordinal, states.get(pod_name(self._spec, ordinal), NO_POD), told.get(node_name(ordinal)))
            for ordinal in self._ordinals
        ]

    async def _pods(self) -> dict[str, dict[str, Any]]:
        listed = await self._cluster.get("pods", self._nodes())
        return {pod["metadata"]["name"]: pod for pod in (listed or {}).get("items", [])}

    async def _ask(self, addresses: Mapping[str, str]) -> dict[str, NodeStatus]:
        """What the node programs tell, given their pods' addresses: one of the pods asks all, so that it is one
        connection into the cluster however many they are."""
        hosts = [f"[{address}]" if ":" in address else address for address in addresses.values()]
        for asked in list(addresses)[:3]:  # the first may be about to go
            with contextlib.suppress(RuntimeUnavailableError):
                return answers(await run(self._cluster.kubectl("exec", asked, "--", "sh", "-c", asking(hosts))))
        return {}

    def _status(self, ordinal: int, pod: PodState, told: NodeStatus | None) -> NodeStatus:
        status = told or NodeStatus(
            node_name(ordinal), ordinal, role_of(ordinal, self._spec), state=pod.state, error=pod.reason
        )
        status.role = status.role or role_of(ordinal, self._spec)
        status.pid = None  # of the pod's own processes: it means nothing here
        status.restarts += pod.restarts
        return status

    async def _must_run(self) -> None:
        if not await self.is_running():
            raise NotRunningError(f"{self._directory.path}: not running", hint="start it: quorumkit up")

    def _pod(self, name: str) -> str:
        return pod_name(self._spec, next(n for n in self._ordinals if node_name(n) == name))

    def _nodes(self) -> str:
        return f"--selector=app.kubernetes.io/instance={self._spec.name},app.kubernetes.io/component=node"

    def _command(self, arguments: list[str]) -> Command:
        return Command(arguments, self._directory.path.absolute())


def _stage(statuses: Sequence[NodeStatus]) -> tuple[str, int, int]:
    """What `up` waits for, how many are through, of how many."""
    total = len(statuses)
    trouble = next((f": {status.name}: {status.error}" for status in statuses
                    if status.error and status.state in ("starting", "restarting")), "")  # fmt: skip
    up = sum(status.state not in ("stopped", "starting", "restarting") for status in statuses)
    if up < total:
        return f"starting pods{trouble}", up, total
    return "exchanging identities", sum(bool(status.account) for status in statuses), total


def _has_pod(status: NodeStatus) -> bool:
    return status.state != "stopped"
