"""From `helm install` to verified, against bare pods of the same image becoming ready.

    .venv/bin/python benchmarks/kubernetes.py --image registry.example/quorumkit/node:1 [--nodes 4 10] [--repeat 3]

The cluster must be able to start that image. Each round, for each contender in turn, in a namespace of its own:

pods    a StatefulSet of N pods that sleep, with the same requests and no claims, until all are ready
claims  the same with a claim each, as the chart's pods have
ready   `helm install` of the chart until all its pods are ready: the client is up and blocks come
helm    `helm install`, then `helm test`: a contract read from every node
cli     `quorumkit up --verify --runtime kubernetes`, its own start included
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from quorumkit.render.chart import chart_values
from quorumkit.spec import parse_spec

CHART = Path(__file__).resolve().parent.parent / "charts/quorumkit"
QUORUMKIT = [sys.executable, "-m", "quorumkit"]
REQUESTS = {"cpu": "100m", "memory": "384Mi"}  # the chart's defaults
PATIENCE = "600s"


def run(*command: str | Path, input: str | None = None) -> None:
    done = subprocess.run([*map(str, command)], input=input, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def wait_ready(namespace: str, nodes: int) -> None:
    path = f"--for=jsonpath={{.status.readyReplicas}}={nodes}"
    run("kubectl", "--namespace", namespace, "wait", path, "statefulset", "--all", f"--timeout={PATIENCE}")


def bare(namespace: str, image: str, nodes: int, *, claims: bool) -> None:
    labels = {"bench": "bare"}
    container: dict[str, Any] = {
        "name": "bare", "image": image, "command": ["busybox", "sleep", "100000"],
        "imagePullPolicy": "IfNotPresent", "resources": {"requests": REQUESTS},
    }  # fmt: skip
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    if claims:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    stateful_set = {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "bare"},
        "spec": {
            "serviceName": "bare", "replicas": nodes, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
            },
            "volumeClaimTemplates": [claim] if claims else [],
        },
    }  # fmt: skip
    run("kubectl", "--namespace", namespace, "apply", "--filename=-", input=json.dumps(stateful_set))
    wait_ready(namespace, nodes)


def install(namespace: str, image: str, nodes: int) -> None:
    values = chart_values(spec_of(nodes), image=image, mark="")
    run("helm", "--namespace", namespace, "install", "bench", CHART, "--values=-", input=json.dumps(values))


def spec_of(nodes: int) -> Any:
    return parse_spec({"name": "bench", "runtime": "kubernetes", "nodes": {"validators": nodes}})


def ready(namespace: str, image: str, nodes: int) -> None:
    install(namespace, image, nodes)
    wait_ready(namespace, nodes)


def by_helm(namespace: str, image: str, nodes: int) -> None:
    install(namespace, image, nodes)
    run("helm", "--namespace", namespace, "test", "bench", "--timeout", PATIENCE)


def by_cli(namespace: str, image: str, nodes: int) -> None:
    with tempfile.TemporaryDirectory(prefix="qk") as folder:
        spec = {
            "name": "bench", "runtime": "kubernetes", "nodes": {"validators": nodes},
            "kubernetes": {"namespace": namespace, "image": image},
        }  # fmt: skip
        (Path(folder) / "quorumkit.yaml").write_text(json.dumps(spec))
        run(*QUORUMKIT, "up", folder, "--verify", "--timeout", "600")


CONTENDERS: dict[str, Callable[[str, str, int], None]] = {
    "pods": lambda namespace, image, nodes: bare(namespace, image, nodes, claims=False),
    "claims": lambda namespace, image, nodes: bare(namespace, image, nodes, claims=True),
    "ready": ready,
    "helm": by_helm,
    "cli": by_cli,
}


def timed(contender: Callable[[str, str, int], None], image: str, nodes: int) -> float:
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    run("kubectl", "create", "namespace", namespace)
    try:
        began = time.monotonic()
        contender(namespace, image, nodes)
        return time.monotonic() - began
    finally:
        # What is left of one round must not take the next one's processors.
        run("kubectl", "delete", "namespace", namespace, f"--timeout={PATIENCE}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True)
    parser.add_argument("--nodes", type=int, nargs="+", default=[4, 10])
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    for nodes in arguments.nodes:
        seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(arguments.repeat):
            for name, contender in CONTENDERS.items():
                seconds[name].append(timed(contender, arguments.image, nodes))
            print("  ".join(f"{name} {values[-1]:.1f}" for name, values in seconds.items()), file=sys.stderr)
        print(f"{nodes} nodes, {os.cpu_count()} cores, {arguments.repeat} rounds, load {os.getloadavg()[1]:.1f}")
        for name, values in seconds.items():
            ratio = median(values) / median(seconds["claims"])
            spread = f"from {min(values):5.1f} to {max(values):5.1f}"
            print(f"{name:<7} median {median(values):5.1f} s   {spread}   {ratio:4.2f} of claims")


if __name__ == "__main__":
    main()
