"""Admitting a node that lost its disk, in a network whose nodes make their own keys."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from quorumkit.errors import NotRunningError, UsageError
from quorumkit.plan import Network
from quorumkit.runtimes import Runtime
from quorumkit.runtimes.base import AdmittingRuntime, FormingRuntime

_KNOWN_WITHIN = 60.0
_LOOK_EVERY = 0.5


async def replace_node(runtime: Runtime, network: Network, name: str) -> dict[str, Any]:
    """Has another node that runs admit the new identity of the node of that name; what it tells of it.

    Raises:
        UsageError: its keys were made by a command, and come back from a backup only.
        NotRunningError: no other node runs.
        RpcError: the other node refuses, and says why.
    """
    if not isinstance(runtime, FormingRuntime) or not isinstance(runtime, AdmittingRuntime):
        raise UsageError(
            f"{name}: the identities of {network.spec.name} were generated together, not exchanged",
            hint="put the node's directory back from a backup; or give --through NODE_DIR of a running node",
        )
    for other in network.nodes:
        if other.name != name:
            try:
                answer: dict[str, Any] = await runtime.call_program(other, "node_replace", name)
            except NotRunningError:
                continue
            await _until_known(runtime, name, answer.get("enode_key"))
            return answer
    raise NotRunningError(f"no node but {name} runs", hint="start the network: quorumkit up")


async def _until_known(runtime: FormingRuntime, name: str, key: object) -> None:
    """Returns once the node itself tells its new identity, which then is written down here; after a minute, the next
    `up` does it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_KNOWN_WITHIN):
            while True:
                network = await runtime.learn()
                if network and any(node.name == name and node.identity.enode_key == key for node in network.nodes):
                    return
                await asyncio.sleep(_LOOK_EVERY)
