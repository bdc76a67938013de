"""Stopping, starting and restarting single nodes of a network that runs: `quorumkit node stop` and its like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from quorumkit.plan import Network
from quorumkit.providers import Provider
from quorumkit.stages.load import find_node

Change = Literal["stop", "start", "restart"]


async def change_nodes(change: Change, network: Network, provider: Provider, names: Sequence[str]) -> list[str]:
    """Does so with the nodes that a person named; their full names. One that is there already stays as it is.

    Raises:
        UsageError: there is no such node, or the provider has no such change.
        NotRunningError: the network does not run.
    """
    chosen = [find_node(network, name).name for name in names]
    match change:
        case "stop":
            await provider.stop_nodes(chosen)
        case "start":
            await provider.start_nodes(chosen)
        case "restart":
            await provider.restart_nodes(chosen)
    return chosen
