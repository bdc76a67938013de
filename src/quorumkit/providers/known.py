"""Who a network's nodes are, as its directory knows it from their own reports."""

from __future__ import annotations

from collections.abc import Iterable

from quorumkit.addresses import Enode
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import CorruptFileError
from quorumkit.node.status import NodeStatus
from quorumkit.record import RECORD_NAME, read_record


def knows_nodes(directory: NetworkDirectory) -> bool:
    """Whether the nodes ever reported to this directory who they are."""
    return any(directory.nodes.glob(f"*/{RECORD_NAME}"))


def is_known(directory: NetworkDirectory, statuses: Iterable[NodeStatus]) -> bool:
    """Whether one at least of the nodes that report who they are is who the directory says; others may have been
    replaced."""
    return any(status.enode and Enode.key_in(status.enode) == known_key(directory, status.name) for status in statuses)


def known_key(directory: NetworkDirectory, node: str) -> str | None:
    """The enode key of the node of that name, as it reported it; None where it is not known."""
    try:
        return read_record(directory.node(node)).identity.enode_key
    except CorruptFileError:
        return None
