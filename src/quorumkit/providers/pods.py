"""What a pod's own record says of it. Pure: from the API's JSON to a state and one line."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from quorumkit.node.status import State

FAILED_AFTER = 2
"""Restarts by the kubelet before a container that still is restarted counts as failed."""

_HOPELESS = {"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ErrImagePull"}
_COMPLAINT = re.compile(r"error: |Fatal: |[A-Z]\w*(Error|Exception): ")


@dataclass(frozen=True)
class PodState:
    """A pod, as far as Kubernetes knows."""

    state: State
    reason: str | None = None
    running: bool = False
    """Its container runs: its node program can be asked."""
    restarts: int = 0


NO_POD = PodState("stopped")
NODE_CONTAINER = "node"
"""The container of the node program; a person may have others beside it."""


def pod_state(pod: dict[str, Any]) -> PodState:
    """A failing pod's reason is one line, in words that say what to do."""
    if pod["metadata"].get("deletionTimestamp"):
        return PodState("restarting", "its pod is being deleted")
    status = pod.get("status", {})
    for container in status.get("initContainerStatuses", []):  # a person's own
        if _fails(container):
            state = _container_state(container)
            return replace(state, reason=f"{container['name']}: {state.reason}")
    if containers := status.get("containerStatuses"):
        return _container_state(
            next((each for each in containers if each.get("name") == NODE_CONTAINER), containers[0])
        )
    if status.get("phase") == "Failed":
        return PodState("failed", f"{status.get('reason', 'failed')}: {_one_line(status.get('message', ''))}")
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return PodState("starting", f"unschedulable: {_one_line(condition.get('message', ''))}")
    return PodState("starting")


def _fails(container: dict[str, Any]) -> bool:
    waiting = container.get("state", {}).get("waiting", {}).get("reason", "")
    return waiting in _HOPELESS or waiting.startswith(("Create", "CrashLoop"))


def _container_state(container: dict[str, Any]) -> PodState:
    restarts = int(container.get("restartCount", 0))
    now = container.get("state", {})
    waiting = now.get("waiting", {})
    reason = waiting.get("reason", "")
    ended = now.get("terminated") or container.get("lastState", {}).get("terminated")
    if "running" in now:
        found = PodState("starting", running=True)
    elif reason in _HOPELESS:
        found = PodState("failed", f"image {container['image']} not found: {_image_problem(waiting)}")
    elif reason.startswith("Create"):  # CreateContainerConfigError, CreateContainerError
        found = PodState("failed", f"{reason}: {_one_line(waiting.get('message', ''))}")
    elif ended and (reason == "CrashLoopBackOff" or "terminated" in now):
        found = PodState("failed" if restarts >= FAILED_AFTER else "restarting", f"crashed: {_last_words(ended)}")
    else:
        found = PodState("starting")
    return replace(found, restarts=restarts)


def _image_problem(waiting: dict[str, Any]) -> str:
    text = _one_line(waiting.get("message", waiting["reason"]))
    # The same is told twice and more: `Back-off pulling image "X": ErrImagePull: … failed to resolve …: not found`.
    return text.rpartition("failed to resolve reference ")[2] or text


def _last_words(ended: dict[str, Any]) -> str:
    lines = [line for line in ended.get("message", "").splitlines() if line.strip()]
    complaint = next((line for line in reversed(lines) if _COMPLAINT.match(line)), lines[-1] if lines else None)
    if complaint:
        return str(complaint).removeprefix("error: ").strip()
    reason = ended.get("reason", "Error")
    return "out of memory" if reason == "OOMKilled" else f"{reason}, exit code {ended.get('exitCode')}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
