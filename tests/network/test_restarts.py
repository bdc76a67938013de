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
from networks import PATIENCE, RunningNetwork, brought_up, eventually

from quorumkit.engines import Binary

pytestmark = pytest.mark.network

BINARY = os.environ.get("QUORUMKIT_GOQUORUM")
needs_goquorum = pytest.mark.skipif(BINARY is None, reason="QUORUMKIT_GOQUORUM names no GoQuorum binary")

ROUNDS = int(os.environ.get("QUORUMKIT_RESTART_ROUNDS", "8"))
"""How often two of four are killed at once. A network that halts in one round of ten is found with 50."""


def kill_and_come_back(network: RunningNetwork, victims: tuple[int, ...]) -> None:
    """Kills these clients at once, and waits until all are started again and everyone runs."""
    names = [f"node{number}" for number in victims]
    clients, before = network.clients(), network.status()
    dying = [clients[name] for name in names]
    for client in dying:
        with contextlib.suppress(psutil.Error):
            client.send_signal(signal.SIGKILL)
    psutil.wait_procs(dying, PATIENCE)

    def seen() -> bool:
        after = network.status()
        return all(after[name]["restarts"] > before[name]["restarts"] for name in names)

    eventually(seen, f"the deaths of {victims} are seen")
    eventually(network.complete, f"all run after {victims} were killed")


def goes_on(network: RunningNetwork, what: str) -> None:
    """All nodes get two blocks more than any has."""
    nodes = range(1, len(network.status()) + 1)
    goal = max(network.height(number) for number in nodes) + 2
    eventually(lambda: all(network.height(number) >= goal for number in nodes), what)


def reaches(network: RunningNetwork, number: int, height: int) -> None:
    eventually(lambda: network.height(number) >= height, f"block {height}", pause=0.01)


def test_two_of_four_clique_validators_killed_at_once_again_and_again(tmp_path: Path, geth: Binary) -> None:
    with brought_up(tmp_path / "bank", "-n", "4") as network:
        pairs = itertools.cycle(itertools.combinations((1, 2, 3, 4), 2))
        chance = random.Random(12)
        for number in range(ROUNDS):
            victims = next(pairs)
            survivor = ({1, 2, 3, 4} - set(victims)).pop()
            reaches(network, survivor, network.height(survivor) + chance.choice((1, 2)))
            kill_and_come_back(network, victims)
            goes_on(network, f"round {number}: blocks go on")


@pytest.mark.parametrize(
    "consensus", ["geth", *(pytest.param(kind, marks=needs_goquorum) for kind in ("clique", "qbft", "ibft", "raft"))]
)
def test_blocks_go_on_after_up_to_f_validators_were_killed_at_once_and_after_more(
    tmp_path: Path, geth: Binary, consensus: str
) -> None:
    arguments = [] if consensus == "geth" else [
        "--engine", "goquorum", "--consensus", consensus, "--engine-binary", str(BINARY),
    ]  # fmt: skip
    with brought_up(tmp_path / "bank", "-n", "4", *arguments) as network:
        for victims in ((4,), (2, 3), (1, 2, 3), (1, 2, 3, 4)):
            kill_and_come_back(network, victims)
        assert network.verify()["ok"] is True
