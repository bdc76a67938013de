"""GoQuorum beside a real Tessera. Needs GoQuorum 24.4.1 in QUORUMKIT_GOQUORUM, and in QUORUMKIT_TESSERA a Tessera:
bin/tessera of its distribution, or a .jar."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from networks import PATIENCE, RunningNetwork, brought_up, clients_below, eventually

from quorumkit.errors import RpcError
from support.goquorum import GOQUORUM, needs_goquorum

TESSERA = os.environ.get("QUORUMKIT_TESSERA")
pytestmark = [
    pytest.mark.network,
    needs_goquorum,
    pytest.mark.skipif(TESSERA is None, reason="QUORUMKIT_TESSERA names no Tessera"),
]


def tessera(path: Path) -> contextlib.AbstractContextManager[RunningNetwork]:
    return brought_up(
        path,
        *("-n", "3", "--engine", "goquorum", "--engine-binary", str(GOQUORUM)),
        *("--transaction-manager", "tessera", "--tm-binary", str(TESSERA)),
    )


def managers(network: RunningNetwork) -> dict[str, psutil.Process]:
    """The transaction managers by node name."""
    return {
        Path(process.cwd()).name: process
        for process in clients_below(network.path)
        if "tm/tessera.json" in process.cmdline()
    }


def test_a_private_contract_is_read_by_its_parties_alone(tmp_path: Path) -> None:
    with tessera(tmp_path / "bank") as network:
        private = network.verify()["private"]
        assert private["ok"] is True
        assert private["reads"] == {"node1": 42, "node2": 42, "node3": None}
        assert private["payloads"] == {"node1": True, "node2": True, "node3": False}


def test_a_manager_that_is_killed_comes_back_with_what_it_kept(tmp_path: Path) -> None:
    with tessera(tmp_path / "bank") as network:
        assert network.verify()["private"]["ok"] is True
        hashes = list(payload_hashes(network))
        assert len(hashes) == 1
        killed = managers(network)["node2"]
        killed.send_signal(signal.SIGKILL)
        killed.wait(PATIENCE)

        def kept() -> bool:
            with contextlib.suppress(RpcError):  # until there is another manager
                return len(str(network.ask(2, "eth_getQuorumPayload", hashes[0]))) > 2
            return False

        eventually(kept, "the payload from another manager of node2")
        assert "the transaction manager ended with -9" in (network.path / ".state/logs/node2.log").read_text()
        assert network.verify()["private"]["ok"] is True


def payload_hashes(network: RunningNetwork) -> Iterator[str]:
    """What private transactions have on the chain in place of their payload."""
    for height in range(network.height() + 1):
        for transaction in network.ask(1, "eth_getBlockByNumber", hex(height), True)["transactions"]:
            if transaction["v"] in ("0x25", "0x26"):  # Quorum's mark of a private transaction
                yield transaction["input"]


def test_managers_know_of_a_node_that_is_added_while_they_run(tmp_path: Path) -> None:
    with tessera(tmp_path / "bank") as network:
        before = {name: process.pid for name, process in managers(network).items()}
        spec = network.path / "quorumkit.yaml"
        spec.write_text(spec.read_text().replace("observers: 0", "observers: 1"))
        network.up("--tm-binary", str(TESSERA))
        eventually(lambda: len(managers(network)) == 4, "four managers")
        assert all(managers(network)[name].pid != pid for name, pid in before.items())
        private = network.verify()["private"]
        assert private["payloads"] == {"node1": True, "node2": True, "node3": False, "node4": False}


def test_none_is_left_behind(tmp_path: Path) -> None:
    with tessera(tmp_path / "bank") as network:
        assert set(managers(network)) == {"node1", "node2", "node3"}
        network.supervisor.send_signal(signal.SIGKILL)
        assert network.down() is True
        assert managers(network) == {}
        network.up()
        assert network.down() is True
        assert managers(network) == {}
