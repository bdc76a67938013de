"""What is done for a running node of geth and CometBFT: members are found, its part in consensus is followed."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from samples import planned, spec_of

from quorumkit.engines.base import Report, Standing
from quorumkit.engines.bft import dialing, progress
from quorumkit.engines.bft.comet_rpc import CometRpc
from quorumkit.engines.bft.dialing import Dialing
from quorumkit.engines.bft.keys import node_id, validator_address
from quorumkit.engines.bft.members import names_of, peers_of
from quorumkit.engines.bft.progress import Progress
from quorumkit.errors import RpcError
from quorumkit.record import NodeRecord
from quorumkit.render.node_files import record_of
from support.fake_comet import FakeComet
from support.logs import until


def record(hosts: dict[int, str] | None = None, *, members: int = 4, **consensus: Any) -> NodeRecord:
    """Of node 1. Its peers are node 2 on, at those hosts or else at 127.0.0.1, and their keys are their numbers."""
    network = planned(spec_of(members))
    plain = record_of(network, network.node(1))
    peers = []
    for number, peer in enumerate(plain.peers, 2):
        enode = replace(peer.enode.with_host((hosts or {}).get(number, "127.0.0.1")), query=f"bft={5000 + number}")
        keys = {"bft": key(number), "validator": key(10 + number)}
        peers.append(peer.model_copy(update={"enode": enode, "further_keys": keys}))
    changed = plain.consensus.model_copy(update=consensus)
    return plain.model_copy(update={"peers": tuple(peers), "consensus": changed})


def key(number: int) -> str:
    return f"{number:064x}"


def peer(number: int) -> str:
    return node_id(key(number))


def test_members_are_read_out_of_a_record() -> None:
    assert {each: str(place) for each, place in peers_of(record({3: "bank-2.bank"})).items()} == {
        peer(2): "127.0.0.1:5002", peer(3): "bank-2.bank:5003", peer(4): "127.0.0.1:5004",
    }  # fmt: skip
    assert names_of(record())[validator_address(key(12))] == "node2"
    assert validator_address(key(12)) == hashlib.sha256(bytes.fromhex(key(12))).hexdigest()[:40].upper()


def test_what_cometbft_refuses_is_an_error(tmp_path: Path) -> None:
    async def play() -> None:
        async with FakeComet().listening(tmp_path / "rpc.sock"):
            with pytest.raises(RpcError, match="CometBFT: nonsense: Method not found"):
                await CometRpc(tmp_path / "rpc.sock").call("nonsense", text="a b&c=d")
        with pytest.raises(RpcError, match="not reachable"):
            await CometRpc(tmp_path / "rpc.sock").call("status")

    asyncio.run(play())


class Dialled:
    """A dialing of a fake CometBFT, and what came of it."""

    def __init__(self, socket: Path, comet: FakeComet, own: NodeRecord) -> None:
        self.comet = comet
        self.counts: list[int] = []
        self.said: list[str] = []
        self.dialing = Dialing(
            CometRpc(socket), own, see_peers=self.counts.append, say=lambda _, text: self.said.append(text)
        )

    @property
    def peers(self) -> list[set[str]]:
        """Those of each time that it was told to dial."""
        return [set(each["peers"]) for each in self.comet.dialled]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Addresses, by the names that are known."""
    known: dict[str, str] = {}

    async def looked_up(self: object, host: str, port: object, **_: object) -> list[Any]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(0, 0, 0, "", (known[host], 0))]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", looked_up)
    monkeypatch.setattr(dialing, "SHORTEST_PAUSE", 0.005)
    monkeypatch.setattr(dialing, "LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(dialing, "FIRST_DIAL_AFTER", 0.05)
    return known


def dial(tmp_path: Path, own: NodeRecord, play: Callable[[Dialled], Awaitable[None]]) -> None:
    async def run() -> None:
        comet = FakeComet()
        dialled = Dialled(tmp_path / "rpc.sock", comet, own)
        keeping = asyncio.create_task(dialled.dialing.keep())  # before CometBFT listens
        async with comet.listening(tmp_path / "rpc.sock"):
            try:
                async with asyncio.timeout(20):
                    await play(dialled)
            finally:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

    asyncio.run(run())


@pytest.mark.usefixtures("names")
def test_those_that_are_connected_are_counted_and_left_alone(tmp_path: Path) -> None:
    async def play(dialled: Dialled) -> None:
        dialled.comet.connected = {peer(2), peer(3), peer(4), "a stranger"}
        await until(lambda: len(dialled.counts) > 20)
        assert dialled.comet.dialled == []

    dial(tmp_path, record(), play)


def test_one_that_came_back_elsewhere_is_dialled_there(tmp_path: Path, names: dict[str, str]) -> None:
    """As a pod does, under the same name."""
    names["bank-2.bank"] = "10.0.0.7"

    async def play(dialled: Dialled) -> None:
        dialled.comet.connected = {peer(2), peer(4)}
        await until(lambda: dialled.peers)
        both = {f"{peer(2)}@127.0.0.1:5002", f"{peer(4)}@127.0.0.1:5004"}
        # Of all each time: they replace the list of those that it redials.
        assert dialled.peers == [both | {f"{peer(3)}@10.0.0.7:5003"}]
        assert dialled.comet.dialled[0]["persistent"] is True
        assert dialled.comet.dialled[0]["unconditional"] is True
        assert dialled.said == []
        del names["bank-2.bank"]
        looks = len(dialled.counts)
        await until(lambda: len(dialled.counts) > looks + 5)
        names["bank-2.bank"] = "10.0.0.8"
        await until(lambda: len(dialled.peers) == 2)
        assert dialled.peers[1] == both | {f"{peer(3)}@10.0.0.8:5003"}
        await until(lambda: dialled.said == ["CometBFT was told where 10.0.0.8:5003 is"])

    dial(tmp_path, record({3: "bank-2.bank"}), play)


@pytest.mark.usefixtures("names")
def test_one_that_stays_away_is_dialled_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialing, "DIAL_AGAIN_AFTER", 0.1)
    monkeypatch.setattr(dialing, "FIRST_DIAL_AFTER", 0.1)

    async def play(dialled: Dialled) -> None:
        await until(lambda: len(dialled.peers) == 2)
        assert len(dialled.counts) > 5

    dial(tmp_path, record(), play)


