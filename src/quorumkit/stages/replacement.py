"""Admitting a node that lost its disk, in a network whose nodes make their own keys.

Every node that can be reached is asked for its signature, one after the other, until enough have signed. Each node
program signs because it is asked over its own control socket; how that is reached (on this machine, in a container, in
a pod) is the provider's affair. Where the nodes are several operators', each runs the command on his own.
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
from quorumkit.plan import Node, node_name, role_of
from quorumkit.providers import Provider
from quorumkit.record import RECORD_NAME, read_record
from quorumkit.spec import NetworkSpec

_KNOWN_WITHIN = 60.0
_LOOK_EVERY = 0.5

Ask = Callable[[str], Awaitable[dict[str, Any]]]
"""Has a node sign; what it tells (`exchange.replacing.Replacement`). Raises QuorumkitError."""


@dataclass(frozen=True)
class Collected:
    """How far it has come."""

    told: dict[str, Any]
    """What the node that knows most told."""
    failures: dict[str, str]
    """Why nodes that were asked did not sign."""

    @property
    def complete(self) -> bool:
        return bool(self.told["replaced"])

    def to_json(self) -> dict[str, Any]:
        return {**self.told, "failures": self.failures}


def recorded_nodes(directory: NetworkDirectory, spec: NetworkSpec) -> list[Node]:
    """The nodes that have a record: one that lost its disk has none."""
    nodes = []
    for ordinal in range(1, spec.nodes.total + 1):
        path = directory.node(node_name(ordinal))
        if (path / RECORD_NAME).exists():
            record = read_record(path)
            nodes.append(Node(ordinal, role_of(ordinal, spec), record.identity, record.endpoints))
    return nodes


async def replace_node(provider: Provider, identities: Identities, known: Sequence[Node], name: str) -> Collected:
    """Has the other nodes that run sign for the new identity of the node of that name.

    Raises:
        UsageError: its keys were made by a command, and come back from a backup only.
        NotRunningError: no other node runs.
        QuorumkitError: the others refuse; it is what the first of them says.
    """
    if not identities.exchanged:
        raise UsageError(
            f"{name}: the identities of this network were generated together, not exchanged",
            hint="put the node's directory back from a backup; or give --through NODE_DIR of a running node",
        )

    async def ask(other: str) -> dict[str, Any]:
        told: dict[str, Any] = await provider.call(other, "node_replace", name)
        return told

    collected = await collect(ask, [node.name for node in known if node.name != name])
    if collected.complete:
        await _until_known(identities, name, collected.told.get("enode_key"))
    return collected


async def collect(ask: Ask, names: Sequence[str]) -> Collected:
    """Asks the nodes in turn.

    Raises:
        NotRunningError: none of them runs.
        QuorumkitError: those that run refuse; it is what the first of them says.
    """
    told: dict[str, Any] | None = None
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
        if told is None or answer["replaced"] or len(answer["signed"]) >= len(told["signed"]):
            told = answer
        if told["replaced"]:
            break
    if told is None:
        raise refused or NotRunningError("no other node runs", hint="start the network: quorumkit up")
    return Collected(told, failures)


def outcome(told: dict[str, Any]) -> str:
    """It in one line."""
    name, needed = told["name"], told["needed"]
    if told["replaced"]:
        return f"{name}: replaced, its account is now {told['account']}, and it follows"
    own = "" if told["counts"] else "; the asked node is no sitting validator, so it signs nothing that counts"
    signed = ", ".join(told["signed"]) or "none"
    # Its own place counts among the sitting ones, and its old key is gone.
    others = ", ".join(each for each in told["missing"] if each != name)
    left = (
        f"of {others} have signed: run this command on their nodes too" if others else "have signed, and none is left"
    )
    return (
        f"{name}: {len(told['signed'])} of {needed} signatures ({signed}){own}; it takes effect when "
        f"{needed - len(told['signed'])} more {left}"
    )


async def _until_known(identities: Identities, name: str, key: object) -> None:
    """Returns once the node itself tells its new identity, which then is written down here; after a minute, the next
    `up` does it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_KNOWN_WITHIN):
            while True:
                network = await identities.learn()
                if network and any(node.name == name and node.identity.enode_key == key for node in network.nodes):
                    return
                await asyncio.sleep(_LOOK_EVERY)
