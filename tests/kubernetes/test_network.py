"""The chart's network of four on a real cluster. The tests share one release, in the order they stand in."""

from __future__ import annotations

import json
from functools import partial

import pytest
from cluster import CHART, IMAGE, NEXT_TAG, TAG, Release, command, eventually, is_ready, restarts

QUORUM = 3  # of 4


def four(release: Release, *settings: str) -> None:
    """Installs, or upgrades to, what the tests here have in common."""
    release.install("--set", ",".join(["replicaCount=4", *settings]))


@pytest.fixture(scope="module", autouse=True)
def installed(release: Release) -> Release:
    four(release)
    return release


def secret(release: Release) -> str:
    return str(release.get("secret", f"{release.name}-join")["data"]["join-secret"])


def evict(release: Release, index: int) -> str:
    """Asks for a pod to go as `kubectl drain` does; what the cluster says."""
    pod = f"{release.name}-{index}"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": pod, "namespace": release.namespace}}  # fmt: skip
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction"
    done = command("kubectl", "create", "--raw", path, "--filename=-", input=json.dumps(eviction), code=None)
    return done.stdout + done.stderr


def test_helm_test_verifies_it_and_shows_its_log(release: Release) -> None:
    assert "verified" in release.test()
    assert all(name.rpartition("-")[2].isdecimal() for name in release.pods())
    [left] = [pod for pod in release.get("pods")["items"] if pod["metadata"]["name"] not in release.pods()]
    assert (left["metadata"]["name"], left["status"]["phase"]) == ("mynet-verify", "Succeeded")


def test_a_pod_that_is_not_ready_tells_why(release: Release) -> None:
    assert "node1: running, block " in release.kubectl("exec", "mynet-0", "--", "quorumkit", "node", "status")


def test_it_runs_under_the_restricted_standard_with_a_volume_each(release: Release) -> None:
    nodes = release.whole(4)
    assert [node["role"] for node in nodes] == ["validator"] * 4
    assert len({node["enode"].partition("@")[0] for node in nodes}) == 4
    claims = {pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] for pod in release.pods().values()}
    assert claims == {f"data-mynet-{index}" for index in range(4)}
    for pod in release.pods().values():
        assert restarts(pod) == 0
        listing = release.kubectl("exec", pod["metadata"]["name"], "--", "ls", "-ln", "/node/data/geth/nodekey")
        assert listing.startswith("-rw-------"), "nobody else may read the key, whatever fsGroup does"


def test_json_rpc_answers_under_the_services_names_and_to_no_other_name(release: Release) -> None:
    release.whole(4)
    request = '{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'
    ask = "wget -q -O - --header 'Content-Type: application/json' --header 'Host: %s' --post-data '%s' %s"

    def answer(host: str) -> str:
        return release.kubectl(
            "exec", "mynet-1", "--", "sh", "-c", ask % (host, request, "http://127.0.0.1:8545"), code=None
        )

    for host in ("mynet-rpc", f"mynet-rpc.{release.namespace}.svc.cluster.local", "mynet-1.mynet-peers"):
        assert json.loads(answer(host))["result"] == hex(1337), host
    assert "result" not in answer("attacker.example")


def test_an_evicted_pod_comes_back_elsewhere_as_who_it_was_and_a_second_may_not_go_meanwhile(release: Release) -> None:
    before = release.whole(4)
    pods = release.pods()
    known = before[1]["block"]
    known_hash = release.block_hash(1, known)
    assert "Success" in evict(release, 1)
    assert "would violate the pod's disruption budget" in evict(release, 2)
    eventually(
        lambda: "mynet-1" in (now := release.pods()) and now["mynet-1"]["metadata"]["uid"]
        != pods["mynet-1"]["metadata"]["uid"],
        "a new pod",
    )  # fmt: skip
    after = release.whole(4)
    now = release.pods()
    assert now["mynet-1"]["status"]["podIP"] != pods["mynet-1"]["status"]["podIP"]
    assert now["mynet-1"]["spec"]["volumes"][0] == pods["mynet-1"]["spec"]["volumes"][0]
    assert after[1]["account"] == before[1]["account"]
    assert after[1]["enode"].partition("@")[0] == before[1]["enode"].partition("@")[0]
    assert release.block_hash(1, known) == known_hash
    for index in (0, 2, 3):
        assert after[index]["pid"] == before[index]["pid"], "no client of another pod was started again"
        assert now[f"mynet-{index}"]["metadata"]["uid"] == pods[f"mynet-{index}"]["metadata"]["uid"]
        assert restarts(now[f"mynet-{index}"]) == 0
    address = now["mynet-1"]["status"]["podIP"]

    def learned(index: int) -> bool:
        record = json.loads(release.kubectl("exec", f"mynet-{index}", "--", "cat", "/node/node.json"))
        return any(f"@{address}:" in peer["enode"] for peer in record["peers"])

    for index in (0, 2, 3):
        eventually(partial(learned, index), f"mynet-{index} knows the new address")


def test_all_pods_deleted_at_once_go_on_with_their_chain(release: Release) -> None:
    before = release.whole(4)
    known = min(node["block"] for node in before)
    known_hash = release.block_hash(0, known)
    release.delete_pods(0, 1, 2, 3)
    after = release.whole(4)
    assert [node["account"] for node in after] == [node["account"] for node in before]
    release.grows_beyond(0, known)
    assert [release.block_hash(index, known) for index in range(4)] == [known_hash] * 4


