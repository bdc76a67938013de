"""Consensus kinds: each owns the genesis fields it needs and the rules about its validators. Pure functions."""

from quorumkit.consensus.base import Consensus, address_to_vote_for, consensus_of

__all__ = ["Consensus", "address_to_vote_for", "consensus_of"]
