"""What each consensus kind demands of a network, in numbers and orders worked out by hand: a small slip in one of them
halts or splits a chain much later."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from samples import endpoints_number, identity_number, planned, spec_of

from quorumkit.consensus import address_to_vote_for, consensus_of
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import recipe_of
from quorumkit.engines.geth.branches import Head
from quorumkit.engines.geth.driver import GethDriver
from quorumkit.engines.goquorum.driver import GoQuorumDriver
from quorumkit.plan import plan
from quorumkit.process_spec import client_of
from quorumkit.render.node_files import record_of
from quorumkit.rpc import Rpc
from quorumkit.spec import ConsensusSpec

ADDRESSES = ["0x" + digit * 40 for digit in "9b3a"]


@pytest.mark.parametrize("kind", ["qbft", "ibft", "clique"])
def test_validators_stand_in_the_genesis_by_their_bytes_whatever_their_order(kind: str) -> None:
    spec = ConsensusSpec.model_validate({"kind": kind})
    fields = [consensus_of(kind).genesis_fields(spec, each) for each in (ADDRESSES, ADDRESSES[::-1])]
    assert fields[0] == fields[1]
    extra = fields[0]["extraData"]
    places = [extra.index(address[2:]) for address in sorted(ADDRESSES)]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("kind", "quorums"),
    [
        # ceil(2N/3); GoQuorum 24.4.1, consensus/istanbul/qbft/core/core.go, QuorumSize.
        ("qbft", {1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 9: 6, 10: 7}),
        ("ibft", {1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 9: 6, 10: 7}),
        ("raft", {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 7: 4}),
        ("clique", {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 7: 4}),
    ],
)
def test_quorums(kind: str, quorums: dict[int, int]) -> None:
    assert {validators: consensus_of(kind).quorum(validators) for validators in quorums} == quorums


@pytest.mark.parametrize(("kind", "faults"), [("qbft", {3: 0, 4: 1, 6: 1, 7: 2}), ("clique", {2: 0, 3: 1, 4: 1, 5: 2})])
def test_faults_that_are_borne(kind: str, faults: dict[int, int]) -> None:
    assert {validators: consensus_of(kind).tolerated_faults(validators) for validators in faults} == faults


@pytest.mark.parametrize(("kind", "everyone"), [("raft", True), ("qbft", False), ("ibft", False), ("clique", False)])
def test_only_raft_connects_everyone_in_a_large_network(kind: str, everyone: bool) -> None:
    """Raft's leader sends to every member itself (raft/handler.go, addPeer)."""
    engine = "geth" if kind == "clique" else "goquorum"
    spec = spec_of(40, engine={"kind": engine}, consensus={"kind": kind}, transaction_manager=None)
    network = plan(spec, [identity_number(n) for n in range(1, 41)], [endpoints_number(n) for n in range(1, 41)])
    assert (len(network.peers_of(network.node(1))) == 39) is everyone


