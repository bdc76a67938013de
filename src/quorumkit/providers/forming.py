"""Networks whose nodes make their own identities: what they agreed on is written down here as they tell it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Container, Iterable, Sequence

from quorumkit.addresses import Enode
from quorumkit.directory import NetworkDirectory
from quorumkit.directory_lock import locked
from quorumkit.drift import check_drift
from quorumkit.errors import CorruptFileError, GenesisMismatchError, NewerFormatError, NodeError
from quorumkit.files import private_directory, read_json, to_json, write_atomic, write_if_changed
from quorumkit.identity import PublicIdentity
from quorumkit.mark import MARK_NAME
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, NodeEndpoints, node_name, plan
from quorumkit.providers.base import stopped_status
from quorumkit.record import RECORD_NAME, read_record
from quorumkit.render import render_genesis
from quorumkit.render.containers import HEALTH_PORT
from quorumkit.render.node_files import record_of
from quorumkit.spec import NetworkSpec


class UnknownNodesError(NodeError):
    """Nodes run that are none of those that the network directory knows."""


GENESIS_NAME = "genesis.json"
"""Of the network, in its directory; of a node, in its own."""

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


def check_none_begins_anew(
    directory: NetworkDirectory, nodes: Iterable[str], present: Container[str], *, what: str,
    strange: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """The nodes that the directory knows and whose disks are gone: some of them, or none. `present` are those whose
    disks are there, and `what` is what these are called. `strange` are some of its name with another mark.

    Raises:
        NodeError: all are gone; nodes made anew would be another network.
    """
    known = [node for node in nodes if (directory.node(node) / RECORD_NAME).exists()]
    gone = [node for node in known if node not in present]
    if gone and len(gone) == len(known):
        lost = f"; if {MARK_NAME} was lost and {strange[0]} is its own, put the id in that name back" if strange else ""
        raise NodeError(
            f"{directory.path}: its nodes' {what} are gone, and with them their keys and the chain",
            hint=f"put them back from a backup; or give the network up: quorumkit destroy {directory.path}{lost}",
        )
    return gone


def raise_lost(nodes: Sequence[str]) -> None:
    """Raises:
    NodeError: there are nodes that lost their disks and now run with new keys.
    """
    if nodes:
        many = len(nodes) > 1
        raise NodeError(
            f"{', '.join(nodes)}: lost {'their disks' if many else 'its disk'}, so {'they have' if many else 'it has'} "
            "new keys, which the others refuse",
            hint=f"if that is right: quorumkit node replace {nodes[0]}; else `quorumkit down`, and put the disk back",
        )


def check_spec(directory: NetworkDirectory, spec: NetworkSpec) -> None:
    """Before anything is changed: once nodes have agreed, the spec must still give what they agreed on.

    Raises:
        GenesisMismatchError: it does not; the message names the fields.
    """
    nodes = [directory.node(node_name(ordinal)) for ordinal in range(1, spec.nodes.total + 1)]
    present = [path for path in [directory.genesis, *(node / GENESIS_NAME for node in nodes)] if path.exists()]
    if not present or not knows_nodes(directory):
        return
    made_as = next((read_record(node).network for node in nodes if (node / RECORD_NAME).exists()), spec.name)
    if made_as != spec.name:
        raise GenesisMismatchError(
            f"name: this network was made as {made_as}, and cannot become {spec.name}",
            hint="undo the change, or make a new network",
        )
    genesis = read_json(present[0], what="genesis", hint="put it back from a backup, or from a node")
    check_drift(spec, genesis, validators=_genesis_validators(directory, spec))


def _genesis_validators(directory: NetworkDirectory, spec: NetworkSpec) -> int | None:
    """How many validators the genesis names, by the nodes' records. One that lost its disk has no record, and once it
    is replaced it says that it is an observer; so what may be such a one counts as the spec has it: the nodes judge it
    themselves."""
    records = {}
    for path in directory.nodes.glob("node*"):
        with contextlib.suppress(CorruptFileError, NewerFormatError):
            records[path.name] = read_record(path)
    told = {peer.name for record in records.values() for peer in record.peers} | set(records)
    validators = {name for name, record in records.items() if record.role == "validator"}
    first = {node_name(ordinal) for ordinal in range(1, spec.nodes.validators + 1)}
    return len(validators | (first & told)) or None


def knows_nodes(directory: NetworkDirectory) -> bool:
    """Whether the nodes ever told this directory who they are."""
    return any(directory.nodes.glob(f"*/{RECORD_NAME}"))


def is_known(directory: NetworkDirectory, statuses: Iterable[NodeStatus]) -> bool:
    """Whether one at least of the nodes that tell who they are is who the directory says; others may have been
    replaced."""
    return any(status.enode and Enode.key_in(status.enode) == known_key(directory, status.name) for status in statuses)


def known_key(directory: NetworkDirectory, node: str) -> str | None:
    """The enode key of the node of that name, as it told it; None where it is not known."""
    try:
        return read_record(directory.node(node)).identity.enode_key
    except CorruptFileError:
        return None


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
    never leave the nodes, and no client's files. `statuses` and `endpoints` are one for each node, by ordinal.

    Raises:
        UnknownNodesError: the directory knows the nodes, and none of them is among these.
    """
    if knows_nodes(directory) and not is_known(directory, statuses):
        raise UnknownNodesError(
            f"{directory.path}: the nodes that run are not those that are known here, so it is another network",
            hint="put their disks back from a backup; or, to go on with those that run, remove nodes/ and genesis.json",
        )
    identities = [PublicIdentity(Enode.key_in(status.enode), status.account, status.tm_key) for status in statuses]
    network = plan(spec, identities, endpoints)
    with locked(directory):
        if not directory.genesis.exists():  # of a node that was replaced since, it names the old account
            write_atomic(directory.genesis, render_genesis(network))
        for node in network.nodes:
            place = private_directory(directory.node(node.name))
            write_if_changed(place / RECORD_NAME, to_json(record_of(network, node).model_dump()))
    return network
