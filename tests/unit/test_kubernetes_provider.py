"""Pods, with a cluster of the test's own in place of a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from samples import identity_number, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, NotRunningError, RuntimeUnavailableError, UsageError, WaitTimeoutError
from quorumkit.identities import identities_of
from quorumkit.mark import KUBERNETES_LABEL, ensure_mark, read_mark
from quorumkit.node.status import NodeStatus
from quorumkit.progress import silent
from quorumkit.providers import (
    belongings,
    kubectl,
    kubernetes,
    kubernetes_host,
    kubernetes_pods,
    kubernetes_release,
    provider_of,
)

NODES = 3


class Cluster:
    """What kubectl and helm answer. Nothing else is asked."""

    def __init__(self, mark: Callable[[], str | None]) -> None:
        self.commands: list[str] = []
        self.installed = False
        self.ready = True
        """Whether pods come up."""
        self.agreed = True
        self.first = 0
        """The nodes have the identities from number `first` + 1 on."""
        self.claims: dict[str, str | None] = {}
        """Their marks by name."""
        self.events: list[str] = []
        self.mark = mark
        self.restarted = 0

    async def run(self, command: Sequence[str], *, stdin: bytes | None = None) -> str:
        words = [word for word in command if not word.startswith("--")]
        self.commands.append(" ".join(words))
        match words:
            case ["helm", "list", *_]:
                return json.dumps([{"chart": "quorumkit-0.1.0"}] if self.installed else [])
            case ["helm", "upgrade", *_]:
                self.installed = True
                for number in range(NODES):
                    self.claims.setdefault(f"data-bank-{number}", self.mark())
            case ["helm", "uninstall", *_]:
                self.installed = False
            case ["kubectl", "get", "statefulset", *_]:
                return json.dumps(self._stateful_set()) if self.installed else ""
            case ["kubectl", "get", "persistentvolumeclaims", *_]:
                return self._list(self._labelled(name, mark) for name, mark in self.claims.items())
            case ["kubectl", "get", "pods", *_]:
                return self._list(map(self._pod, range(NODES))) if self.installed and self.ready else ""
            case ["kubectl", "get", "events", *_]:
                return self._list({"message": message} for message in self.events)
            case ["kubectl", "exec", *_]:
                return "\n".join(json.dumps([self._status(number).to_json()]) for number in range(1, NODES + 1))
            case ["kubectl", "label", "persistentvolumeclaims", *claims, label]:
                self.claims |= dict.fromkeys(claims, label.partition("=")[2])
            case ["kubectl", "delete", "persistentvolumeclaims", *claims]:
                for claim in claims:
                    del self.claims[claim]
            case ["kubectl", "delete", "pods", *_]:
                self.restarted += 1
            case ["kubectl", "config", *_]:
                return "default"
            case _:
                assert words[:2] == ["kubectl", "wait"], words
        return ""

    def did(self, what: str) -> bool:
        return any(command.startswith(what) for command in self.commands)

    def _stateful_set(self) -> dict[str, Any]:
        found = self._labelled("bank", self.mark())
        found["metadata"]["generation"] = 1
        return found | {"status": {"observedGeneration": 1, "updateRevision": "one"}}

    def _pod(self, number: int) -> dict[str, Any]:
        return {
            "metadata": {
                "name": f"bank-{number}", "uid": f"{number}-{self.restarted}",
                "labels": {"controller-revision-hash": "one"},
            },
            "status": {"podIP": f"10.0.0.{number}", "containerStatuses": [{"name": "node", "state": {"running": {}}}]},
        }  # fmt: skip

    def _status(self, number: int) -> NodeStatus:
        status = NodeStatus(f"node{number}", number, "validator", state="exchanging", error="waits for node2", pid=7)
        if self.agreed:
            identity = identity_number(self.first + number)
            status.state, status.error, status.account = "running", None, identity.account
            status.enode = f"enode://{identity.enode_key}@bank-{number - 1}:30303?discport=0"
        return status

    @staticmethod
    def _labelled(name: str, mark: str | None) -> dict[str, Any]:
        return {"metadata": {"name": name, "labels": {KUBERNETES_LABEL: mark} if mark else {}}}

    @staticmethod
    def _list(items: Any) -> str:
        return json.dumps({"items": [*items]})


@pytest.fixture
def directory(tmp_path: Path) -> NetworkDirectory:
    return NetworkDirectory(tmp_path / "bank")


@pytest.fixture
def cluster(directory: NetworkDirectory, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(lambda: read_mark(directory.path))
    for module in (belongings, kubectl, kubernetes, kubernetes_host, kubernetes_pods, kubernetes_release):
        monkeypatch.setattr(module, "run", made.run)
    monkeypatch.setattr(kubernetes_host.KubernetesHost, "look_every", 0.001)
    monkeypatch.setattr(kubernetes, "PODS_POLL", 0.001)
    monkeypatch.setattr(kubernetes, "REPLACED_PODS_POLL", 0.001)
    return made


SPEC = spec_of(NODES, runtime="kubernetes")


def form(directory: NetworkDirectory, timeout: float = 10) -> list[str]:
    identities = identities_of(directory, SPEC, provider_of(directory, SPEC))
    network = asyncio.run(identities.form(silent, timeout))
    return [node.identity.account for node in network.nodes]


ACCOUNTS = [identity_number(number).account for number in (1, 2, 3)]


def test_pods_that_agree_are_written_down_and_no_key_is(directory: NetworkDirectory, cluster: Cluster) -> None:
    assert form(directory) == ACCOUNTS
    assert cluster.did("helm upgrade bank")
    network = directory.load()
    assert network.node(1).endpoints.p2p.host.startswith("bank-0.")
    provider = provider_of(directory, SPEC)
    assert [(status.state, status.pid) for status in asyncio.run(provider.status(network))] == [("running", None)] * 3
    assert asyncio.run(provider.stop(silent)) is True
    asyncio.run(provider.discard(silent))
    assert cluster.claims == {}


def test_what_another_network_has_under_the_name_is_left_alone(directory: NetworkDirectory, cluster: Cluster) -> None:
    cluster.claims = {"data-bank-0": "b" * 16}
    with pytest.raises(RuntimeUnavailableError, match="another network named bank left data-bank-0"):
        form(directory)
    cluster.claims, cluster.installed, cluster.mark = {}, True, lambda: "b" * 16
    provider = provider_of(directory, SPEC)
    directory.path.mkdir(exist_ok=True)
    ensure_mark(directory.path)
    for attempt in (provider.look, lambda: provider.stop(silent), lambda: provider.restart_nodes(["node1"])):
        with pytest.raises(RuntimeUnavailableError, match="another network is named bank here"):
            asyncio.run(attempt())
    assert not any(command.startswith(("helm upgrade", "helm uninstall", "kubectl delete"))
                   for command in cluster.commands)  # fmt: skip


def test_claims_without_a_mark_get_it_once_their_nodes_are_known(directory: NetworkDirectory, cluster: Cluster) -> None:
    form(directory)
    cluster.claims = dict.fromkeys(cluster.claims)
    cluster.first = 10
    cluster.installed = False
    with pytest.raises(NodeError, match="not those that are known here"):
        form(directory)
    assert not cluster.installed and set(cluster.claims.values()) == {None}, "strangers' claims are not marked"
    cluster.first = 0
    assert form(directory) == ACCOUNTS
    assert set(cluster.claims.values()) == {read_mark(directory.path)}


def test_a_lost_claim_is_told_and_all_lost_ones_start_nothing(directory: NetworkDirectory, cluster: Cluster) -> None:
    form(directory)
    del cluster.claims["data-bank-1"]
    with pytest.raises(NodeError, match="node2: lost its disk"):
        form(directory)
    cluster.claims.clear()
    cluster.commands.clear()
    with pytest.raises(NodeError, match="claims are gone"):
        form(directory)
    assert not cluster.did("helm upgrade")


def test_pods_that_never_come_are_told_with_the_clusters_reason(directory: NetworkDirectory, cluster: Cluster) -> None:
    cluster.ready = False
    cluster.events = ["pods are forbidden:\n exceeded quota"]
    with pytest.raises(WaitTimeoutError, match=r"node1 is stopped; .*; pods are forbidden: exceeded quota$"):
        form(directory, timeout=0.1)


def test_pods_that_do_not_agree_are_told_with_what_they_wait_for(directory: NetworkDirectory, cluster: Cluster) -> None:
    cluster.agreed = False
    with pytest.raises(WaitTimeoutError, match=r"node3 is exchanging \(waits for node2\)$") as late:
        form(directory, timeout=0.1)
    assert late.value.hint and "kubectl get pods" in late.value.hint
    assert cluster.installed


def test_watching_ends_when_the_release_is_gone(directory: NetworkDirectory, cluster: Cluster) -> None:
    form(directory)
    provider, network = provider_of(directory, SPEC), directory.load()

    async def watch() -> list[str]:
        async for statuses in provider.watch(network):
            cluster.installed = False
            states.append(statuses[0].state)
        return states

    states: list[str] = []
    with pytest.raises(NotRunningError):
        asyncio.run(watch())
    assert states == ["running", "stopped"][: len(states)] and states[0] == "running"


def test_restarted_pods_are_waited_for_and_what_a_stateful_set_cannot_do_is_said(
    directory: NetworkDirectory, cluster: Cluster
) -> None:
    form(directory)
    provider = provider_of(directory, SPEC)
    asyncio.run(provider.restart_nodes(["node2"]))
    assert cluster.did("kubectl delete pods bank-1")
    for refused in (provider.start_nodes(["node1"]), provider.stop_nodes(["node1"])):
        with pytest.raises(UsageError):
            asyncio.run(refused)
    cluster.installed = False
    with pytest.raises(NotRunningError):
        asyncio.run(provider.restart_nodes(["node2"]))


def test_commands_name_their_pod(directory: NetworkDirectory, cluster: Cluster) -> None:
    form(directory)
    provider, network = provider_of(directory, SPEC), directory.load()
    assert provider.logs(["node2"], follow=False, lines=5).arguments == ["kubectl", "logs", "bank-1", "--tail=5"]
    assert "in (0,2)" in " ".join(provider.logs(["node1", "node3"], follow=True, lines=5).arguments)
    words = provider.execute(network.node(3), ["id"]).arguments
    assert "bank-2" in words and words[-1] == "id" and f"QUORUMKIT_ACCOUNT={ACCOUNTS[2]}" in words
    assert provider.console(network.node(1), execute="1").arguments[-2:] == ["--exec", "1"]
