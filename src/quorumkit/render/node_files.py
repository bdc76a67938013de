"""The files that every provider needs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from quorumkit.consensus import consensus_of
from quorumkit.files import to_json
from quorumkit.managers import manager_of
from quorumkit.plan import Network, Node
from quorumkit.record import (
    RECORD_NAME,
    ConsensusRecord,
    EngineRecord,
    NodeRecord,
    PeerRecord,
    TmRecord,
)


def render_genesis(network: Network) -> bytes:
    """`genesis.json`, the same for every node."""
    return to_json(network.genesis)


def record_of(network: Network, node: Node) -> NodeRecord:
    """What the node program is told of a node."""
    spec = network.spec
    return NodeRecord(
        network=spec.name,
        chain_id=spec.chain_id,
        gas_limit=spec.genesis.gas_limit,
        free_gas=spec.gas_is_free,
        gas_price=spec.genesis.gas_price or None,
        engine=EngineRecord(
            kind=spec.engine.kind,
            version=spec.engine.version,
            image=spec.engine.image,
            state=spec.engine.state,
            cache=spec.engine.cache,
            verbosity=spec.engine.verbosity,
            client_arguments=tuple(spec.engine.client_arguments),
        ),
        consensus=ConsensusRecord(
            kind=spec.consensus.kind,
            period=spec.consensus.period,
            quorum=consensus_of(spec.consensus.kind).quorum(spec.nodes.validators),
            blocks_on_demand=consensus_of(spec.consensus.kind).blocks_on_demand(spec.consensus),
            raft_block_time=spec.consensus.raft_block_time if spec.consensus.kind == "raft" else None,
        ),
        tm=_transaction_manager(network, node),
        node=node,
        peers=tuple(_peer(peer) for peer in network.peers_of(node)),
    )


def render_node(network: Network, node: Node) -> dict[str, bytes]:
    """A node's files that hold no secrets, by path below its directory."""
    record = record_of(network, node).model_dump()
    files = {RECORD_NAME: to_json(record)} | network.spec.recipe.node_files(network, node)
    if network.spec.transaction_manager is not None:
        files |= manager_of(network.spec.transaction_manager.kind).files(network, node)
    return files


def keeping(network: Network, name: str, source: Path) -> Callable[[bytes, bytes], bytes] | None:
    """How the file `name` of `render_node` is written over one that is there, at `source`: a function of what is there
    and what was rendered. None for most, which are replaced; a transaction manager's configuration keeps what its
    operator added.
    """
    manager = network.spec.transaction_manager
    if manager is None or name != manager_of(manager.kind).config:
        return None
    return partial(manager_of(manager.kind).keep, source=source)


def _peer(node: Node) -> PeerRecord:
    return PeerRecord(name=node.name, enode=node.enode, further_keys=dict(node.identity.further_keys))


def _transaction_manager(network: Network, node: Node) -> TmRecord | None:
    manager, endpoint, key = network.spec.transaction_manager, node.endpoints.tm, node.identity.tm_key
    if manager is None or endpoint is None or key is None:
        return None
    return TmRecord(kind=manager.kind, apart=network.spec.manager_apart)
