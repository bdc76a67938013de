"""The members of a network as CometBFT knows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from quorumkit.addresses import Endpoint
from quorumkit.engines.bft.files import PORT
from quorumkit.engines.bft.keys import PEER, VALIDATOR, node_id, validator_address

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord, PeerRecord


def place_of(peer: PeerRecord, port: str) -> Endpoint | None:
    """Where a peer has that named port, on the host that its enode URL names; None where that does not tell."""
    number = peer.enode.fields.get(port, "")
    return Endpoint(peer.enode.place.host, int(number)) if number.isdecimal() else None


def peers_of(record: NodeRecord) -> dict[str, Endpoint]:
    """Where CometBFT's peers of that node are dialled, by their ids. One whose port or key the record does not tell is
    left out."""
    places = {}
    for peer in record.peers:
        place, key = place_of(peer, PORT), peer.further_keys.get(PEER)
        if key is not None and place is not None:
            places[node_id(key)] = place
    return places


def names_of(record: NodeRecord) -> Mapping[str, str]:
    """The names of the node and its peers, by the address of their validator keys."""
    keys = {peer.name: peer.further_keys for peer in record.peers} | {record.name: record.identity.further_keys}
    return {validator_address(own[VALIDATOR]): name for name, own in keys.items() if VALIDATOR in own}
