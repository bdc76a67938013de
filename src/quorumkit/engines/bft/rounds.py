"""How far CometBFT is with the height it works on, and what it waits for there. Pure.

A height is one decision, and mostly one round of it: its proposer proposes a block, all vote for it once (prevote) and,
where two thirds did, a second time (precommit). Where that fails, the next round has another proposer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from quorumkit.rpc.base import expecting

_NO_VOTE = "nil-Vote"


class Step(IntEnum):
    """Of a round (internal/consensus, `RoundStepType`)."""

    NEW_HEIGHT = 1
    NEW_ROUND = 2
    PROPOSE = 3
    PREVOTE = 4
    PREVOTE_WAIT = 5
    PRECOMMIT = 6
    PRECOMMIT_WAIT = 7
    COMMIT = 8


@dataclass(frozen=True)
class RoundState:
    """One node's view of it."""

    height: int
    round: int
    step: Step
    proposer: str
    """The address of the validator whose turn it is."""
    has_proposal: bool
    prevotes: tuple[bool, ...]
    """Who has voted, in the order of the set of validators."""
    precommits: tuple[bool, ...]

    @property
    def is_idle(self) -> bool:
        """Whether nothing has begun: it waits until a block is due, or for transactions."""
        return self.round == 0 and self.step <= Step.NEW_ROUND


def round_state(answer: Any) -> RoundState:
    """Out of what `consensus_state` answers.

    Raises:
        RpcError: it is of another shape.
    """
    with expecting("CometBFT: consensus_state"):
        state = answer["round_state"]
        height, number, step = map(int, state["height/round/step"].split("/"))
        votes = next((each for each in state["height_vote_set"] if each["round"] == number), None)
        return RoundState(
            height=height,
            round=number,
            step=Step(step),
            proposer=str(state["proposer"]["address"]),
            has_proposal=bool(state["proposal_block_hash"]),
            prevotes=_who_voted(votes["prevotes"] if votes else []),
            precommits=_who_voted(votes["precommits"] if votes else []),
        )


def _who_voted(votes: Sequence[str]) -> tuple[bool, ...]:
    return tuple(vote != _NO_VOTE for vote in votes)


def what_it_waits_for(state: RoundState, validators: Sequence[str], names: Mapping[str, str]) -> str | None:
    """Why the height is not decided yet, in words; None where nothing has begun. `validators` are the addresses of the
    set, in its order, `names` what nodes are called, by address."""
    if state.is_idle:
        return None
    where = f"height {state.height}, round {state.round}"
    if state.step == Step.COMMIT:
        return f"{where}: it is decided, and its block has not come or is not executed yet"
    if state.step <= Step.PROPOSE:
        return f"{where}: {_name(state.proposer, names)} is to propose a block"
    votes, which = (state.prevotes, "first") if state.step <= Step.PREVOTE_WAIT else (state.precommits, "second")
    missing = [address for address, voted in zip(validators, votes, strict=False) if not voted]
    if not missing:
        return f"{where}: the validators do not agree on a block"
    count = f"{sum(votes)} of {len(votes)} validators have given their {which} vote"
    return f"{where}: {count}, not {_listed([_name(address, names) for address in missing])}"


def _name(address: str, names: Mapping[str, str]) -> str:
    return names.get(address, f"validator {address[:12]}")


_MOST_NAMED = 8


def _listed(names: Sequence[str]) -> str:
    further = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {further} more" if further > 0 else "")


class Height:
    """How long the present height has taken, by any one clock in seconds. Waiting for transactions does not count."""

    def __init__(self) -> None:
        self._height = 0
        self._since = 0.0

    def look(self, state: RoundState, now: float) -> float:
        """Seconds since it was first seen to have begun."""
        if state.height != self._height or state.is_idle:
            self._height, self._since = state.height, now
        return now - self._since