@pytest.mark.usefixtures("names")
def test_a_member_that_is_new_is_dialled_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialing, "FIRST_DIAL_AFTER", 1000.0)
    monkeypatch.setattr(dialing, "DIAL_AGAIN_AFTER", 1000.0)
    monkeypatch.setattr(dialing, "LONGEST_PAUSE", 1000.0)

    async def play(dialled: Dialled) -> None:
        dialled.comet.connected = {peer(2), peer(3)}
        await until(lambda: dialled.counts)
        dialled.dialing.take(record())
        await until(lambda: dialled.peers)
        assert f"{peer(4)}@127.0.0.1:5004" in dialled.peers[0]
        await until(lambda: dialled.said == ["CometBFT was told where 127.0.0.1:5004 is"])

    dial(tmp_path, record(members=3), play)


class Reported:
    """What a node learns."""

    def __init__(self) -> None:
        self.is_stalled = False
        self.figures: dict[str, Any] = {}
        self.standings: list[Standing] = []

    def stand(self, standing: Standing) -> None:
        if self.standings[-1:] != [standing]:
            self.standings.append(standing)

    def publish(self, name: str, value: Any) -> None:
        self.figures[name] = value


def follow(
    tmp_path: Path, comet: FakeComet, own: NodeRecord, play: Callable[[Reported, Progress], Awaitable[None]]
) -> None:
    async def run() -> None:
        reported = Reported()
        following = Progress(CometRpc(tmp_path / "rpc.sock"), own, cast("Report", reported))
        task = asyncio.create_task(following.follow())
        async with comet.listening(tmp_path / "rpc.sock"):
            try:
                async with asyncio.timeout(20):
                    await play(reported, following)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


