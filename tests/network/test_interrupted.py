"""Commands that are killed or interrupted: the next `up` finishes the work, and no key is made twice."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from networks import PATIENCE, RunningNetwork, begin, eventually, kill_all, left_of

from support.clique import CLIQUE

pytestmark = pytest.mark.network

NewNetwork = Callable[[str], RunningNetwork]

MOMENTS = [
    ".state",
    "quorumkit.yaml",
    "nodes",
    "nodes/node2",
    "genesis.json",
    "nodes/node3/geth.toml",
    ".state/supervisor.json",
    ".state/control.sock",
    "nodes/node1/data/geth/chaindata",
    "nodes/node2/data/genesis.sha256",
    "nodes/node3/data/geth.ipc",
]
"""What appears one after another as a network is made and started."""

BEFORE_START = MOMENTS[: MOMENTS.index(".state/supervisor.json")]


def wait_for(moment: str, network: RunningNetwork, command: subprocess.Popen[str]) -> None:
    path = network.path / moment
    eventually(lambda: path.exists() or command.poll() is not None, moment, pause=0.001)


def killed_at(moment: str, network: RunningNetwork, *command: str) -> None:
    """Runs a command and kills it as soon as that path is there."""
    process = begin(*command, *CLIQUE, "-n", "3", network.path)
    wait_for(moment, network, process)
    process.kill()
    process.communicate()


def finishes(network: RunningNetwork, keys: dict[str, bytes]) -> None:
    """What was begun comes to a whole network with the keys that were there."""
    network.up(*CLIQUE, "-n", "3")
    assert keys.items() <= network.keys().items()
    assert len(network.keys()) == 9
    assert len(left_of(network.path)) == 4
    assert [path for path in network.path.rglob(".*.partial") if "data" not in path.parts] == []
    network.down()
    assert left_of(network.path) == []


def at_once(check: Callable[[str], None], moments: list[str]) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(check, moments))


def test_killed_in_the_middle_of_init(new_network: NewNetwork) -> None:
    def check(moment: str) -> None:
        network = new_network(f"init-{BEFORE_START.index(moment)}")
        killed_at(moment, network, "init")
        keys = network.keys()
        network.run("init", *CLIQUE, "-n", "3")
        assert keys.items() <= network.keys().items()
        assert len(network.keys()) == 9
        assert [path for path in network.path.rglob(".*.partial") if "data" not in path.parts] == []

    at_once(check, BEFORE_START)


def test_up_is_killed_and_what_it_started_goes_on(new_network: NewNetwork) -> None:
    def check(moment: str) -> None:
        network = new_network(f"up-{MOMENTS.index(moment)}")
        killed_at(moment, network, "up")
        finishes(network, network.keys())

    at_once(check, ["nodes/node2", ".state/supervisor.json", "nodes/node1/data/geth/chaindata"])


def test_everything_is_killed_in_the_middle_of_up(new_network: NewNetwork) -> None:
    """As a power cut does."""

    def check(moment: str) -> None:
        network = new_network(f"cut-{MOMENTS.index(moment)}")
        killed_at(moment, network, "up")
        kill_all(network.path)
        finishes(network, network.keys())

    at_once(check, MOMENTS[4:])


def test_only_the_node_program_is_killed_in_the_middle_of_up(new_network: NewNetwork) -> None:
    def check(moment: str) -> None:
        network = new_network(f"program-{MOMENTS.index(moment)}")
        process = begin("up", *CLIQUE, "-n", "3", network.path)
        wait_for(moment, network, process)
        network.supervisor.kill()
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert "node program" in error
        assert "Traceback" not in error
        finishes(network, network.keys())

    at_once(check, MOMENTS[6:])


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_interrupted_in_up_nothing_is_left_running(number: int, new_network: NewNetwork) -> None:
    def check(moment: str) -> None:
        network = new_network(f"interrupted-{MOMENTS.index(moment)}")
        process = begin("up", *CLIQUE, "-n", "3", "--verify", network.path)
        wait_for(moment, network, process)
        os.kill(process.pid, number)
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 130, error
        assert error.splitlines()[-1] == "interrupted"
        assert "Traceback" not in error
        assert left_of(network.path) == []
        finishes(network, network.keys())

    at_once(check, [MOMENTS[3], *MOMENTS[6:]])


def test_interrupting_up_on_a_running_network_leaves_it_running(new_network: NewNetwork) -> None:
    network = new_network("bank")
    network.up(*CLIQUE, "-n", "3")
    pids = {process.pid for process in left_of(network.path)}
    network.on_node("node stop node3")
    process = begin("up", network.path)
    eventually(lambda: "node3" in network.clients(), "node3 is started again")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    eventually(network.complete, "all running with all peers")
    assert len({process.pid for process in left_of(network.path)} & pids) == 3
