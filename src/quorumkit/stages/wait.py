"""Waiting until a network is complete."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, WaitTimeoutError
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network
from quorumkit.progress import Progress
from quorumkit.providers import Provider

_NAMED = 4  # how many late nodes are named


def patience(nodes: int) -> float:
    """Seconds that a network of so many nodes may take to come up before `up` gives up waiting."""
    return 60.0 + 6.0 * nodes


async def wait_until_complete(
    provider: Provider,
    network: Network,
    progress: Progress,
    *,
    timeout: float,
    connected: asyncio.Event | None = None,
    directory: NetworkDirectory | None = None,
) -> list[NodeStatus]:
    """Returns when every node sees all its peers and has seen a new block; `connected` is set before that, when all
    see their peers. `timeout` is in seconds; `directory` is the network's, for hints.

    Raises:
        NodeError: a node cannot run; the message says why.
        WaitTimeoutError: it took too long; the message says which nodes miss what.
    """
    statuses: list[NodeStatus] = []
    total = len(network.nodes)
    argument, option = (directory.as_argument, directory.as_option) if directory else ("", "")
    try:
        async with asyncio.timeout(timeout), contextlib.aclosing(provider.watch(network)) as changes:
            async for statuses in changes:
                ready = sum(_is_complete(status) for status in statuses)
                if connected and all(status.connected or status.state == "removed" for status in statuses):
                    connected.set()
                progress(*_stage(statuses), total)
                failed = [status for status in statuses if status.state == "failed"]
                if failed:
                    raise NodeError(
                        "; ".join(f"{status.name}: {status.error}" for status in failed),
                        hint=f"see `quorumkit logs {failed[0].name}{option}`; "
                        f"`quorumkit down{argument}` stops the rest",
                    )
                if ready == total:
                    return statuses
    except TimeoutError:
        pass
    missing = [_shortcoming(status) for status in statuses if not _is_complete(status)]
    raise WaitTimeoutError(
        f"not complete after {timeout:g} s: {'; '.join(missing) or 'no node answered'}",
        hint=f"it is left as it is: see `quorumkit status{argument}` and `quorumkit logs NODE{option}`; "
        f"`quorumkit down{argument}` stops it",
    )


def _is_complete(status: NodeStatus) -> bool:
    """Whether nothing is waited for; one that the others took off their list for good will never have peers."""
    return status.complete or status.state == "removed"


def _stage(statuses: list[NodeStatus]) -> tuple[str, int]:
    """What is waited for, with the nodes that are late, and how many are not."""
    stages: list[tuple[str, Callable[[NodeStatus], bool]]] = [
        ("exchanging identities", lambda status: status.state == "exchanging"),
        ("admitting new members", lambda status: status.state == "admitting"),
        ("starting clients", lambda status: status.state in ("starting", "stopped", "restarting")),
        ("waiting for peers", lambda status: (status.peers or 0) < status.expected_peers),
        ("waiting for blocks", lambda status: not _is_complete(status)),
    ]
    for stage, is_late in stages:
        if late := [status.name for status in statuses if is_late(status)]:
            return stage + _names(late, len(statuses)), len(statuses) - len(late)
    return stages[-1][0], len(statuses)


def _names(late: list[str], total: int) -> str:
    """Some names tell where to look; all would tell nothing."""
    if len(late) == total:
        return ""
    return ": " + ", ".join(late if len(late) <= _NAMED else [*late[: _NAMED - 1], f"{len(late) - _NAMED + 1} more"])


def _shortcoming(status: NodeStatus) -> str:
    text = f"{status.name} is {status.state} with {status.peers or 0} of {status.expected_peers} peers"
    return f"{text} ({status.error})" if status.error else text
