"""Nodes that running members must take in before their clients can start."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from quorumkit.errors import QuorumkitError
from quorumkit.plan import Network, Node
from quorumkit.providers import Provider
from quorumkit.render.node_files import record_of

_LOOK_EVERY = 0.3  # seconds


async def admit_newcomers(provider: Provider, network: Network) -> None:
    """Has the members take in every node that waits for it, one after the other, as soon as one of them can.

    Returns when none waits any more, which can be never: to be cancelled. Interrupted anywhere, the next call goes on.
    """
    recipe = network.spec.recipe
    newcomers = [node for node in network.nodes if recipe.needs_admission(record_of(network, node))]
    members = [node for node in network.nodes if node not in newcomers]
    if not newcomers or network.spec.identities == "exchanged":
        return  # nodes that share nothing ask each other
    waiting = {node.name: node for node in newcomers}
    while True:
        for status in await provider.status(network):
            if status.started:
                waiting.pop(status.name, None)
            elif status.state == "admitting" and (newcomer := waiting.get(status.name)):
                admission = await _ask(provider, members, newcomer)
                if admission is None:
                    break
                with contextlib.suppress(QuorumkitError):  # asked again at the next look
                    await provider.call(newcomer.name, "node_admitted", newcomer.name, admission)
        if not waiting:
            return
        await asyncio.sleep(_LOOK_EVERY)


async def _ask(provider: Provider, members: Sequence[Node], newcomer: Node) -> str | None:
    """What the first member answers that can take the node in now; None if none can."""
    for member in members:
        with contextlib.suppress(QuorumkitError):
            return str(await provider.call(member.name, "node_admit", member.name, str(newcomer.enode)))
    return None
