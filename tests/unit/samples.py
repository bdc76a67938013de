"""Specs, identities and networks that tests are made with."""

from __future__ import annotations

from dataclasses import replace

from quorumkit.addresses import Endpoint
from quorumkit.identity import PublicIdentity
from quorumkit.plan import Network, NodeEndpoints, plan
from quorumkit.spec import NetworkSpec, parse_spec
from support.clique import on_clique


def spec_of(validators: int = 3, observers: int = 0, **fields: object) -> NetworkSpec:
    """With geth, on Clique, where the fields do not say otherwise."""
    nodes = {"validators": validators, "observers": observers}
    return parse_spec(on_clique({"name": "bank", "nodes": nodes, **fields}))


def identity_number(number: int) -> PublicIdentity:
    """A well-formed identity that needs no cryptography."""
    return PublicIdentity(enode_key=f"{number:0128x}", account=f"0x{number:040x}")


def endpoints_number(number: int) -> NodeEndpoints:
    return NodeEndpoints(
        p2p=Endpoint("127.0.0.1", 20000 + number),
        p2p_bind=Endpoint("127.0.0.1", 20000 + number),
        rpc_bind=Endpoint("127.0.0.1", 10000 + number),
        rpc_url=f"http://127.0.0.1:{10000 + number}",
    )


def planned(spec: NetworkSpec) -> Network:
    numbers = range(1, spec.nodes.total + 1)
    names = further.names if (further := spec.recipe.further_keys) else ()
    identities = [replace(identity_number(n), further_keys=dict.fromkeys(names, f"{n:064x}")) for n in numbers]
    return plan(spec, identities, [endpoints_number(n) for n in numbers])


def fixed_addresses(spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
    """An addressing that always gives the same endpoints and looks at no port."""
    return [endpoints_number(number) for number in range(1, spec.nodes.total + 1)]
