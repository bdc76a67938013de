"""Consensus kinds: each owns the genesis fields it needs and the rules about its validators. Pure functions. This is
their one list."""

from collections.abc import Mapping

from quorumkit.consensus.base import Consensus
from quorumkit.consensus.ports import NamedPort
from quorumkit.identity import PublicIdentity

__all__ = ["Consensus", "NamedPort", "address_to_vote_for", "consensus_of", "named_ports"]


def consensus_of(kind: str) -> Consensus:
    """The consensus kind of that name (the spec has checked that there is one)."""
    return _kinds()[kind]


def named_ports() -> Mapping[str, NamedPort]:
    """What nodes of any kind need beyond the ports for peers and for JSON-RPC, by name."""
    return {name: port for consensus in _kinds().values() for name, port in consensus.ports.items()}


def _kinds() -> Mapping[str, Consensus]:
    from quorumkit.consensus.clique import Clique
    from quorumkit.consensus.ibft import Ibft
    from quorumkit.consensus.qbft import Qbft
    from quorumkit.consensus.raft import Raft

    return {"clique": Clique(), "ibft": Ibft(), "qbft": Qbft(), "raft": Raft()}


def address_to_vote_for(kind: str, identity: PublicIdentity) -> str | None:
    """What validators name a node by when they vote it in or out; None where that kind has no such votes. Pure."""
    consensus = consensus_of(kind)
    return consensus.validator_address(identity) if consensus.votes_on_addresses else None
