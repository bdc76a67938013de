"""What every node of a network does, now and at each change: `quorumkit status`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from quorumkit.directory import NetworkDirectory
from quorumkit.node.status import NodeStatus
from quorumkit.providers import Provider
from quorumkit.spec import NetworkSpec

_LOOK_EVERY = 1.0  # seconds between two looks at nodes that have not agreed yet


async def statuses_of(directory: NetworkDirectory, spec: NetworkSpec, provider: Provider) -> list[NodeStatus]:
    """Every node, by ordinal; of a network whose nodes have not agreed yet, what they wait for.

    Raises:
        NotRunningError: they have not agreed, and none of them runs.
        CorruptFileError: no node's record can be read.
    """
    if not directory.is_network(spec):
        statuses = await provider.look()
        if any(status.state != "stopped" for status in statuses):
            return statuses
    return await provider.status(directory.load_what_is_there())


async def watch_statuses(
    directory: NetworkDirectory, spec: NetworkSpec, provider: Provider
) -> AsyncGenerator[list[NodeStatus]]:
    """The same, and again at each change, for as long as the network runs.

    Raises:
        NotRunningError: it does not run, or does not any more.
    """
    last: list[NodeStatus] = []
    while not directory.is_network(spec):
        statuses = await statuses_of(directory, spec, provider)
        if statuses != last:
            last = statuses
            yield statuses
        await asyncio.sleep(_LOOK_EVERY)
    async for statuses in provider.watch(directory.load_what_is_there()):
        yield statuses