def test_the_join_secret_and_the_validators_stay_through_upgrades(release: Release) -> None:
    present = secret(release)
    four(release, "podAnnotations.example/upgraded=yes")
    assert secret(release) == present
    assert "validators: 4" in release.get("configmap", "mynet-spec")["data"]["quorumkit.yaml"]


def test_on_delete_changes_a_pod_when_it_is_deleted_and_no_sooner(release: Release) -> None:
    before = release.pods()
    four(release, f"image.tag={NEXT_TAG}")
    # The controller has seen the new template once it names another revision for the update.
    eventually(
        lambda: (status := release.get("statefulset", "mynet")["status"])["updateRevision"]
        != status["currentRevision"],
        "a new revision",
    )  # fmt: skip
    release.delete_pods(3)
    release.whole(4)
    images = {name: pod["spec"]["containers"][0]["image"] for name, pod in release.pods().items()}
    assert images == {name: f"{IMAGE}:{NEXT_TAG if name == 'mynet-3' else TAG}" for name in before}


def test_a_rolling_update_stops_at_its_partition_and_the_chain_goes_on(release: Release) -> None:
    before = release.whole(4)
    uids = {name: pod["metadata"]["uid"] for name, pod in release.pods().items()}
    four(release, f"image.tag={NEXT_TAG}", "updateStrategy.type=RollingUpdate,updateStrategy.partition=2",
         "minReadySeconds=2")  # fmt: skip
    eventually(
        lambda: release.get("statefulset", "mynet")["status"].get("updatedReplicas") == 2
        and len(pods := release.pods()) == 4 and all(map(is_ready, pods.values())),
        "pods 2 and 3 updated",
    )  # fmt: skip
    now = release.pods()
    images = {name: pod["spec"]["containers"][0]["image"].rpartition(":")[2] for name, pod in now.items()}
    assert images == {"mynet-0": TAG, "mynet-1": TAG, "mynet-2": NEXT_TAG, "mynet-3": NEXT_TAG}
    assert {name for name, pod in now.items() if pod["metadata"]["uid"] != uids[name]} <= {"mynet-2", "mynet-3"}
    after = release.whole(4)
    assert after[0]["pid"] == before[0]["pid"]
    release.grows_beyond(0, before[0]["block"])


def test_scaled_up_it_has_an_observer_that_follows(release: Release) -> None:
    validators = release.whole(4)
    release.install("--set", "replicaCount=5")
    nodes = release.whole(5)
    assert [node["role"] for node in nodes] == ["validator"] * 4 + ["observer"]
    assert [node["account"] for node in nodes[:4]] == [node["account"] for node in validators]
    reached = release.grows_beyond(4, nodes[4]["block"])
    assert release.block_hash(4, reached) == release.block_hash(0, reached)
    assert json.loads(release.console(0, "clique.getSigners().length")) == 4
    release.test()


def test_scaling_down_is_refused_where_blocks_would_end(release: Release) -> None:
    for count in (1, 2):
        said = release.install("--set", f"replicaCount={count}", code=1).stderr
        assert f"blocks need {QUORUM} of the 4 validators, so {count} nodes would stop the chain" in said
    assert release.get("statefulset", "mynet")["spec"]["replicas"] == 5
    forced = command("helm", "--namespace", release.namespace, "upgrade", release.name, CHART,
                     "--set", "network.consensus.kind=clique,replicaCount=2,force.scaleDown=true",
                     "--dry-run=server")  # fmt: skip
    assert "CAUTION: 2 of the 4 validators in the genesis are scaled away" in forced.stdout


def test_the_genesis_cannot_get_other_validators(release: Release) -> None:
    said = release.install("--set", "replicaCount=5,validators=5", code=1).stderr
    assert "this network was made with 4, and the genesis cannot change to 5" in said


def test_scaled_down_it_keeps_the_validators_and_the_claims(release: Release) -> None:
    four(release)
    nodes = release.whole(4)
    assert len(nodes) == 4
    assert len(release.get("persistentvolumeclaims")["items"]) == 5


def test_uninstalled_it_leaves_only_the_claims_and_installed_again_it_goes_on(release: Release) -> None:
    before = release.whole(4)
    known = before[0]["block"]
    known_hash = release.block_hash(0, known)
    release.uninstall()
    left = command("kubectl", "api-resources", "--namespaced", "--verbs=list,delete", "--output=name").stdout.split()
    kinds = [kind for kind in left if not kind.startswith(("events", "endpoints"))]
    found = release.kubectl("get", ",".join(kinds), "--output=name", "--ignore-not-found").split()
    assert {name for name in found if not ignored(name)} == {f"persistentvolumeclaim/data-mynet-{n}" for n in range(5)}
    # Without `validators`, and with more nodes than there were: the claims tell how many the genesis names.
    release.install("--set", "replicaCount=5")
    after = release.whole(5)
    assert [node["account"] for node in after[:4]] == [node["account"] for node in before]
    release.grows_beyond(0, known)
    assert release.block_hash(4, known) == known_hash


def ignored(name: str) -> bool:
    """What every namespace has by itself."""
    return name in ("serviceaccount/default", "configmap/kube-root-ca.crt")
