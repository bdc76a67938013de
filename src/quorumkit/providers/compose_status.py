"""What a node program says of its node from inside a container, and what the container says where it does not."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from quorumkit.container_engine import run
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.node.restarts import FAILED_AFTER
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node
from quorumkit.providers.compose_project import Container, is_running
from quorumkit.providers.statuses import stopped_status
from quorumkit.record import RECORD_NAME

_INSIDE = re.compile(r"(?<![\w./-])/node(?![\w.-])")
"""A node's directory as it is named in its container."""
_PYTHON_ERROR = re.compile(r"[A-Z]\w*(Error|Exception): ")


def reported_status(directory: Path, node: Node, value: dict[str, Any]) -> NodeStatus:
    """What a node program reports of its node, whose directory is mapped from here; the name is ours, for it may not be
    able to read its own."""
    status = NodeStatus.from_json(value)
    status.name, status.ordinal, status.role = node.name, node.ordinal, status.role or node.role
    status.rpc_url = node.endpoints.rpc_url
    status.error = _on_host(directory, status.error)
    path = directory / RECORD_NAME
    if status.ready and not path.exists():
        status.error = f"{path}: it is gone; the node goes on, but cannot start again without it"
    return status


def container_status(directory: Path, network: Network, node: Node, container: Container | None) -> NodeStatus:
    """What can be said of a node whose program does not answer, and whose directory is mapped from here."""
    status = stopped_status(network, node)
    if container is None:
        return status
    note_container(status, container)
    if not (directory / RECORD_NAME).exists():
        status.state, status.error = "failed", f"{directory}: its files are gone; put them back from a backup"
    status.error = _on_host(directory, status.error)
    return status


def _on_host(directory: Path, text: str | None) -> str | None:
    """What is said inside of the node's directory, in terms of where it lies outside."""
    return text and _INSIDE.sub(lambda _: str(directory), text)


def note_container(status: NodeStatus, container: Container | None) -> None:
    """Writes into a status what the node's container says."""
    if container is None:
        return
    state = container["State"]
    status.restarts = int(container.get("RestartCount", 0))
    if is_running(container):
        status.state = "starting" if state["Status"] == "running" else "restarting"
        if status.restarts >= FAILED_AFTER:
            status.state = "failed"
        status.error = _last_complaint(container["Id"])
    elif state["Status"] == "exited" and state["ExitCode"] not in (0, 137, 143):
        status.state, status.error = "failed", _last_complaint(container["Id"])
    elif state.get("Error"):
        status.state, status.error = "failed", state["Error"]


def _last_complaint(container: str) -> str | None:
    """The last warning or error in a container's log, if there is one."""
    with contextlib.suppress(RuntimeUnavailableError):
        lines = run(["docker", "logs", "--tail", "20", container], merged=True).splitlines()
        for line in reversed(lines):
            if line.startswith(("error: ", "WARN ", "Fatal: ")) or _PYTHON_ERROR.match(line):
                return line.removeprefix("error: ")
    return None
