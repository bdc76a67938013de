"""What commands about networks show: summaries and tables for people, JSON for machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from quorumkit.cli.output import done, is_terminal, print_json, print_table, say
from quorumkit.consensus import address_to_vote_for, consensus_of
from quorumkit.directory import NetworkDirectory
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network
from quorumkit.spec import NetworkSpec

if TYPE_CHECKING:
    from quorumkit.stages.verify import Verification


def summary(spec: NetworkSpec) -> str:
    """A network in one line: its nodes, client, consensus and chain id."""
    validators = f"{spec.nodes.validators} validator{'s' if spec.nodes.validators != 1 else ''}"
    observers = f", {spec.nodes.observers} observer{'s' if spec.nodes.observers != 1 else ''}"
    pace = (
        ""
        if consensus_of(spec.consensus.kind).blocks_on_demand(spec.consensus)
        else f" every {spec.consensus.period} s"
    )
    return (
        f"{spec.name}: {validators}{observers if spec.nodes.observers else ''}, {spec.engine.kind} "
        f"{spec.engine.version}, {spec.consensus.kind}{pace}, chain id {spec.chain_id}"
    )


def network_json(directory: NetworkDirectory, network: Network) -> dict[str, Any]:
    """A network that was made: who its nodes are."""
    return {
        "network": network.spec.name,
        "directory": str(directory.path.absolute()),
        "chain_id": network.spec.chain_id,
        "nodes": [
            {
                "name": node.name,
                "ordinal": node.ordinal,
                "role": node.role,
                "enode": str(node.enode),
                "account": node.identity.account,
                "validator_address": address_to_vote_for(network.spec.consensus.kind, node.identity),
                "tm_public_key": node.identity.tm_key,
                "rpc_url": node.endpoints.rpc_url,
            }
            for node in network.nodes
        ],
    }


def statuses_json(spec: NetworkSpec, statuses: Sequence[NodeStatus]) -> dict[str, Any]:
    """What a network's nodes do."""
    return {
        "network": spec.name,
        "engine": f"{spec.engine.kind} {spec.engine.version}",
        "consensus": spec.consensus.kind,
        "nodes": [status.to_json() for status in statuses],
    }


def show_nodes(network: Network) -> None:
    """Who the nodes of a network are that was made."""
    for node in network.nodes:
        say(f"{node.name}  {node.role}\n  enode    {node.enode}\n  account  {node.identity.account}")
        address = address_to_vote_for(network.spec.consensus.kind, node.identity)
        if address and address != node.identity.account:
            say(f"  validator address  {address}")
        if node.identity.tm_key:
            say(f"  TM key   {node.identity.tm_key}")


def show_started(statuses: Sequence[NodeStatus]) -> None:
    """The nodes of a network that is complete."""
    print_table(
        ["NODE", "ROLE", "STATE", "BLOCK", "PEERS", "RPC"],
        [[s.name, s.role, s.state, _or_dash(s.block), _or_dash(s.peers), s.rpc_url] for s in statuses],
    )


def show_statuses(spec: NetworkSpec, statuses: Sequence[NodeStatus], *, as_json: bool, watched: bool = False) -> None:
    """What the nodes do; in JSON as one line where more will follow."""
    if as_json:
        print_json(statuses_json(spec, statuses), one_line=watched)
        return
    if watched and is_terminal(sys.stdout):
        click.clear()
    running = sum(status.ready for status in statuses)
    say(f"{summary(spec)}: {running} of {len(statuses)} running{'  (Ctrl-C ends)' if watched else ''}")
    votes = any(status.validator_address for status in statuses)  # with bft and raft nobody is voted for by it
    print_table(
        ["NODE", "STATE", "ROLE", "BLOCK", "PEERS", "RPC", "PID", *(["VALIDATOR ADDRESS"] if votes else [])],
        [
            [s.name, s.state, s.role, _or_dash(s.block), f"{_or_dash(s.peers)}/{s.expected_peers}", s.rpc_url,
             _or_dash(s.pid), *([_or_dash(s.validator_address)] if votes else [])]
            for s in statuses
        ],
    )  # fmt: skip
    for status in statuses:
        for text in filter(None, [status.error, status.trouble]):
            say(f"{status.name}: {text}")
    for text, names in _waits(statuses).items():
        say(f"{', '.join(names)}: {text}")


def _waits(statuses: Sequence[NodeStatus]) -> dict[str, list[str]]:
    """The nodes whose consensus takes longer than it should for a block, by what they wait for; but where their state
    says so already."""
    waits: dict[str, list[str]] = {}
    for status in statuses:
        text = status.figures.get("waits_for")
        if text and text != status.error:
            waits.setdefault(str(text), []).append(status.name)
    return waits


def show_verification(verification: Verification) -> None:
    """What came of verifying a network."""
    count = len(verification.reads)
    if verification.ok:
        done(
            f"verified in {verification.seconds:.1f} s: contract {verification.contract} holds {verification.value} "
            f"on {f'all {count} nodes' if count > 1 else 'its one node'} at block {verification.block}, "
            "with the same hash"
        )
        if verification.private:
            parties = " and ".join(verification.private.parties)
            done(f"a private contract reads {verification.value} on {parties}, and nothing on any other node")
        return
    say(f"NOT verified after {verification.seconds:.1f} s")
    if verification.private and not verification.private.ok:
        say(f"  the private contract of {' and '.join(verification.private.parties)}: {verification.private.reads}")
    for name, value in verification.reads.items():
        if name in verification.errors:
            say(f"  {name}: {verification.errors[name]}")
        elif value is None:
            say(f"  {name}: has not reached the block")
        elif value != verification.value:
            say(f"  {name}: reads {value}, not {verification.value}")
    if not verification.hashes_equal and not verification.errors:
        say(f"  the nodes do not agree on block {verification.block}")


def show_next_step(directory: NetworkDirectory, spec: NetworkSpec) -> None:
    """How a network that was made is started. What Compose by itself needs is an image of that name."""
    say(f"start it: quorumkit up {directory.path}")
    if spec.runtime == "compose":
        image = "" if spec.compose.image else f"quorumkit image build --dir {directory.path}, then "
        say(f"or with Compose alone: {image}docker compose up -d in {directory.path}")


def _or_dash(value: Any) -> str:
    return "-" if value is None else str(value)
