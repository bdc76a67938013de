"""Asking node programs that are reached from one another only how their nodes are: in containers, in pods."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable

from quorumkit.node.status import NodeStatus
from quorumkit.providers.timing import ASK_PATIENCE
from quorumkit.render.containers import HEALTH_PORT


def asking(hosts: Iterable[str]) -> str:
    """A shell script that asks all these node programs at once how their nodes are: run on one of them, it is one
    command however many there are."""
    # Not wget's own -T: Debian's static busybox 1.35 dies of it.
    ask = f"busybox timeout {ASK_PATIENCE} wget -q -O - http://$host:{HEALTH_PORT}/status"
    return f"for host in {' '.join(hosts)}; do {ask} & done 2>/dev/null; wait"


def answers(output: str) -> dict[str, NodeStatus]:
    """What came of it, by node; who did not answer is left out."""
    statuses: dict[str, NodeStatus] = {}
    for line in output.splitlines():
        with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
            status = NodeStatus.from_json(json.loads(line)[0])
            statuses[status.name] = status
    return statuses
