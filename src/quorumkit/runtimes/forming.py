"""Networks whose nodes make their own identities: what they agreed on is written down here as they tell it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError
from quorumkit.files import private_directory, to_json, write_if_changed
from quorumkit.identity import PublicIdentity
from quorumkit.identity.keys import enode_key_in
from quorumkit.node.record import RECORD_NAME
from quorumkit.node.status import NodeStatus
from quorumkit.operate.generate import locked
from quorumkit.plan import Network, NodeEndpoints, plan
from quorumkit.render import render_genesis
from quorumkit.render.containers import HEALTH_PORT
from quorumkit.render.node_files import record_of
from quorumkit.runtimes.base import stopped_status
from quorumkit.spec import NetworkSpec

ASK_SECONDS = 4
"""How long a node program may take to tell its status."""


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


def asking(hosts: Iterable[str]) -> str:
    """A shell script that asks all these node programs at once how their nodes are: run on one of them, it is one
    command however many there are."""
    # Not wget's own -T: Debian's static busybox 1.35 dies of it.
    ask = f"busybox timeout {ASK_SECONDS} wget -q -O - http://$host:{HEALTH_PORT}/status"
    return f"for host in {' '.join(hosts)}; do {ask} & done 2>/dev/null; wait"


def answers(output: str) -> dict[str, NodeStatus]:
    """What came of it, by node; who did not answer is left out."""
    statuses: dict[str, NodeStatus] = {}
    for line in output.splitlines():
        with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
            status = NodeStatus.from_json(json.loads(line)[0])
            statuses[status.name] = status
    return statuses


def completed(network: Network, status: NodeStatus) -> NodeStatus:
    """A node's status, with all that is known of it on this side: where it is reached from here, and who it is even
    where its program does not answer."""
    known = stopped_status(network, network.node(status.ordinal))
    status.rpc_url, status.enode, status.account, status.tm_key = (
        known.rpc_url, known.enode, known.account, known.tm_key,
    )  # fmt: skip
    status.validator_address = known.validator_address
    status.role = status.role or known.role
    status.expected_peers = status.expected_peers or known.expected_peers
    return status


def write_down(
    directory: NetworkDirectory, spec: NetworkSpec, statuses: Sequence[NodeStatus], endpoints: Sequence[NodeEndpoints]
) -> Network:
    """The network that the nodes' own words amount to, and its genesis and records on this side: no keys, for those
    never leave the nodes, and no client's files. `statuses` and `endpoints` are one for each node, by ordinal."""
    identities = [PublicIdentity(enode_key_in(status.enode), status.account, status.tm_key) for status in statuses]
    network = plan(spec, identities, endpoints)
    with locked(directory):
        write_if_changed(directory.genesis, render_genesis(network))
        for node in network.nodes:
            place = private_directory(directory.node(node.name))
            write_if_changed(place / RECORD_NAME, to_json(record_of(network, node).model_dump()))
    return network
