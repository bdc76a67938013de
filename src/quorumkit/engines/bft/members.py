"""The members of a network as CometBFT knows them. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from quorumkit.addresses import Endpoint

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

PEER_KEY = "bft"
"""The further key (ed25519) that a node's CometBFT proves to its peers, and the enode URL's field with its port."""
VALIDATOR_KEY = "validator"
"""The further key (ed25519) that signs a node's votes."""

_ID_BYTES = 20


def node_id(key: str) -> str:
    """What CometBFT calls the node with that peer key, in hex: the first 20 bytes of its SHA-256 (p2p/key.go)."""
    return hashlib.sha256(bytes.fromhex(key)).digest()[:_ID_BYTES].hex()


def validator_address(key: str) -> str:
    """What CometBFT calls the validator with that key, in upper-case hex (crypto/ed25519, `Address`)."""
    return node_id(key).upper()


def peers_of(record: NodeRecord) -> dict[str, Endpoint]:
    """Where CometBFT's peers of that node are dialled, by their ids. One whose port or key the record does not tell is
    left out."""
    places = {}
    for peer in record.peers:
        port, key = peer.enode.fields.get(PEER_KEY, ""), peer.further_keys.get(PEER_KEY)
        if key is not None and port.isdecimal():
            places[node_id(key)] = Endpoint(peer.enode.place.host, int(port))
    return places


def names_of(record: NodeRecord) -> Mapping[str, str]:
    """The names of the node and its peers, by the address of their validator keys."""
    own_keys: Mapping[str, str] = getattr(record.identity, "further_keys", {})
    keys = {peer.name: peer.further_keys for peer in record.peers} | {record.name: own_keys}
    return {validator_address(own[VALIDATOR_KEY]): name for name, own in keys.items() if VALIDATOR_KEY in own}
