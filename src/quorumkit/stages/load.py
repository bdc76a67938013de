"""The network in a directory, and its nodes by the names that people call them by."""

from __future__ import annotations

import asyncio

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import UsageError
from quorumkit.identities import identities_of
from quorumkit.plan import Network, Node, node_name
from quorumkit.providers import Provider, provider_of


def load_network(directory: NetworkDirectory) -> tuple[Network, Provider]:
    """The network, and what runs it. Nodes that made their own keys and were started by hand are asked who they are.

    Raises:
        NotRunningError: the nodes have not agreed on a network yet.
        QuorumkitError: see `NetworkDirectory.load`.
    """
    spec = directory.read_spec()
    provider = provider_of(directory, spec)
    if not directory.is_network(spec):
        identities = identities_of(directory, spec, provider)
        if network := asyncio.run(identities.learn()):
            return network, provider
    return directory.load(), provider


def find_node(network: Network, name: str) -> Node:
    """The node that a person calls `node2`, or `2`.

    Raises:
        UsageError: there is none.
    """
    for node in network.nodes:
        if name in (node.name, str(node.ordinal)):
            return node
    last = node_name(len(network.nodes))
    raise UsageError(f"no node {name!r} in {network.spec.name}", hint=f"its nodes are node1 to {last}")
