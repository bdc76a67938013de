"""Consensus kinds: each owns the genesis fields it needs and the rules about its validators. Pure functions. This is
their one list."""

from quorumkit.consensus.base import Consensus

__all__ = ["Consensus", "consensus_of"]


def consensus_of(kind: str) -> Consensus:
    """The consensus kind of that name (the spec has checked that there is one)."""
    from quorumkit.consensus.clique import Clique
    from quorumkit.consensus.ibft import Ibft
    from quorumkit.consensus.qbft import Qbft
    from quorumkit.consensus.raft import Raft

    kinds: dict[str, Consensus] = {"clique": Clique(), "ibft": Ibft(), "qbft": Qbft(), "raft": Raft()}
    return kinds[kind]
