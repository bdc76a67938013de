"""CometBFT's files that hold no secrets. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quorumkit.addresses import Endpoint
from quorumkit.engines.bft.genesis import LARGEST_BLOCK, consensus_genesis
from quorumkit.engines.bft.keys import PEER, node_id
from quorumkit.engines.bft.paths import ABCI_SOCKET, CONFIG, GENESIS, RPC_SOCKET
from quorumkit.engines.geth.recipe import toml_lines, toml_tables
from quorumkit.files import to_json

if TYPE_CHECKING:
    from quorumkit.plan import Network, Node

PORT = "bft"
"""The named port of CometBFT's peers."""
LIGHT_PORT = "light"
"""The named port of what members tell those who join."""

_QUICK = 104_857_600  # bytes a second: what a connection may carry
_WAITS = {"timeout_prevote": "300ms", "timeout_precommit": "300ms"}
_GROWS = {"timeout_prevote_delta": "100ms", "timeout_precommit_delta": "100ms", "timeout_propose_delta": "250ms"}


def consensus_files(network: Network, node: Node) -> dict[str, bytes]:
    """Its configuration and its first block."""
    return {
        str(CONFIG): config_of(network, node),
        str(GENESIS): to_json(consensus_genesis(network)),
    }


def peer_address(node: Node) -> str:
    """What CometBFT dials a node by: `ID@HOST:PORT`."""
    place = Endpoint(node.endpoints.p2p.host, node.endpoints.ports[PORT])
    return f"{node_id(node.identity.further_keys[PEER])}@{place}"


def config_of(network: Network, node: Node) -> bytes:
    """`config.toml` (config/toml.go). What is left out is CometBFT's default.

    Nobody but peers reaches it over the network: its RPC is a unix socket in the node's directory. Those that dial in
    are let in by their key alone (`filter_peers`, which asks the bridge).
    """
    peers = network.peers_of(node)
    period = network.spec.consensus.period
    verbosity = network.spec.engine.verbosity
    bind = Endpoint(node.endpoints.p2p_bind.host, node.endpoints.ports[PORT])
    root = {
        "proxy_app": f"unix://{ABCI_SOCKET}",
        "abci": "socket",
        "moniker": node.name,
        "filter_peers": True,
        "log_level": "info" if verbosity is not None and verbosity > 3 else "error",
        "log_format": "plain",
    }
    tables: dict[str, dict[str, Any]] = {
        "rpc": {
            "laddr": f"unix://{RPC_SOCKET}",
            "unsafe": True,  # the node program has it dial members that moved
            "max_body_bytes": 2 * LARGEST_BLOCK,
        },
        "p2p": {
            "laddr": f"tcp://{bind}",
            "pex": False,
            "addr_book_strict": False,
            "allow_duplicate_ip": True,
            "persistent_peers": ",".join(map(peer_address, peers)),
            "unconditional_peer_ids": ",".join(node_id(peer.identity.further_keys[PEER]) for peer in peers),
            "persistent_peers_max_dial_period": "2s",
            "send_rate": _QUICK,
            "recv_rate": _QUICK,
            "max_packet_msg_payload_size": 65536,
        },
        "mempool": {"type": "flood", "broadcast": False},
        "consensus": {
            # A proposer waits until a block is due: the others wait for that, and for it to build.
            "timeout_propose": f"{period * 1000 + 1500}ms",
            **_WAITS,
            **_GROWS,
            "timeout_commit": "0s",
            "create_empty_blocks": network.spec.consensus.empty_blocks,
            "peer_gossip_sleep_duration": "25ms",
        },
        "storage": {"discard_abci_responses": True},
        "tx_index": {"indexer": "null"},
    }
    head = f"# {node.name} of {network.spec.name}: rendered from quorumkit.yaml; edit that instead.\n"
    return f"{head}{toml_lines(root)}\n{toml_tables(tables)}".encode()
