"""Validators that are killed at once and come back: up to as many as blocks go on without, and more."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
from pathlib import Path

import psutil
import pytest
from networks import RunningNetwork, brought_up, eventually

from quorumkit.engines import Binary
from support.clique import CLIQUE
from support.goquorum import GOQUORUM, needs_goquorum
from support.validators_away import UP_TO_F_AND_MORE, goes_on, settled

pytestmark = pytest.mark.network


NODES = (1, 2, 3, 4)

ROUNDS = int(os.environ.get("QUORUMKIT_RESTART_ROUNDS", "10"))
"""How often two of four are killed at once: each of the six pairs once, and some again. A network that halts in one
round of ten is found with 50. Beyond 60 they are slow: a client that dies more than 30 times in 10 minutes is started
again ever later."""


def kill_and_come_back(network: RunningNetwork, victims: tuple[int, ...]) -> None:
    """Kills these clients at once, and waits until all are started again and everyone runs."""
    names = [f"node{number}" for number in victims]
    before = network.told()
    dying = [psutil.Process(before[name]["pid"]) for name in names]
    for client in dying:
        with contextlib.suppress(psutil.Error):
            client.send_signal(signal.SIGKILL)

    def seen() -> bool:
        after = network.told()
        return all(after[name]["restarts"] > before[name]["restarts"] for name in names)

    eventually(seen, f"the deaths of {victims} are seen")
    eventually(network.complete, f"all run after {victims} were killed")


def reaches(network: RunningNetwork, number: int, height: int) -> None:
    eventually(lambda: network.height(number) >= height, f"block {height}", pause=0.01)


def test_two_of_four_clique_validators_killed_at_once_again_and_again(tmp_path: Path, geth: Binary) -> None:
    with brought_up(tmp_path / "bank", *CLIQUE, "-n", "4") as network:
        pairs = itertools.cycle(itertools.combinations(NODES, 2))
        chance = random.Random(12)
        for number in range(ROUNDS):
            victims = next(pairs)
            survivor = (set(NODES) - set(victims)).pop()
            reaches(network, survivor, network.height(survivor) + chance.choice((0, 1)))
            kill_and_come_back(network, victims)
            goes_on(network.height, NODES, eventually, f"round {number}: blocks go on")


@pytest.mark.parametrize(
    "consensus", ["geth", *(pytest.param(kind, marks=needs_goquorum) for kind in ("clique", "qbft", "ibft", "raft"))]
)
def test_blocks_go_on_after_up_to_f_validators_were_killed_at_once_and_after_more(
    tmp_path: Path, geth: Binary, consensus: str
) -> None:
    arguments = list(CLIQUE) if consensus == "geth" else [
        "--engine", "goquorum", "--consensus", consensus, "--engine-binary", str(GOQUORUM),
    ]  # fmt: skip
    with brought_up(tmp_path / "bank", "-n", "4", *arguments) as network:
        for victims in UP_TO_F_AND_MORE:
            known = settled(map(network.height, NODES))
            known_hash = network.block_hash(1, known)
            kill_and_come_back(network, victims)
            assert {network.block_hash(number, known) for number in NODES} == {known_hash}
        assert network.verify()["ok"] is True
