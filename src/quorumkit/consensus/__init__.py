"""Consensus kinds: each owns the genesis fields it needs and the rules about its validators. Pure functions. This is
their one list."""

from quorumkit.consensus.base import Consensus
from quorumkit.identity import PublicIdentity

__all__ = ["Consensus", "address_to_vote_for", "consensus_of"]


def consensus_of(kind: str) -> Consensus:
    """The consensus kind of that name (the spec has checked that there is one)."""
    from quorumkit.consensus.bft import Bft
    from quorumkit.consensus.clique import Clique
    from quorumkit.consensus.ibft import Ibft
    from quorumkit.consensus.qbft import Qbft
    from quorumkit.consensus.raft import Raft

    kinds: tuple[Consensus, ...] = (Bft(), Clique(), Ibft(), Qbft(), Raft())
    return next(each for each in kinds if each.kind == kind)


def address_to_vote_for(kind: str, identity: PublicIdentity) -> str | None:
    """What validators name a node by when they vote it in or out; None where that kind has no such votes. Pure."""
    consensus = consensus_of(kind)
    return consensus.validator_address(identity) if consensus.votes_on_addresses else None