@pytest.mark.parametrize(("kind", "kept"), [("raft", True), ("qbft", False), ("ibft", False), ("clique", False)])
def test_only_raft_members_keep_the_ports_they_started_with(
    kind: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose port is taken by another then is refused; others get another port (providers/ports.py, `fixed`)."""
    from quorumkit.providers import local
    from quorumkit.providers.local_one import OneProgramProvider

    engine = "geth" if kind == "clique" else "goquorum"
    spec = spec_of(2, engine={"kind": engine}, consensus={"kind": kind}, transaction_manager=None)
    fixed: dict[str, bool] = {}

    def choose(register: Any, kind: str, wanted: Any, total: int, *, fixed: bool, **_: Any) -> list[int]:
        told[kind] = fixed
        return [31000 + number for number in range(total)]

    told = fixed
    monkeypatch.setattr(local, "choose_each", choose)
    runtime = OneProgramProvider(NetworkDirectory(tmp_path / "bank"), spec)
    monkeypatch.setattr(type(runtime._recipe), "has_chain", lambda self, directory: True)
    runtime.addresses(spec, [None, None])
    assert fixed["p2p"] is kept
    assert fixed["rpc"] is False


def test_a_clique_validators_client_is_told_whose_account_seals() -> None:
    for kind in ("geth", "goquorum"):
        network = planned(spec_of(2, engine={"kind": kind}, consensus={"kind": "clique"}))
        record = record_of(network, network.node(2))
        command = client_of(recipe_of(kind, "clique").processes(Path("client"), record)).argv
        assert command[command.index("--miner.etherbase") + 1] == record.identity.account


def test_what_validators_vote_on() -> None:
    identity = identity_number(7)
    assert address_to_vote_for("clique", identity) == identity.account
    for kind in ("qbft", "ibft"):
        assert address_to_vote_for(kind, identity) == identity.node_address
    assert address_to_vote_for("raft", identity) is None


def test_of_two_branches_the_heavier_wins_and_of_equal_ones_the_lower_hash() -> None:
    light, heavy = Head(9, "0x01", 17), Head(8, "0xff", 18)
    assert heavy.wins_over(light) and not light.wins_over(heavy)
    low, high = Head(9, "0x0A", 17), Head(8, "0x0b", 17)
    assert low.wins_over(high) and not high.wins_over(low)
    assert not low.wins_over(low)


def test_only_clique_has_branches_to_leave() -> None:
    for kind in ("qbft", "ibft", "raft", "clique"):
        network = planned(spec_of(2, engine={"kind": "goquorum"}, consensus={"kind": kind}))
        record = record_of(network, network.node(1))
        search = GoQuorumDriver().branch_search(cast("Rpc", None), record, Path("node1"))
        assert (search is not None) is (kind == "clique")


class OneBranch:
    """A client that answers as geth does while a node looks at a peer's branch: the peer has the branch given."""

    def __init__(self, own: list[str], theirs: list[str], weights: dict[str, int], directory: Path) -> None:
        self.chain = list(own)
        self.own, self.theirs, self.weights, self.directory = own, theirs, weights, directory
        self.kept: list[str] = []
        self.connected = True
        self.sent: list[str] = []

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        return getattr(self, method)(*params)

    def eth_getBlockByNumber(self, number: str, full: bool) -> dict[str, Any]:
        at = len(self.chain) - 1 if number == "latest" else int(number, 16)
        block = self.chain[at]
        weight = sum(self.weights[each] for each in self.chain[: at + 1])
        return {"number": hex(at), "hash": block, "totalDifficulty": hex(weight), "transactions": [f"tx {block}"]}

    def eth_getRawTransactionByHash(self, transaction: str) -> str:
        return f"raw {transaction}"

    def eth_sendRawTransaction(self, raw: str) -> None:
        self.sent.append(raw)

    def clique_getSigners(self) -> list[str]:
        return ["0x1", "0x2"]

    def admin_exportChain(self, path: str, first: int, last: int) -> bool:
        self.kept = self.chain[first : last + 1]
        (self.directory / path).parent.mkdir(exist_ok=True)
        (self.directory / path).write_text("blocks")
        return True

    def admin_importChain(self, path: str) -> bool:
        assert (self.directory / path).exists()
        if self.kept[-1] not in self.chain:
            assert self.chain[-1] == self.own[self.own.index(self.kept[0]) - 1]
            self.chain += self.kept
        return True

    def debug_setHead(self, number: str) -> None:
        del self.chain[int(number, 16) + 1 :]

    def admin_removePeer(self, enode: str) -> None:
        self.connected = False

    def admin_addPeer(self, enode: str) -> None:
        self.connected = True
        self.chain = list(self.theirs)

    def admin_peers(self) -> list[dict[str, Any]]:
        peer = str(planned(spec_of(2)).node(2).enode)
        return [{"enode": peer, "protocols": {"eth": {"version": 68}}}] if self.connected else []

    def eth_syncing(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("theirs", "goes_over"), [(["0x00", "0xb1"], True), (["0x00", "0xd1", "0xd2"], False), (["0x00", "0xc1"], False)]
)
def test_a_node_goes_over_to_a_branch_that_wins_and_else_keeps_its_own(
    theirs: list[str], goes_over: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorumkit.engines.geth.branches._SETTLED_FOR", 0.001)
    own = ["0x00", "0xc1"]
    weights = {"0x00": 1, "0xc1": 2, "0xb1": 2, "0xd1": 1, "0xd2": 1}
    network = planned(spec_of(2))
    client = OneBranch(own, theirs, weights, tmp_path)
    search = GethDriver().branch_search(cast("Rpc", client), record_of(network, network.node(1)), tmp_path)
    assert search is not None

    async def look() -> Head | None:
        found = await search.search(str(network.node(2).enode))
        await search.finish()
        return found

    found = asyncio.run(look())
    assert client.chain == (theirs if goes_over else own)
    assert (found is not None) is goes_over
    assert client.sent == (["raw tx 0xc1"] if goes_over else [])
    assert not search.is_unfinished
