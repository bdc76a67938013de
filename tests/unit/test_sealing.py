"""When a node seals, and what its state follows from: on clients that only answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from samples import planned, spec_of

from quorumkit.engines import Standing
from quorumkit.engines.geth import sealing
from quorumkit.engines.geth.driver import GethDriver
from quorumkit.engines.geth.sealing import Sealing
from quorumkit.engines.goquorum.driver import GoQuorumDriver
from quorumkit.errors import RpcError
from quorumkit.node.state import RunningState
from quorumkit.node.status import NodeStatus
from quorumkit.record import NodeRecord
from quorumkit.render.node_files import record_of
from support.logs import until


def record(kind: str = "clique", *, role: str = "validator") -> NodeRecord:
    engine = "geth" if kind == "clique" else "goquorum"
    network = planned(spec_of(3, 1, engine={"kind": engine}, consensus={"kind": kind}))
    return record_of(network, network.nodes[0 if role == "validator" else 3])


class Client:
    """Answers a validator's client's questions, and notes what it was told."""

    def __init__(self, validators: list[str]) -> None:
        self.validators = validators
        self.told: list[str] = []
        self.seals = False
        self.syncing = False
        self.fails = 0
        self.is_open = True

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        await asyncio.sleep(0)
        if method in ("clique_getSigners", "istanbul_getValidators"):
            if self.fails:
                self.fails -= 1
                raise RpcError("node1: slow")
            return self.validators
        if method.startswith("miner_"):
            self.told.append(method)
            self.seals = method == "miner_start"
        return {
            "eth_mining": self.seals,
            "eth_syncing": self.syncing and {"currentBlock": "0x1", "highestBlock": "0x9"},
            "admin_peers": [],
        }.get(method)


class Node:
    """The parts of a node that sealing needs."""

    def __init__(self, client: Client, record: NodeRecord, *, peers: int) -> None:
        self.client = client
        self.record = record
        self.status = NodeStatus("node1", expected_peers=3, peers=peers)
        self.said: list[str] = []
        self.state = RunningState(self.status, self._set_state, say=lambda level, text: self.said.append(text))
        self.state.begin(record)
        self.account_open = False
        driver = GethDriver() if record.engine.kind == "geth" else GoQuorumDriver()
        self.sealing = Sealing(
            client, driver, record, Path("/nowhere"), self.state,  # type: ignore[arg-type]
            open_account=self._open,
        )  # fmt: skip

    def _set_state(self, state: Any, error: str | None) -> None:
        self.status.state, self.status.error = state, error

    async def _open(self, rpc: object) -> None:
        self.account_open = True


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SEAL_ANYWAY_AFTER": 0.05, "LEVEL_FOR": 0.05, "LEVEL_WITHIN": 0.3, "LOOK_EVERY": 0.01,
        "LOOK_ANYWAY_AFTER": 0.02, "_SOON": 0.01,
    }.items():  # fmt: skip
        monkeypatch.setattr(sealing, name, value)


def play(node: Node, scene: Callable[[], Awaitable[None]]) -> None:
    async def both() -> None:
        running = asyncio.create_task(node.sealing.run())
        try:
            async with asyncio.timeout(10):
                await scene()
        finally:
            assert not running.done(), running.exception()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    asyncio.run(both())


@pytest.mark.parametrize("kind", ["clique", "qbft", "ibft"])
def test_a_node_seals_while_it_is_in_the_validator_set_and_its_role_says_so(kind: str) -> None:
    """Whatever its files call it."""
    observer = record(kind, role="observer")
    own = observer.identity.account
    if kind != "clique":
        own = observer.identity.node_address
    client = Client(["0x" + "12" * 20])
    node = Node(client, observer, peers=3)

    async def scene() -> None:
        await until(lambda: node.account_open)
        assert (node.status.role, client.seals) == ("observer", False)
        client.validators = [*client.validators, own.lower()]
        await until(lambda: client.seals)
        assert node.status.role == "validator"
        client.fails = 1  # one answer that does not come changes nothing
        await asyncio.sleep(0.05)
        assert client.seals
        client.validators = client.validators[:1]
        await until(lambda: not client.seals)
        assert node.status.role == "observer"
        # A machine that is busy for the 0.3 s of `LEVEL_WITHIN` has it say that it lags, too.
        await until(lambda: len([text for text in node.said if "lags" not in text]) == 2)

    play(node, scene)


@pytest.mark.parametrize("kind", ["clique", "qbft"])
def test_a_validator_that_was_voted_out_does_not_begin_to_seal(kind: str) -> None:
    client = Client(["0x" + "12" * 20])
    node = Node(client, record(kind), peers=3)

    async def scene() -> None:
        await until(lambda: node.account_open)
        await asyncio.sleep(0.1)
        assert client.told == []
        assert node.status.role == "observer"

    play(node, scene)


def test_a_validator_opens_its_account_once_it_has_what_its_peers_have() -> None:
    validator = record()
    client = Client([validator.identity.account, "0x" + "12" * 20, "0x" + "34" * 20])
    client.syncing = True
    node = Node(client, validator, peers=3)

    async def scene() -> None:
        for number in range(8):  # blocks come in for longer than it would bear to get none
            node.state.see_head(number, hex(number))
            await asyncio.sleep(0.05)
            assert not node.account_open
        assert client.told == ["miner_start"]  # so that it takes blocks
        client.syncing = False
        await until(lambda: client.told[-2:] == ["miner_setExtra", "miner_start"])
        assert node.account_open

    play(node, scene)


def test_a_peer_that_claims_blocks_and_gives_none_does_not_keep_it_from_sealing_for_ever() -> None:
    validator = record()
    client = Client([validator.identity.account, "0x" + "12" * 20])
    client.syncing = True
    node = Node(client, validator, peers=3)

    async def scene() -> None:
        await until(lambda: client.told[-2:] == ["miner_setExtra", "miner_start"])
        assert any("lags" in text for text in node.said)

    play(node, scene)


def test_a_validator_waits_for_as_many_peers_as_todays_validators_need() -> None:
    """Not for as many as the genesis's did: here there are five by now."""
    validator = record()
    client = Client([validator.identity.account, *("0x" + str(digit) * 40 for digit in range(1, 5))])
    node = Node(client, validator, peers=1)

    async def scene() -> None:
        await asyncio.sleep(0.3)
        assert not node.account_open
        node.state.see_peers(2)
        await until(lambda: node.account_open)

    play(node, scene)


