"""What all nodes of a network must have been started with alike. Pure."""

from __future__ import annotations

import hashlib

from quorumkit.exchange.protocol import canonical
from quorumkit.spec import NetworkSpec


def terms_of(spec: NetworkSpec) -> dict[str, int | str]:
    """What all nodes of a network must have been started with alike: all that the genesis and the peers rest on.
    How a node runs its client (ports, cache, version) is its own affair."""
    alloc = {account.lower(): wei for account, wei in spec.genesis.alloc.items()}
    manager = spec.transaction_manager
    is_free_anyway = spec.recipe.gas_is_always_free
    return {
        "name": spec.name,
        "chain_id": spec.chain_id,
        "nodes.validators": spec.nodes.validators,
        "nodes.observers": spec.nodes.observers,
        "consensus": canonical(spec.consensus.own_fields),
        "engine.kind": spec.engine.kind,
        # Left out where there is none, so that networks that were made before there were any go on.
        **({"transaction_manager.kind": manager.kind} if manager else {}),
        "genesis.gas_limit": spec.genesis.gas_limit,
        # As above; where gas is free anyway, it makes no difference whether the spec says so.
        **({"genesis.free_gas": True} if spec.genesis.free_gas and not is_free_anyway else {}),
        **_further_terms(spec),
        "genesis.node_balance": str(spec.genesis.node_balance),
        "genesis.alloc": hashlib.sha256(canonical(alloc).encode()).hexdigest()[:16],
    }


def _further_terms(spec: NetworkSpec) -> dict[str, int | str]:
    """What most networks leave at its default, named only where it is not: so that those made before it was there go
    on."""
    genesis = spec.genesis
    prices = {f"genesis.{name}": str(getattr(genesis, name)) for name in ("base_fee", "gas_price")}
    said: dict[str, int | str] = {name: value for name, value in prices.items() if value != "0"}
    return said | ({"genesis.fork_times": canonical(genesis.fork_times)} if genesis.fork_times else {})
