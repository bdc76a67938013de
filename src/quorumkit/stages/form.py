"""Networks whose nodes make their own identities, and what a provider can do for them. This is the one place that asks
which kind a provider is of."""

from __future__ import annotations

from typing import TypeGuard

from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network
from quorumkit.providers import Runtime
from quorumkit.providers.base import AdmittingRuntime, FormingRuntime, PreparedRuntime


def makes_own_identities(provider: Runtime) -> TypeGuard[FormingRuntime]:
    """Whether each node makes its own keys, so that there is a network only once all have agreed."""
    return isinstance(provider, FormingRuntime)


def can_admit(provider: Runtime) -> TypeGuard[AdmittingRuntime]:
    """Whether running members can be asked to take in another node."""
    return isinstance(provider, AdmittingRuntime)


def prepare_files(provider: Runtime) -> bool:
    """Writes what the nodes start from, where that can be done before there are identities. Whether it can."""
    if not isinstance(provider, PreparedRuntime):
        return False
    provider.prepare()
    return True


async def learn_network(provider: Runtime) -> Network | None:
    """The network that the running nodes tell, where they make their own keys and all of them have agreed."""
    return await provider.learn() if makes_own_identities(provider) else None


async def look_at_nodes(provider: Runtime) -> list[NodeStatus]:
    """Nodes that may not have agreed yet, by ordinal; empty where all are known beforehand."""
    return await provider.look() if makes_own_identities(provider) else []
