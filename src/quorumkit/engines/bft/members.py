"""The members of a network as CometBFT knows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from quorumkit.addresses import Endpoint
from quorumkit.engines.bft.files import PORT
from quorumkit.engines.bft.keys import PEER, VALIDATOR, node_id

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord


def validator_address(key: str) -> str:
    """What CometBFT calls the validator with that key (crypto/ed25519, `Address`): it is made as the id of a peer is,
    and written in upper case."""
    return node_id(key).upper()


def peers_of(record: NodeRecord) -> dict[str, Endpoint]:
    """Where CometBFT's peers of that node are dialled, by their ids. One whose port or key the record does not tell is
    left out."""
    places = {}
    for peer in record.peers:
        port, key = peer.enode.fields.get(PORT, ""), peer.further_keys.get(PEER)
        if key is not None and port.isdecimal():
            places[node_id(key)] = Endpoint(peer.enode.place.host, int(port))
    return places


def names_of(record: NodeRecord) -> Mapping[str, str]:
    """The names of the node and its peers, by the address of their validator keys."""
    keys = {peer.name: peer.further_keys for peer in record.peers} | {record.name: record.identity.further_keys}
    return {validator_address(own[VALIDATOR]): name for name, own in keys.items() if VALIDATOR in own}
