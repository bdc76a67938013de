"""A release of the chart on a real cluster, through helm and kubectl as a person would use them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.clique import CLIQUE
from support.commands import poll

CHART = Path(__file__).parents[2] / "charts/quorumkit"

PATIENCE = 240.0
"""Seconds that anything may take here: the machine may be busy with other things."""

IMAGE = "quorumkit/node"
TAG, NEXT_TAG = "test", "test-next"
LOADER = "QUORUMKIT_TEST_IMAGE_LOADER"
"""The variable that says how to bring a local image into the cluster."""


def eventually(check: Callable[[], Any], what: str, *, timeout: float = PATIENCE, pause: float = 0.5) -> Any:
    """What `check` returns, once it is true."""
    return poll(check, what, timeout=timeout, pause=pause)


def command(*words: str | Path, input: str | None = None, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, timeout=2 * PATIENCE, check=False, input=input
    )
    assert code is None or done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def template(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """`helm template`, which asks no cluster."""
    return command("helm", "template", "mynet", CHART, "--kube-version", "1.34.0", *arguments, code=code)


@dataclass
class Release:
    """One, in a namespace of its own."""

    namespace: str
    name: str = "mynet"

    def kubectl(self, *arguments: str, code: int | None = 0, input: str | None = None) -> str:
        return command("kubectl", "--namespace", self.namespace, *arguments, code=code, input=input).stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", "--output=json", *arguments))

    def install(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Installs the chart, or upgrades what is there; on Clique, where the arguments say no other."""
        options = ["--namespace", self.namespace, "--set", f"image.repository={IMAGE},image.tag={TAG}"]
        options += ["--set", f"network.consensus.kind={CLIQUE[1]}"]
        return command("helm", "upgrade", "--install", self.name, CHART, *options, *arguments, code=code)

    def test(self) -> str:
        """`helm test` as NOTES.txt says it; what it says."""
        return command("helm", "--namespace", self.namespace, "test", self.name, "--logs", "--timeout", "6m").stdout

    def uninstall(self) -> None:
        command("helm", "--namespace", self.namespace, "uninstall", self.name, "--wait")
        self.kubectl("delete", "pods", "--selector=app.kubernetes.io/component=test", "--ignore-not-found")
        self.kubectl("wait", "--for=delete", "pods", "--all", "--timeout=180s")

    def pods(self) -> dict[str, dict[str, Any]]:
        listed = self.get("pods", "--selector=app.kubernetes.io/component=node")["items"]
        return {pod["metadata"]["name"]: pod for pod in listed}

    def pod(self, index: int) -> dict[str, Any]:
        return dict(self.get("pod", f"{self.name}-{index}"))

    def last_words(self, index: int) -> str:
        """What a pod's container said at its last end; empty where it has not ended."""
        for container in self.pod(index)["status"].get("containerStatuses", []):
            for state in (container["state"], container["lastState"]):
                if "terminated" in state:
                    return str(state["terminated"].get("message", ""))
        return ""

    def delete_pods(self, *indexes: int) -> None:
        """Returns when none of them is there any more; others of their names may be already."""
        names = [f"{self.name}-{index}" for index in indexes]
        uids = {name: pod["metadata"]["uid"] for name, pod in self.pods().items() if name in names}
        self.kubectl("delete", "pods", "--wait=false", *names)
        # kubectl's own wait can miss that a pod went, where another of its name is there at once.
        eventually(
            lambda: not uids.items() & {name: pod["metadata"]["uid"] for name, pod in self.pods().items()}.items(),
            f"{', '.join(names)} went",
        )

    def node(self, index: int) -> dict[str, Any] | None:
        """What a node program tells of its node."""
        answer = self.kubectl("exec", f"{self.name}-{index}", "--", "wget", "-q", "-O", "-",
                              "http://127.0.0.1:9545/status", code=None)  # fmt: skip
        return dict(json.loads(answer)[0]) if answer else None

    def console(self, index: int, script: str) -> str:
        return self.kubectl("exec", f"{self.name}-{index}", "--", "quorumkit", "console", "--exec", script).strip()

    def block_hash(self, index: int, number: int) -> str:
        return str(json.loads(self.console(index, f"eth.getBlock({number}).hash")))

    def whole(self, count: int) -> list[dict[str, Any]]:
        """Waits until so many pods are ready and each node sees all the others, and misses nobody who was scaled away;
        what they tell then."""

        def check() -> list[dict[str, Any]] | None:
            pods = self.pods()
            if len(pods) != count or not all(map(is_ready, pods.values())):
                return None
            nodes = [self.node(index) for index in range(count)]
            complete = [node for node in nodes if node and node["peers"] == node["expected_peers"] == count - 1]
            return complete if len(complete) == count else None

        return list(eventually(check, f"{count} pods in step, each with {count - 1} peers"))

    def grows_beyond(self, index: int, block: int) -> int:
        """Waits for a newer block on a node; its number."""
        return int(
            eventually(
                lambda: (node["block"] or 0) > block and node["block"] if (node := self.node(index)) else None,
                f"a block after {block} on {self.name}-{index}",
            )
        )


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def restarts(pod: dict[str, Any]) -> int:
    return sum(int(each["restartCount"]) for each in pod["status"]["containerStatuses"])
