"""The files of a node's transaction manager. Pure; the keys are the identity's."""

from __future__ import annotations

from quorumkit.plan import Endpoint, Network, Node
from quorumkit.tm.config import render_tm_conf

TM_SOCKET = "tm.ipc"


def tm_url(endpoint: Endpoint) -> str:
    """How one manager reaches another."""
    return f"http://{endpoint}/"


def tm_files(network: Network, node: Node) -> dict[str, bytes]:
    """`tm/tm.conf`, in Constellation's format; every other manager's key is fixed in it, so nobody can claim one."""
    own, bind = node.endpoints.tm, node.endpoints.tm_bind
    if own is None or bind is None:
        raise ValueError(f"{node.name} has a transaction manager and no endpoint for it")
    others = [other for other in network.members if other is not node]
    content = render_tm_conf(
        url=tm_url(own),
        port=bind.port,
        interface=bind.host,
        socket=TM_SOCKET,
        other_nodes=[tm_url(other.endpoints.tm) for other in others if other.endpoints.tm],
        other_keys=[other.identity.tm_key for other in others if other.identity.tm_key],
    )
    return {"tm/tm.conf": content}
