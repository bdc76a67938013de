"""What a node's container says of the node when its node program does not answer."""

from __future__ import annotations

import contextlib
import re

from quorumkit.container_engine import run
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.node.restarts import FAILED_AFTER
from quorumkit.node.status import NodeStatus
from quorumkit.providers.compose_project import Container, is_running

_PYTHON_ERROR = re.compile(r"[A-Z]\w*(Error|Exception): ")


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
