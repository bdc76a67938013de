"""The chart as platforms use it, on a real cluster: in a chart of charts, with much beside a node, on a claim that is
there already."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import CHART, IMAGE, TAG, Release, command, eventually, is_ready, restarts

OVER_WEBSOCKET = """
import asyncio, aiohttp, sys
async def main():
    async with aiohttp.ClientSession() as session, session.ws_connect(sys.argv[1]) as socket:
        await socket.send_str('{"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}')
        print((await socket.receive_json(timeout=20))["result"])
asyncio.run(main())
"""

BESIDE = "trap exit TERM; sleep infinity & wait"


@pytest.fixture
def release(image: str, new_namespace: Callable[[], str]) -> Iterator[Release]:
    made = Release(new_namespace())
    yield made
    command("helm", "--namespace", made.namespace, "uninstall", made.name, "--ignore-not-found")
    made.kubectl("delete", "pods", "--all", "--grace-period=1", "--ignore-not-found")


def install(release: Release, chart: Path, values: dict[str, Any]) -> None:
    options = ["--namespace", release.namespace, "--values=-"]
    done = command("helm", "upgrade", "--install", release.name, chart, *options, input=json.dumps(values))
    assert "would violate PodSecurity" not in done.stderr


def test_in_a_chart_of_charts_with_all_that_may_stand_beside_a_node(release: Release, tmp_path: Path) -> None:
    umbrella = tmp_path / "umbrella"
    shutil.copytree(CHART, umbrella / "charts/quorumkit")
    dependency = {"name": "quorumkit", "version": "0.1.0", "condition": "quorumkit.enabled"}
    chart = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": [dependency]}
    (umbrella / "Chart.yaml").write_text(json.dumps(chart))
    values = {
        "enabled": True,
        "replicaCount": 3,
        "nameOverride": "ledger",
        "commonLabels": {"team": "ledger", "audited": True},
        "image": {"repository": IMAGE, "tag": TAG},
        "network": {"name": "true", "consensus": {"kind": "clique"},
                    "engine": {"verbosity": 4, "clientArguments": ["--identity=a bank"]}},
        "serviceAccount": {"create": True},
        "persistence": {"size": "1Gi"},
        "secretEnv": {"API_TOKEN": "hush"},
        "envFrom": [{"configMapRef": {"name": "{{ .Release.Name }}-more"}}],
        "extraEnv": [{"name": "GOMEMLIMIT", "value": 900000000}],
        "initContainers": [{"name": "first", "image": f"{IMAGE}:{TAG}", "command": ["sh", "-c", "echo > /shared/first"],
                            "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
        "extraContainers": [{"name": "beside", "image": f"{IMAGE}:{TAG}", "command": ["sh", "-c", BESIDE],
                             "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}],
        "extraVolumes": [{"name": "shared", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "shared", "mountPath": "/shared", "readOnly": True}],
        "rpc": {"ws": {"enabled": True, "port": 8546}, "http": {"modules": ["eth", "web3", "debug"]},
                "dangerousModules": ["debug"]},
        "terminationGracePeriodSeconds": 60,
    }  # fmt: skip
    release.kubectl("create", "configmap", f"{release.name}-more", "--from-literal=FROM_THE_MAP=yes")
    install(release, umbrella, {"quorumkit": values})
    release.whole(3)
    assert "verified" in release.test()
    pod = f"{release.name}-0"
    assert "beside" in {each["name"] for each in release.pod(0)["spec"]["containers"]}
    assert restarts(release.pod(0)) == 0
    inside = release.kubectl("exec", pod, "--", "sh", "-c", "echo $API_TOKEN $FROM_THE_MAP $GOMEMLIMIT; ls /shared")
    assert inside.split() == ["hush", "yes", "900000000", "first"]
    service = f"ws://{release.name}-rpc:8546"
    assert release.kubectl("exec", pod, "--", "python3", "-c", OVER_WEBSOCKET, service).strip() == hex(1337)
    assert "a bank" in release.console(0, "web3.version.node")
    ask = '{"jsonrpc":"2.0","id":1,"method":"debug_traceBlockByNumber","params":["0x1"]}'
    header = "Content-Type: application/json"
    answer = release.kubectl(
        "exec", pod, "--", "wget", "-qO-", "--header", header, "--post-data", ask, "http://127.0.0.1:8545"
    )
    assert json.loads(answer)["result"] == []
    assert release.get("configmap", f"{release.name}-spec")["metadata"]["labels"]["team"] == "ledger"
    said = release.kubectl("exec", pod, "--", "quorumkit", "node", "status")
    assert said.startswith("node1: running, block ")
    assert "2 of 2 peers" in said


def test_on_a_claim_that_is_there_already_and_a_node_that_waits_says_for_whom(release: Release) -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "mine"},
             "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}  # fmt: skip
    release.kubectl("apply", "--filename=-", input=json.dumps(claim))
    settings = "replicaCount=1,persistence.existingClaim=mine"
    release.install("--set", settings)
    [before] = release.whole(1)
    assert [each["metadata"]["name"] for each in release.get("persistentvolumeclaims")["items"]] == ["mine"]
    release.delete_pods(0)
    [after] = release.whole(1)
    assert after["account"] == before["account"]
    assert "network.id" not in release.install("--set", settings).stderr  # an upgrade finds nothing amiss
    release.uninstall()
    # One more node than the cluster has room for, if each must be on a host of its own.
    count = len(json.loads(command("kubectl", "get", "nodes", "--output=json").stdout)["items"]) + 1
    release.install("--set", f"replicaCount={count},spread=hard,persistence.size=1Gi")
    last = eventually(lambda: placed(release) if len(placed(release)) == count - 1 else None, "all pods but one run")
    waits = f"waits for the identity of node{ordinal_without(last, count)}"
    eventually(lambda: waits in release.kubectl("exec", last[0], "--", "quorumkit", "node", "status", code=None), waits)
    assert not is_ready(release.get("pod", last[0]))


def placed(release: Release) -> list[str]:
    """The pods whose containers run."""
    return sorted(name for name, pod in release.pods().items() if pod["status"]["phase"] == "Running")


def ordinal_without(pods: list[str], count: int) -> int:
    return next(n for n in range(1, count + 1) if f"mynet-{n - 1}" not in pods)
