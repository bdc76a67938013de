"""Asking the node program that carries the node in a directory, from where it runs: `quorumkit node status` and others.

It answers before there is a network, and while the node is not ready."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quorumkit.node.status import NodeStatus
from quorumkit.providers.program import NodeProgram


async def ask_program(node: Path, method: str, params: Sequence[Any] = ()) -> Any:
    """What it answers (node/control.py).

    Raises:
        NotRunningError: it does not run.
        RpcError: it refuses, or does not answer.
    """
    return await NodeProgram(node / ".state", [node], network=node).call(method, *params)


async def ask_statuses(node: Path) -> list[NodeStatus]:
    """What its nodes do. Raises as `ask_program` does."""
    return [NodeStatus.from_json(each) for each in await ask_program(node, "node_status")]
