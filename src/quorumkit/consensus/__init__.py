"""Consensus kinds: each owns the genesis fields it needs and the rules about its validators. Pure functions."""

from quorumkit.consensus.base import Consensus, consensus_of

__all__ = ["Consensus", "consensus_of"]
