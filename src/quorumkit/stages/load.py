"""The network in a directory, and its nodes by the names that people call them by."""

from __future__ import annotations

import asyncio

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import UsageError
from quorumkit.plan import Network, Node, node_name
from quorumkit.providers import Runtime, runtime_of
from quorumkit.stages.form import learn_network


def load_network(directory: NetworkDirectory) -> tuple[Network, Runtime]:
    """The network, and what runs it. Nodes that made their own keys and were started by hand are asked who they are.

    Raises:
        NotRunningError: the nodes have not agreed on a network yet.
        QuorumkitError: see `NetworkDirectory.load`.
    """
    spec = directory.read_spec()
    provider = runtime_of(directory, spec)
    network = None if directory.is_network(spec) else asyncio.run(learn_network(provider))
    return network or directory.load(), provider


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
