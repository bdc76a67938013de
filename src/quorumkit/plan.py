"""From a spec, identities and endpoints to a whole network. Pure: no I/O, and the same input gives the same network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from quorumkit.addresses import Endpoint, Enode, Port
from quorumkit.consensus import consensus_of
from quorumkit.engines import named_ports
from quorumkit.engines.base import NeutralGenesis
from quorumkit.identity import PublicIdentity
from quorumkit.spec import NetworkSpec

Role = Literal["validator", "observer"]

FULL_MESH = 32
"""Up to this many nodes, each is every other's static peer. Beyond it a node's static peers are those 1, 2, 4, 8
… places before and behind it, so that N nodes keep about 2·log2(N) connections each and any
two are log2(N) hops apart."""


@dataclass(frozen=True)
class NodeEndpoints:
    """Where a node is reached, and where its client listens for that."""

    p2p: Endpoint
    """What the other nodes dial."""
    p2p_bind: Endpoint
    rpc_bind: Endpoint
    rpc_url: str
    """HTTP JSON-RPC, as the person who runs the network reaches it."""
    rpc_names: tuple[str, ...] = ("localhost",)
    """Host names under which JSON-RPC answers; literal addresses always do."""
    ports: Mapping[str, Port] = field(default_factory=dict, hash=False)
    """By name, what its kind of client needs beyond those for peers and for JSON-RPC (`Recipe.ports`); on the host of
    `p2p`."""
    tm: Endpoint | None = None
    """What the other nodes' transaction managers reach this one's by, where there is one."""
    tm_bind: Endpoint | None = None


@dataclass(frozen=True)
class Node:
    """One node of a network."""

    ordinal: Annotated[int, Field(ge=1)]
    role: Role
    identity: PublicIdentity
    endpoints: NodeEndpoints

    @property
    def name(self) -> str:
        return node_name(self.ordinal)

    @property
    def enode(self) -> Enode:
        """What the other nodes dial, with the ports that they learn of from there."""
        ports = {named.enode_field: self.endpoints.ports.get(name) for name, named in named_ports().items()}
        query = "&".join(["discport=0", *(f"{field}={port}" for field, port in ports.items() if field and port)])
        return Enode(self.identity.enode_key, self.endpoints.p2p, query)


@dataclass(frozen=True)
class Network:
    """A planned network: everything that the files of its nodes are rendered from."""

    spec: NetworkSpec
    nodes: tuple[Node, ...]
    """By ordinal, 1 first."""
    genesis: dict[str, Any]

    def node(self, ordinal: int) -> Node:
        return self.nodes[ordinal - 1]

    @property
    def members(self) -> tuple[Node, ...]:
        """All that belong to the network now, by ordinal."""
        return self.nodes

    def peers_of(self, node: Node) -> tuple[Node, ...]:
        """The static peers of a node, by ordinal. Peering is mutual: if A is B's, B is A's."""
        everyone = consensus_of(self.spec.consensus.kind).full_mesh
        return tuple(self.node(n) for n in peer_ordinals(node.ordinal, len(self.nodes), everyone=everyone))


def ports_in(enode: Enode) -> dict[str, int]:
    """The named ports of a node that its enode URL tells (`NodeEndpoints.ports`)."""
    fields = {name: enode.fields.get(named.enode_field or "") for name, named in named_ports().items()}
    return {name: int(text) for name, text in fields.items() if text and text.isdecimal()}


def node_name(ordinal: int) -> str:
    """The name people call a node by: node1 … nodeN."""
    return f"node{ordinal}"


def node_names(spec: NetworkSpec) -> list[str]:
    """The names of all nodes of a spec, by ordinal."""
    return [node_name(ordinal) for ordinal in range(1, spec.nodes.total + 1)]


def role_of(ordinal: int, spec: NetworkSpec) -> Role:
    """The first `nodes.validators` ordinals validate, those after them observe."""
    return "validator" if ordinal <= spec.nodes.validators else "observer"


def peer_ordinals(ordinal: int, total: int, *, everyone: bool = False) -> list[int]:
    """The ordinals of a node's static peers in a network of `total`, ascending; with `everyone`, of however many."""
    if everyone or total <= FULL_MESH:
        return [other for other in range(1, total + 1) if other != ordinal]
    peers = set()
    stride = 1
    while stride < total:
        peers |= {(ordinal - 1 + stride) % total + 1, (ordinal - 1 - stride) % total + 1}
        stride *= 2
    return sorted(peers - {ordinal})


def plan(spec: NetworkSpec, identities: Sequence[PublicIdentity], endpoints: Sequence[NodeEndpoints]) -> Network:
    """The network of that spec; `identities` and `endpoints` are one for each node, by ordinal."""
    if not len(identities) == len(endpoints) == spec.nodes.total:
        raise ValueError(f"{len(identities)} identities and {len(endpoints)} endpoints for {spec.nodes.total} nodes")
    nodes = tuple(
        Node(ordinal, role_of(ordinal, spec), identity, endpoint)
        for ordinal, (identity, endpoint) in enumerate(zip(identities, endpoints, strict=True), start=1)
    )
    consensus = consensus_of(spec.consensus.kind)
    # Observers stand in no genesis, so that one can join a network that runs.
    validators = [node.identity for node in nodes if node.role == "validator"]
    balances = {one.account.lower(): spec.genesis.node_balance for one in validators if spec.genesis.node_balance}
    balances |= {account.lower(): wei for account, wei in spec.genesis.alloc.items()}
    genesis = spec.recipe.genesis(
        NeutralGenesis(
            chain_id=spec.chain_id,
            gas_limit=spec.genesis.gas_limit,
            free_gas=spec.gas_is_free,
            base_fee=spec.genesis.base_fee,
            fork_times=spec.genesis.fork_times,
            balances=balances,
            validators=tuple(validators),
            consensus_fields=consensus.genesis_fields(
                spec.consensus, [consensus.validator_address(identity) for identity in validators]
            ),
        )
    )
    return Network(spec, nodes, genesis)
