"""Where a node listens that has an address of its own: in a container, in a pod. Pure.

The same ports are the defaults of `quorumkit node run --exchange`.
"""

from __future__ import annotations

from quorumkit.addresses import Endpoint
from quorumkit.plan import NodeEndpoints
from quorumkit.spec import NetworkSpec

RPC_PORT = 8545
P2P_PORT = 30303
TM_PORT = 9001
EXCHANGE_PORT = 9546
HEALTH_PORT = 9545

_ANY = "0.0.0.0"  # noqa: S104 - the container's own network


def container_endpoints(
    spec: NetworkSpec, host: str, *, rpc_url: str, rpc_names: tuple[str, ...], tm_host: str | None = None
) -> NodeEndpoints:
    """The endpoints of the node that the others reach by `host`, an address or a name; its transaction manager by
    `tm_host`, where that has a container of its own."""
    manager = spec.transaction_manager is not None
    return NodeEndpoints(
        p2p=Endpoint(host, P2P_PORT),
        p2p_bind=Endpoint(_ANY, P2P_PORT),
        rpc_bind=Endpoint(_ANY, RPC_PORT),
        rpc_url=rpc_url,
        rpc_names=rpc_names,
        ports={name: port.number for name, port in spec.recipe.ports(spec.consensus.kind).items()},
        tm=Endpoint(tm_host or host, TM_PORT) if manager else None,
        tm_bind=Endpoint(_ANY, TM_PORT) if manager else None,
    )
