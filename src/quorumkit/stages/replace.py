"""Admitting a node that lost its disk, in a network whose nodes make their own keys: `quorumkit node replace`.

Every node that can be reached is asked for its signature, one after the other, until enough have signed. Each node
program signs because it is asked over its own control socket; how that is reached (on this machine, in a container, in
a pod) is the provider's affair. Where the nodes belong to several operators, each runs the command on his own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NotRunningError, QuorumkitError, UsageError
from quorumkit.identities import Identities
from quorumkit.plan import Node, node_name, node_names, role_of
from quorumkit.providers import Provider
from quorumkit.record import RECORD_NAME, read_record
from quorumkit.spec import NetworkSpec
from quorumkit.stages.load import load_network

_RECORDED_WITHIN = 60.0  # seconds
_LOOK_EVERY = 0.5  # seconds

Ask = Callable[[str], Awaitable[dict[str, Any]]]
"""Has a node sign; its answer (`exchange.replacing.Replacement`). Raises QuorumkitError."""


@dataclass(frozen=True)
class Collected:
    """How far it has come."""

    answer: dict[str, Any]
    """That of the node that knows of the most signatures."""
    failures: dict[str, str]
    """Why nodes that were asked did not sign."""

    @property
    def complete(self) -> bool:
        """Whether enough have signed, so that the node is admitted."""
        return bool(self.answer["replaced"])

    def to_json(self) -> dict[str, Any]:
        return {**self.answer, "failures": self.failures}


def recorded_nodes(directory: NetworkDirectory, spec: NetworkSpec) -> list[Node]:
    """The nodes that have a record: one that lost its disk has none."""
    nodes = []
    for ordinal in range(1, spec.nodes.total + 1):
        path = directory.node(node_name(ordinal))
        if (path / RECORD_NAME).exists():
            record = read_record(path)
            nodes.append(Node(ordinal, role_of(ordinal, spec), record.identity, record.endpoints))
    return nodes


async def replace_node(
    directory: NetworkDirectory, identities: Identities, provider: Provider, nodes: Sequence[Node], name: str
) -> Collected:
    """Has the others of `nodes` that run sign for the new identity of the node of that name.

    Raises:
        UsageError: its keys were made by a command, and come back from a backup only.
        NotRunningError: no other node runs.
        QuorumkitError: the others refuse; it is what the first of them answers.
    """
    if not identities.exchanged:
        raise UsageError(
            f"{name}: the identities of this network were generated together, not exchanged",
            hint="put the node's directory back from a backup; or give --through NODE_DIR of a running node",
        )

    async def ask(other: str) -> dict[str, Any]:
        answer: dict[str, Any] = await provider.call(other, "node_replace", name)
        return answer

    others = [node.name for node in nodes if node.name != name]
    collected = await collect(ask, others, start=f"quorumkit up{directory.as_argument}")
    if collected.complete:
        await _until_recorded(identities, name, collected.answer.get("enode_key"))
    return collected


def nodes_to_ask(directory: NetworkDirectory, spec: NetworkSpec, name: str) -> Sequence[Node]:
    """The nodes that are known here, so that they can be asked to sign for the one of that name.

    Raises:
        UsageError: the network has no node of that name.
        QuorumkitError: no node is known; see `load_network`.
    """
    # What was lost may be a record here too: the names are the spec's.
    if name not in (names := node_names(spec)):
        raise UsageError(f"no node {name!r}", hint=f"there are {names[0]} to {names[-1]}")
    return recorded_nodes(directory, spec) or load_network(directory)[0].nodes


async def collect(ask: Ask, names: Sequence[str], *, start: str = "quorumkit up") -> Collected:
    """Asks the nodes in turn. `start` is the command that starts the network, for the hint.

    Raises:
        NotRunningError: none of them runs.
        QuorumkitError: those that run refuse; it is what the first of them answers.
    """
    best: dict[str, Any] | None = None
    failures: dict[str, str] = {}
    refused: QuorumkitError | None = None
    for name in names:
        try:
            answer = await ask(name)
        except QuorumkitError as error:
            failures[name] = error.message
            if not isinstance(error, NotRunningError):
                refused = refused or error
            continue
        if best is None or answer["replaced"] or len(answer["signed"]) >= len(best["signed"]):
            best = answer
        if best["replaced"]:
            break
    if best is None:
        raise refused or NotRunningError("no other node runs", hint=f"start the network: {start}")
    return Collected(best, failures)


def outcome(answer: dict[str, Any]) -> str:
    """A node's answer in one line."""
    name, needed = answer["name"], answer["needed"]
    if answer["replaced"]:
        return f"{name}: replaced; its account is now {answer['account']}, and it follows the others' blocks"
    own = (
        "" if answer["counts"] else "; the node that was asked is no sitting validator, so its signature does not count"
    )
    signed = ", ".join(answer["signed"]) or "none"
    # Its own place counts among the sitting ones, and its old key is gone.
    others = ", ".join(each for each in answer["missing"] if each != name)
    left = (
        f"of {others} have signed: run this command on their nodes too" if others else "have signed, and none is left"
    )
    return (
        f"{name}: {len(answer['signed'])} of {needed} signatures ({signed}){own}; it takes effect when "
        f"{needed - len(answer['signed'])} more {left}"
    )


async def _until_recorded(identities: Identities, name: str, key: object) -> None:
    """Returns once the node itself tells its new identity, which then is written down here; after a minute, the next
    `up` does it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_RECORDED_WITHIN):
            while True:
                network = await identities.learn()
                if network and any(node.name == name and node.identity.enode_key == key for node in network.nodes):
                    return
                await asyncio.sleep(_LOOK_EVERY)
