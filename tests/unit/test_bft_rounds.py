"""What is read of CometBFT's view of a height, and what is said of one that takes long."""

from __future__ import annotations

from typing import Any

import pytest

from quorumkit.engines.bft.rounds import Height, RoundState, Step, round_state, what_it_waits_for
from quorumkit.errors import RpcError

VALIDATORS = ["AA", "BB", "CC", "DDDDDDDDDDDDDDDD"]
NAMES = {"AA": "node1", "BB": "node2", "CC": "node3"}

VOTE = "Vote{2:AD82E616FB19 7/00/SIGNED_MSG_TYPE_PREVOTE(Prevote) 2BD9F6D49726 C1B71D18C6C3 000000000000 @ 2026-11-25}"
NONE = "nil-Vote"


def answer(where: str, *, prevotes: list[str], precommits: list[str], proposal: str = "2BD9") -> dict[str, Any]:
    """As CometBFT 0.40 gives it: it has a set of votes for the next round too."""
    number = int(where.split("/")[1])
    nobody = [NONE] * len(prevotes)
    return {
        "round_state": {
            "height/round/step": where,
            "start_time": "2026-11-25T21:02:42.165871208Z",
            "proposal_block_hash": proposal,
            "height_vote_set": [
                {"round": number, "prevotes": prevotes, "precommits": precommits},
                {"round": number + 1, "prevotes": nobody, "precommits": nobody},
            ],
            "proposer": {"address": "BB", "index": 1},
        }
    }


def state(where: str, prevotes: int = 0, precommits: int = 0) -> RoundState:
    """Where that many of four have voted."""

    def votes(count: int) -> list[str]:
        return [VOTE] * count + [NONE] * (4 - count)

    return round_state(answer(where, prevotes=votes(prevotes), precommits=votes(precommits)))


def test_it_is_read_as_cometbft_gives_it() -> None:
    read = round_state(answer("7/1/4", prevotes=[NONE, NONE, VOTE, NONE], precommits=[NONE] * 4))
    assert (read.height, read.round, read.step, read.proposer) == (7, 1, Step.PREVOTE, "BB")
    assert read.has_proposal
    assert read.prevotes == (False, False, True, False)
    assert not any(read.precommits)


@pytest.mark.parametrize("wrong", [None, [], {"round_state": {"height/round/step": "7/1"}}, {"round_state": None}])
def test_what_is_of_another_shape_is_an_error(wrong: object) -> None:
    with pytest.raises(RpcError, match="consensus_state: an answer of another shape"):
        round_state(wrong)


@pytest.mark.parametrize(
    ("present", "text"),
    [
        (state("8/0/1"), None),
        (state("8/0/2"), None),
        (state("8/1/2"), "height 8, round 1: node2 is to propose a block"),
        (state("8/0/3"), "height 8, round 0: node2 is to propose a block"),
        (
            state("8/2/4", 2),
            "height 8, round 2: 2 of 4 validators have given their first vote, not node3, validator DDDDDDDDDDDD",
        ),
        (
            state("8/2/6", 4, 3),
            "height 8, round 2: 3 of 4 validators have given their second vote, not validator DDDDDDDDDDDD",
        ),
        (state("8/2/5", 4), "height 8, round 2: the validators do not agree on a block"),
        (state("8/2/8", 4, 4), "height 8, round 2: it is decided, and its block has not come or is not executed yet"),
    ],
)
def test_what_a_height_waits_for_is_said(present: RoundState, text: str | None) -> None:
    assert what_it_waits_for(present, VALIDATORS, NAMES) == text


def test_of_many_that_are_missing_some_are_named() -> None:
    votes = [NONE] * 10
    text = what_it_waits_for(round_state(answer("8/0/4", prevotes=votes, precommits=votes)), list("0123456789"), {})
    assert text is not None
    assert text.endswith("not " + ", ".join(f"validator {each}" for each in "01234567") + " and 2 more")


def test_a_height_lasts_from_when_it_has_begun() -> None:
    height = Height()
    assert height.look(state("8/0/3"), 100.0) == 0
    assert height.look(state("8/1/4"), 107.0) == 7
    assert height.look(state("9/0/3"), 108.0) == 0
    assert height.look(state("9/0/2"), 118.0) == 0  # waits for transactions
    assert height.look(state("9/0/3"), 120.0) == 2
