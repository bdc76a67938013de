"""What nodes that make their own identities agreed on: written down as they report it, and held against the spec."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

from quorumkit.addresses import Enode
from quorumkit.directory import NetworkDirectory
from quorumkit.directory_lock import locked
from quorumkit.drift import check_drift
from quorumkit.errors import CorruptFileError, GenesisMismatchError, NewerFormatError, NodeError
from quorumkit.files import private_directory, read_json, to_json, write_atomic, write_if_changed
from quorumkit.identity import PublicIdentity
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, NodeEndpoints, node_name, node_names, plan
from quorumkit.providers.known import is_known, knows_nodes
from quorumkit.record import RECORD_NAME, read_record
from quorumkit.render import render_genesis
from quorumkit.render.node_files import record_of
from quorumkit.spec import NetworkSpec

GENESIS_NAME = "genesis.json"
"""Of the network, in its directory; of a node, in its own."""


class UnknownNodesError(NodeError):
    """Nodes run that are none of those that the network directory knows."""


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
    nodes = [directory.node(name) for name in node_names(spec)]
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
    named = {peer.name for record in records.values() for peer in record.peers} | set(records)
    validators = {name for name, record in records.items() if record.role == "validator"}
    first = {node_name(ordinal) for ordinal in range(1, spec.nodes.validators + 1)}
    return len(validators | (first & named)) or None


def write_down(
    directory: NetworkDirectory, spec: NetworkSpec, statuses: Sequence[NodeStatus], endpoints: Sequence[NodeEndpoints]
) -> Network:
    """The network that the nodes' reports amount to, and its genesis and records on this side: no keys, for those
    never leave the nodes, and no client's files. `statuses` and `endpoints` are one for each node, by ordinal.

    Raises:
        UnknownNodesError: the directory knows the nodes, and none of them is among these.
    """
    if knows_nodes(directory) and not is_known(directory, statuses):
        raise UnknownNodesError(
            f"{directory.path}: the nodes that run are not those that are known here, so it is another network",
            hint="put their disks back from a backup; or, to go on with those that run, remove nodes/ and genesis.json",
        )
    identities = [
        PublicIdentity(Enode.key_in(status.enode), status.account, status.tm_key, status.further_keys)
        for status in statuses
    ]
    network = plan(spec, identities, endpoints)
    with locked(directory):
        if not directory.genesis.exists():  # of a node that was replaced since, it names the old account
            write_atomic(directory.genesis, render_genesis(network))
        for node in network.nodes:
            place = private_directory(directory.node(node.name))
            write_if_changed(place / RECORD_NAME, to_json(record_of(network, node).model_dump()))
    return network
