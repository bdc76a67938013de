"""Nodes' statuses, completed by what is known of the nodes on this side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from quorumkit.consensus import address_to_vote_for
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, node_names, role_of
from quorumkit.spec import NetworkSpec


def stopped_status(network: Network, node: Node) -> NodeStatus:
    """The status of a node that nothing runs."""
    return NodeStatus(
        name=node.name,
        ordinal=node.ordinal,
        role=node.role,
        expected_peers=len(network.peers_of(node)),
        rpc_url=node.endpoints.rpc_url,
        enode=str(node.enode),
        account=node.identity.account,
        validator_address=address_to_vote_for(network.spec.consensus.kind, node.identity),
        tm_key=node.identity.tm_key,
        further_keys=dict(node.identity.further_keys),
    )


def completed(network: Network, status: NodeStatus) -> NodeStatus:
    """A node's status, with all that is known of it on this side: where it is reached from here, and who it is even
    where its program does not answer."""
    known = stopped_status(network, network.node(status.ordinal))
    status.rpc_url, status.enode, status.account, status.tm_key = (
        known.rpc_url, known.enode, known.account, known.tm_key,
    )  # fmt: skip
    status.validator_address, status.further_keys = known.validator_address, known.further_keys
    status.role = status.role or known.role
    status.expected_peers = status.expected_peers or known.expected_peers
    return status


def of_network(network: Network, reported: Mapping[str, NodeStatus]) -> list[NodeStatus]:
    """Every node of the network, by ordinal: what its program reported, or else that it is stopped."""
    return [reported.get(node.name) or stopped_status(network, node) for node in network.nodes]


def of_spec(spec: NetworkSpec, reported: Mapping[str, NodeStatus]) -> list[NodeStatus]:
    """Every node of the spec, by ordinal, whether it is known who they are or not."""
    names = node_names(spec)
    return [
        reported.get(name) or NodeStatus(name, ordinal, role_of(ordinal, spec))
        for ordinal, name in enumerate(names, start=1)
    ]


def by_name(answer: Iterable[dict[str, Any]]) -> dict[str, NodeStatus]:
    """A node program's answer to `node_status`."""
    statuses = [NodeStatus.from_json(value) for value in answer]
    return {status.name: status for status in statuses}
