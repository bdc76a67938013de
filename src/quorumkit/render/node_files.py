"""The files that every runtime needs."""

from __future__ import annotations

from quorumkit.consensus import consensus_of
from quorumkit.engines import engine_of
from quorumkit.files import to_json
from quorumkit.node.record import (
    RECORD_NAME,
    ConsensusRecord,
    EndpointRecord,
    EngineRecord,
    NodeRecord,
    PeerRecord,
)
from quorumkit.plan import Endpoint, Network, Node


def render_genesis(network: Network) -> bytes:
    """`genesis.json`, the same for every node."""
    return to_json(network.genesis)


def record_of(network: Network, node: Node) -> NodeRecord:
    """What the node program is told of a node."""
    spec = network.spec
    return NodeRecord(
        network=spec.name,
        name=node.name,
        ordinal=node.ordinal,
        role=node.role,
        engine=EngineRecord(
            kind=spec.engine.kind, version=spec.engine.version, state=spec.engine.state, cache=spec.engine.cache
        ),
        consensus=ConsensusRecord(
            kind=spec.consensus.kind,
            period=spec.consensus.period,
            quorum=consensus_of(spec.consensus.kind).quorum(spec.nodes.validators),
        ),
        chain_id=spec.chain_id,
        enode_key=node.identity.enode_key,
        enode=node.enode,
        account=node.identity.account,
        p2p=_endpoint(node.endpoints.p2p),
        p2p_bind=_endpoint(node.endpoints.p2p_bind),
        rpc_bind=_endpoint(node.endpoints.rpc_bind),
        rpc_url=node.endpoints.rpc_url,
        rpc_names=list(node.endpoints.rpc_names),
        peers=[PeerRecord(name=peer.name, enode=peer.enode) for peer in network.peers_of(node)],
    )


def render_node(network: Network, node: Node) -> dict[str, bytes]:
    """A node's files that hold no secrets, by path below its directory."""
    record = record_of(network, node).model_dump()
    return {RECORD_NAME: to_json(record)} | engine_of(network.spec.engine.kind).node_files(network, node)


def _endpoint(endpoint: Endpoint) -> EndpointRecord:
    return EndpointRecord(host=endpoint.host, port=endpoint.port)