def test_raft_says_when_it_cannot_go_on_and_when_it_has_removed_the_node() -> None:
    node = Node(Client([]), record("raft"), peers=3)

    async def scene() -> None:
        node.state.account_opened()
        node.state.see_head(0, "0x0")
        assert not node.status.ready  # before raft was asked
        node.state.stand(Standing(True, 3, members=3))
        assert node.status.ready
        assert node.status.expected_peers == 2
        node.state.stand(Standing(True, 3, members=3, trouble="raft knows no leader"))
        assert (node.status.state, node.status.error) == ("stalled", "raft knows no leader")
        node.state.stand(Standing(True, 3, members=3))
        assert node.status.ready and node.status.error is None
        node.state.stand(Standing(False, 0, members=1, trouble="removed", removed=True))
        assert (node.status.state, node.status.ready, node.status.started) == ("removed", False, True)

    asyncio.run(scene())


def test_a_client_that_does_not_answer_makes_no_ready_node() -> None:
    node = Node(Client([]), record("raft"), peers=3)

    async def scene() -> None:
        standing = Standing(True, 3, members=3)
        node.state.account_opened()
        node.state.see_head(0, "0x0")
        node.state.stand(standing)
        node.state.silent()
        assert (node.status.state, node.status.error) == ("stalled", "its client does not answer")
        node.state.stand(standing)
        assert node.status.ready

    asyncio.run(scene())


def test_a_block_that_is_no_higher_than_one_before_ends_no_stall() -> None:
    node = Node(Client([]), record(), peers=3)

    async def scene() -> None:
        node.state.account_opened()
        for number in (4, 5):
            node.state.see_head(number, hex(number))
        node.state._stalled()
        assert node.status.state == "stalled"
        node.state.see_head(5, "0xb")
        assert node.status.state == "stalled"
        node.state.see_head(6, "0xc")
        assert node.status.state != "stalled"

    asyncio.run(scene())
