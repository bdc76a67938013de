"""From `helm install` to verified, against bare pods of the same image becoming ready.

    .venv/bin/python benchmarks/kubernetes.py [--image registry.example/quorumkit/node:1] [--nodes 4 10] [--rounds 3]

The cluster must be able to start that image. Each round, for each contender in turn, in a namespace of its own:

pods    a StatefulSet of N pods that sleep, with the same requests and no claims, until all are ready
claims  the same with a claim each, as the chart's pods have
ready   `helm install` of the chart until all its pods are ready: the client is up and blocks come
helm    `helm install`, then `helm test`: a contract read from every node
cli     `quorumkit up --verify --runtime kubernetes`, its own start included
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import QUORUMKIT, Load, Table, options, rounds_of, run, skip, spread
from quorumkit.render.chart import chart_values
from quorumkit.spec import parse_spec
from support.clique import CLIQUE, on_clique

CHART = Path(__file__).resolve().parent.parent / "charts/quorumkit"
REQUESTS = {"cpu": "100m", "memory": "384Mi"}  # the chart's defaults
PATIENCE = "600s"
LOADER = "QUORUMKIT_TEST_IMAGE_LOADER"
"""The variable that says how to bring a local image into the cluster; the tests have the same."""


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
    return parse_spec(on_clique({"name": "bench", "runtime": "kubernetes", "nodes": {"validators": nodes}}))


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
        (Path(folder) / "quorumkit.yaml").write_text(json.dumps(on_clique(spec)))
        run(*QUORUMKIT, "up", folder, "--verify", "--timeout", "600")


CONTENDERS: dict[str, Callable[[str, str, int], None]] = {
    "pods": lambda namespace, image, nodes: bare(namespace, image, nodes, claims=False),
    "claims": lambda namespace, image, nodes: bare(namespace, image, nodes, claims=True),
    "ready": ready,
    "helm": by_helm,
    "cli": by_cli,
}


def timed(contender: Callable[[str, str, int], None], image: str, nodes: int, *, tidy: bool) -> float:
    """Seconds by the clock; `tidy` waits until nothing is left of the round, which must not take the next one's
    processors."""
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    run("kubectl", "create", "namespace", namespace)
    try:
        began = time.monotonic()
        contender(namespace, image, nodes)
        return time.monotonic() - began
    finally:
        run("kubectl", "delete", "namespace", namespace, f"--timeout={PATIENCE}", f"--wait={str(tidy).lower()}")


def check_cluster() -> None:
    """Skips where there is no cluster, or nothing to reach it with."""
    for tool in ("helm", "kubectl"):
        if shutil.which(tool) is None:
            skip(f"{tool} is not on PATH")
    if subprocess.run(["kubectl", "version", "--request-timeout=20s"], capture_output=True, check=False).returncode:
        skip("no cluster answers kubectl")


def image_of_this_checkout() -> str:
    """Made here and brought into the cluster, as the tests do it."""
    loader = os.environ.get(LOADER)
    if not loader:
        skip(f"no --image, and {LOADER} does not say how to bring a local image into the cluster")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
        skip("no --image, and no Docker engine to build one with")
    image = str(json.loads(run(*QUORUMKIT, "image", "build", *CLIQUE, "--json"))["tag"])
    run(*shlex.split(loader), image)
    return image


def main() -> None:
    parser = options(__doc__, rounds=3)
    parser.add_argument("--image", help="one that the cluster can start; where not given, it is built and brought in")
    parser.add_argument("--nodes", type=int, nargs="+", default=[4, 10])
    arguments = parser.parse_args()
    check_cluster()
    image = arguments.image or image_of_this_checkout()
    rounds = rounds_of(arguments)
    table = Table("nodes", "rounds", "load", *(f"`{name}`" for name in CONTENDERS))
    for nodes in [1] if arguments.quick else arguments.nodes:
        load = Load()
        seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        for _ in range(rounds):
            for name, contender in CONTENDERS.items():
                seconds[name].append(timed(contender, image, nodes, tidy=not arguments.quick))
            load.note()
            print("  ".join(f"{name} {values[-1]:.1f}" for name, values in seconds.items()), file=sys.stderr)
        table.row(nodes, rounds, load, *(spread(values, " s") for values in seconds.values()))


if __name__ == "__main__":
    main()
