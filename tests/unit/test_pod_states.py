"""What is told of pods and of refusals, from what Kubernetes and Helm were seen to say."""

from __future__ import annotations

from typing import Any

import pytest

from quorumkit.node.status import NodeStatus
from quorumkit.providers.kubectl import refusal
from quorumkit.providers.pods import FAILED_AFTER, PodState, pod_state


def pod(container: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    if container is not None:
        status["containerStatuses"] = [{"image": "quorumkit/node:1", "restartCount": 0, **container}]
    return {"metadata": {"name": "mynet-0"}, "status": status}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}, **more}


def ended(message: str, reason: str = "Error", code: int = 1) -> dict[str, Any]:
    return {"terminated": {"reason": reason, "exitCode": code, "message": message}}


def test_a_running_container_can_be_asked() -> None:
    assert pod_state(pod({"state": {"running": {}}, "restartCount": 2})) == PodState(
        "starting", running=True, restarts=2
    )


def test_a_pod_that_is_only_just_made() -> None:
    assert pod_state(pod()) == PodState("starting")
    assert pod_state(pod(waiting("ContainerCreating"))) == PodState("starting")


def test_a_pod_that_goes() -> None:
    going = pod({"state": {"running": {}}})
    going["metadata"]["deletionTimestamp"] = "2026-11-24T20:00:00Z"
    state = pod_state(going)
    assert (state.state, state.running) == ("restarting", False)


def test_no_node_takes_it() -> None:
    message = "0/1 nodes are available: 1 Insufficient cpu.\n no new claims to deallocate"
    state = pod_state(
        pod(conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}])
    )
    # A cluster may grow, so that is no reason to give up.
    assert state == PodState(
        "starting", "unschedulable: 0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate"
    )


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"])
def test_an_image_that_is_not_there(reason: str) -> None:
    message = (
        'Back-off pulling image "quorumkit/node:1": ErrImagePull: rpc error: code = NotFound desc = failed to pull and '
        'unpack image "docker.io/quorumkit/node:1": failed to resolve reference "docker.io/quorumkit/node:1": '
        "docker.io/quorumkit/node:1: not found"
    )
    state = pod_state(pod(waiting(reason, message)))
    assert state.state == "failed"
    assert state.reason == (
        'image quorumkit/node:1 not found: "docker.io/quorumkit/node:1": docker.io/quorumkit/node:1: not found'
    )


def test_a_missing_secret() -> None:
    state = pod_state(pod(waiting("CreateContainerConfigError", 'secret "join" not found')))
    assert state == PodState("failed", 'CreateContainerConfigError: secret "join" not found')


@pytest.mark.parametrize(("count", "verdict"), [(0, "restarting"), (FAILED_AFTER, "failed")])
def test_a_crash_tells_the_programs_last_complaint(count: int, verdict: str) -> None:
    log = "INFO something\nerror: /etc/quorumkit/quorumkit.yaml: chain_id: Input should be positive\n  try: mend it\n"
    crash = waiting("CrashLoopBackOff", "back-off 10s", lastState=ended(log), restartCount=count)
    assert pod_state(pod(crash)) == PodState(
        verdict,  # type: ignore[arg-type]
        "crashed: /etc/quorumkit/quorumkit.yaml: chain_id: Input should be positive",
        restarts=count,
    )


def test_a_crash_without_words() -> None:
    assert pod_state(pod({"state": ended("", "OOMKilled", 137)})).reason == "crashed: out of memory"
    assert pod_state(pod({"state": ended("", "Error", 3)})).reason == "crashed: Error, exit code 3"


def test_an_evicted_pod() -> None:
    state = pod_state(pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory."))
    assert state == PodState("failed", "Evicted: The node was low on resource: memory.")


@pytest.mark.parametrize(
    ("said", "message", "hint"),
    [
        ("The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?",
         "cluster cannot be reached", "KUBECONFIG"),
        ('Error: Kubernetes cluster unreachable: Get "http://localhost:8080/version": dial tcp 127.0.0.1:8080: '
         "connect: connection refused", "cluster cannot be reached", "KUBECONFIG"),
        ('error: context "prod" does not exist', 'context "prod" does not exist', "kubernetes.context"),
        ('Error from server (Forbidden): pods is forbidden: User "me" cannot list resource "pods"',
         'User "me" cannot list', "whoever runs the cluster"),
        ("Error: UPGRADE FAILED: execution error at (quorumkit/templates/statefulset.yaml:1:4): x: error calling "
         "include: error calling fail: replicaCount: blocks need 3 of the 4 validators", "replicaCount: blocks need 3",
         "quorumkit.yaml"),
        ("Error: values don't meet the specifications of the schema(s) in the following chart(s):\nquorumkit:\n"
         "- at '/spread': value must be one of 'soft', 'hard', 'none'\n", "at '/spread'", "kubernetes.values"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_with_a_way_out(said: str, message: str, hint: str) -> None:
    error = refusal(["helm"], said)
    assert message in error.message
    assert hint in str(error.hint)
    assert "\n" not in error.message


def test_any_other_refusal_is_told_in_its_own_words() -> None:
    assert refusal(["kubectl"], "W1124 20:31:28 warning\nError: odd thing\n").message == "kubectl: odd thing"
    assert refusal(["kubectl"], "").message == "kubectl: no reason given"


@pytest.mark.parametrize(
    ("state", "started"),
    [("exchanging", False), ("starting", False), ("restarting", False), ("failed", False), ("stopped", False),
     ("waiting", True), ("syncing", True), ("running", True), ("stalled", True)],
)  # fmt: skip
def test_a_node_has_started_once_its_client_answers(state: Any, started: bool) -> None:
    assert NodeStatus("node1", state=state).started is started


def test_the_node_is_told_of_whatever_stands_beside_it() -> None:
    beside = {"name": "audit", "image": "audit:1", "restartCount": 9, **waiting("CrashLoopBackOff")}
    node = {"name": "node", "image": "quorumkit/node:1", "restartCount": 1, "state": {"running": {}}}
    both = {"metadata": {"name": "mynet-0"}, "status": {"containerStatuses": [beside, node]}}
    assert pod_state(both) == PodState("starting", running=True, restarts=1)


def test_a_container_that_does_not_let_the_node_begin_is_named() -> None:
    first = {"name": "wait", "image": "no:such", "restartCount": 0, **waiting("ErrImagePull", "not found")}
    before = pod(waiting("PodInitializing"), initContainerStatuses=[first])
    assert (pod_state(before).state, pod_state(before).reason) == ("failed", "wait: image no:such not found: not found")
    first |= waiting("PodInitializing")
    assert pod_state(before) == PodState("starting")
