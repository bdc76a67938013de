"""Raft members that are cut off, frozen or removed, on real GoQuorum. Needs a binary in QUORUMKIT_GOQUORUM."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from networks import RunningNetwork, brought_up, eventually

from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = [
    pytest.mark.network,
    needs_goquorum,
]


def readyz(network: RunningNetwork, name: str) -> tuple[int, str]:
    port = json.loads((network.path / ".state/supervisor.json").read_text())["health_port"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz/{name}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def state(network: RunningNetwork, name: str) -> Any:
    return network.status()[name]["state"]


def _roles_with_a_minter(network: RunningNetwork) -> list[str]:
    roles = [network.ask(number, "raft_role") for number in (1, 2, 3)]
    return roles if "minter" in roles else []


def test_a_raft_member_that_is_cut_off_or_removed_is_not_ready_and_up_goes_on(tmp_path: Path) -> None:
    arguments = ["--engine", "goquorum", "--consensus", "raft", "--engine-binary", str(GOQUORUM)]
    with brought_up(tmp_path / "bank", "-n", "3", "--observers", "1", *arguments) as network:
        roles = eventually(lambda: _roles_with_a_minter(network), "a minter")
        minter = roles.index("minter") + 1
        frozen = [network.clients()[f"node{number}"] for number in (1, 2, 3) if number != minter]
        for client in frozen:
            client.suspend()
        try:
            # The minter goes on calling itself that, with nobody left to agree.
            eventually(lambda: state(network, f"node{minter}") == "stalled", "the minter is cut off")
            code, text = readyz(network, f"node{minter}")
            assert code == 503
            assert "it reaches 1 of raft's 3 voting members" in text
            names = [f"node{number}" for number in (1, 2, 3) if number != minter]
            eventually(lambda: all(state(network, name) == "stalled" for name in names), "frozen clients are told")
        finally:
            for client in frozen:
                client.resume()
        eventually(network.complete, "all are back")

        network.on_node(f"console node{minter}", "--exec", "raft.removePeer(4)")
        eventually(lambda: state(network, "node4") == "removed", "node4 is out")
        assert readyz(network, "node4")[0] == 503
        network.run("up", "--timeout", "60")
        network.down()
        network.run("up", "--timeout", "60")
        assert state(network, "node4") == "removed"
        assert network.ask(1, "raft_role") in ("minter", "verifier")
