"""Networks whose nodes make their own identities: what they agreed on is written down here as they tell it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError
from quorumkit.files import private_directory, to_json, write_if_changed
from quorumkit.identity import PublicIdentity
from quorumkit.node.record import RECORD_NAME
from quorumkit.node.status import NodeStatus
from quorumkit.operate.generate import locked
from quorumkit.plan import Network, NodeEndpoints, plan
from quorumkit.render import render_genesis
from quorumkit.render.node_files import record_of
from quorumkit.spec import NetworkSpec


def raise_failed(statuses: Iterable[NodeStatus]) -> None:
    """Raises:
    NodeError: a node cannot run; the message says why.
    """
    failed = [status for status in statuses if status.state == "failed"]
    if failed:
        raise NodeError(
            "; ".join(f"{status.name}: {status.error}" for status in failed),
            hint="put it right and run `quorumkit up` again; `quorumkit down` stops the rest",
        )


def write_down(
    directory: NetworkDirectory, spec: NetworkSpec, statuses: Sequence[NodeStatus], endpoints: Sequence[NodeEndpoints]
) -> Network:
    """The network that the nodes' own words amount to, and its genesis and records on this side: no keys, for those
    never leave the nodes, and no client's files. `statuses` and `endpoints` are one for each node, by ordinal."""
    identities = [
        PublicIdentity(status.enode.removeprefix("enode://").partition("@")[0], status.account, status.tm_key)
        for status in statuses
    ]
    network = plan(spec, identities, endpoints)
    with locked(directory):
        write_if_changed(directory.genesis, render_genesis(network))
        for node in network.nodes:
            place = private_directory(directory.node(node.name))
            write_if_changed(place / RECORD_NAME, to_json(record_of(network, node).model_dump()))
    return network