@pytest.fixture
def comet(monkeypatch: pytest.MonkeyPatch) -> FakeComet:
    monkeypatch.setattr(progress, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(progress, "SOON", 0.01)
    comet = FakeComet()
    comet.addresses = [validator_address(key(10 + number)) for number in (2, 3, 4)] + ["DD"]
    return comet


@pytest.mark.parametrize("power", [1, 0])
def test_its_part_in_consensus_is_what_cometbft_says(tmp_path: Path, comet: FakeComet, power: int) -> None:
    comet.power = power

    async def play(reported: Reported, _: Progress) -> None:
        await until(lambda: reported.standings)
        assert reported.standings == [Standing(validates=power == 1, validators=4)]
        assert reported.figures["consensus_proposer"] == "node2"
        assert (reported.figures["consensus_height"], reported.figures["consensus_round"]) == (1, 0)
        assert reported.figures["waits_for"] is None
        assert "validators" not in comet.asked  # only where a height takes long

    follow(tmp_path, comet, record(), play)


def test_one_that_fetches_blocks_is_not_in_step(tmp_path: Path, comet: FakeComet) -> None:
    comet.catching_up = True

    async def play(reported: Reported, _: Progress) -> None:
        await until(lambda: reported.standings)
        comet.catching_up = False
        await until(lambda: len(reported.standings) == 2)
        assert [standing.trouble for standing in reported.standings] == [
            "it fetches the blocks that the others have",
            None,
        ]

    follow(tmp_path, comet, record(), play)


def test_one_that_takes_old_blocks_one_by_one_is_not_in_step_either(
    tmp_path: Path, comet: FakeComet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(progress, "SOON", 0.02)
    comet.where, comet.block_age = "8/0/1", 300.0

    async def trouble_at(reported: Reported, where: str) -> str | None:
        comet.where = where
        height = int(where.partition("/")[0])
        await until(lambda: reported.figures.get("consensus_height") == height)
        return reported.standings[-1].trouble

    async def play(reported: Reported, _: Progress) -> None:
        assert await trouble_at(reported, "8/0/1") is None
        # The first one after a standstill has the time of the votes before it.
        assert await trouble_at(reported, "9/0/1") is None
        assert await trouble_at(reported, "12/0/1") == "it fetches the blocks that the others have"
        assert await trouble_at(reported, "13/0/1") == "it fetches the blocks that the others have"
        comet.block_age = 1.0
        await until(lambda: reported.standings[-1].trouble is None)

    follow(tmp_path, comet, record(period=1), play)


def test_it_is_told_why_a_height_takes_long(tmp_path: Path, comet: FakeComet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SLOW_AFTER", -1.0)  # with a period of 1 s: at once
    comet.where = "8/2/4"
    why = "height 8, round 2: 2 of 4 validators have given their first vote, not node4, validator DD"

    async def play(reported: Reported, following: Progress) -> None:
        await until(lambda: reported.figures.get("waits_for"))
        assert reported.figures["waits_for"] == why
        assert reported.standings[-1].trouble is None  # the node is in step as far as anybody knows
        reported.is_stalled = True
        await until(lambda: reported.standings[-1].trouble == why)
        # The next block says that it is over, before the next look.
        monkeypatch.setattr(progress, "LOOK_EVERY", 1000.0)
        asked = len(comet.asked)
        await until(lambda: len(comet.asked) > asked)
        reported.is_stalled, comet.where = False, "9/0/1"
        following.head_came()
        await until(lambda: reported.standings[-1].trouble is None and reported.figures["waits_for"] is None)

    follow(tmp_path, comet, record(period=1), play)


def test_a_chain_on_demand_that_waits_for_transactions_lacks_nothing(
    tmp_path: Path, comet: FakeComet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SLOW_AFTER", -1.0)
    monkeypatch.setattr(progress, "ON_DEMAND_WITHIN", 0.0)
    comet.where = "8/0/2"

    async def play(reported: Reported, _: Progress) -> None:
        await until(lambda: comet.asked.count("status") > 3)
        assert [standing.trouble for standing in reported.standings] == [None]
        comet.where = "8/0/4"
        await until(lambda: reported.standings[-1].trouble)

    follow(tmp_path, comet, record(period=0, blocks_on_demand=True), play)
