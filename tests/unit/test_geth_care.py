"""What is done for a running geth: its peers, its heads, its account, and the looks at other branches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from samples import planned, spec_of

from quorumkit.addresses import Endpoint
from quorumkit.engines.base import Report
from quorumkit.engines.geth import care, following, peering, splits
from quorumkit.engines.geth.branches import BranchSearch, Head
from quorumkit.engines.geth.care import GethCare
from quorumkit.engines.geth.driver import GethDriver
from quorumkit.engines.geth.following import follow_heads, follow_peers
from quorumkit.engines.geth.peering import Peering
from quorumkit.engines.geth.splits import SplitWatch
from quorumkit.errors import EngineError, RpcError
from quorumkit.identity.store import PASSWORD
from quorumkit.record import NodeRecord
from quorumkit.render.node_files import record_of
from quorumkit.rpc import IpcRpc
from support.logs import until


def record() -> NodeRecord:
    network = planned(spec_of(3))
    return record_of(network, network.node(1))


class Reported:
    """A report that keeps what comes, as far as it is looked at here."""

    is_stalled = True

    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []
        self.said: list[str] = []
        self.held = False

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values: self.seen.append((name, values))

    def say(self, level: str, text: str) -> None:
        self.said.append(text)

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        self.held = True
        yield
        self.held = False


class Client:
    """A client with a list of static peers, some of them connected."""

    def __init__(self, *, knows_peers: bool = True) -> None:
        self.is_open = True
        self.knows_peers = knows_peers
        self.connected: set[str] = set()
        self.done: list[str] = []
        self.fails = 0

    def seals_before_peers(self, record: NodeRecord) -> bool:
        return not self.knows_peers

    async def connected_keys(self, rpc: object) -> frozenset[str]:
        if self.fails:
            self.fails -= 1
            raise RpcError("slow")
        return frozenset(self.connected)

    async def add_peer(self, rpc: object, enode: str) -> None:
        self.done.append(f"+{enode.rpartition('@')[2].partition('?')[0]}")

    async def drop_peer(self, rpc: object, enode: str) -> None:
        self.done.append(f"-{enode.rpartition('@')[2].partition('?')[0]}")


@contextlib.asynccontextmanager
async def doing(work: Awaitable[None]) -> AsyncGenerator[None]:
    task = asyncio.ensure_future(work)
    try:
        async with asyncio.timeout(20):
            yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def moved(before: NodeRecord, host: str) -> NodeRecord:
    """Its first peer is at another host."""
    first, *others = before.peers
    place = replace(first.enode.place, host=host)
    peer = first.model_copy(update={"enode": replace(first.enode, place=place)})
    return before.model_copy(update={"peers": (peer, *others)})


def keep(client: Client, keeping: Peering, may_have: asyncio.Event) -> Any:
    return doing(keeping.keep(cast("IpcRpc", client), may_have))


def test_a_client_that_must_seal_first_gets_its_peers_after_that_and_however_slow_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peering, "AGAIN_AFTER", 0.01)
    client, said, may_have = Client(knows_peers=False), list[str](), asyncio.Event()
    client.fails = 2

    async def play() -> None:
        async with keep(client, Peering(cast("Any", client), record(), lambda _, text: said.append(text)), may_have):
            await asyncio.sleep(0.02)
            assert client.done == []
            may_have.set()
            await until(lambda: len(client.done) == 2)
            assert client.done == ["+127.0.0.1:20002", "+127.0.0.1:20003"]
            assert said == []  # they are its first

    asyncio.run(play())


def test_a_peer_that_moved_is_dialled_anew_once_it_is_away_and_one_that_left_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peering, "OLD_ADDRESS_LOOK", 0.01)
    client, said, may_have = Client(), list[str](), asyncio.Event()
    before = record()
    client.connected = {before.peers[0].enode.key}
    may_have.set()

    async def play() -> None:
        keeping = Peering(cast("Any", client), before, lambda _, text: said.append(text))
        async with keep(client, keeping, may_have):
            keeping.take(moved(before, "10.0.0.9"))
            await asyncio.sleep(0.05)
            assert client.done == []  # it found its way by itself
            client.connected = set()
            await until(lambda: client.done)
            assert client.done == ["-127.0.0.1:20002", "+10.0.0.9:20002"]
            assert said == ["the running client was told where 10.0.0.9:20002 is"]
            keeping.take(before.model_copy(update={"peers": before.peers[1:]}))
            await until(lambda: len(client.done) == 3)
            assert client.done[2] == "-10.0.0.9:20002"

    assert before.peers[0].enode.place == Endpoint("127.0.0.1", 20002)
    asyncio.run(play())


class Subscribed:
    """A connection with news on it."""

    def __init__(self, *news: object) -> None:
        self.news = news
        self.counts = iter(["0x0", "0x2"])

    async def call(self, method: str, *params: object) -> object:
        if method == "net_peerCount":
            return next(self.counts, "0x3")
        return {"number": "0x5", "hash": "0x05"}

    async def subscribe(self, *params: object, namespace: str = "eth") -> AsyncGenerator[object]:
        for each in self.news:
            yield each
            await asyncio.sleep(0.01)
        raise RpcError("gone")


@pytest.mark.parametrize("torn", [{"number": "0x7"}, {"number": None, "hash": "0x07"}, None])
def test_heads_are_followed_until_the_connection_ends_or_speaks_nonsense(torn: object) -> None:
    report = Reported()
    rpc = Subscribed({"number": "0x6", "hash": "0x06"}, torn, {"number": "0x8", "hash": "0x08"})
    asyncio.run(follow_heads(cast("IpcRpc", rpc), cast("Report", report)))
    assert report.seen == [("see_first_head", (5, "0x05")), ("see_head", (6, "0x06"))]


def test_peers_are_counted_at_each_event_and_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SHORTEST_PEER_PAUSE", 0.01)
    report = Reported()
    asyncio.run(follow_peers(cast("IpcRpc", Subscribed("added", "dropped")), cast("Report", report)))
    assert [values for _, values in report.seen][:2] == [(0,), (2,)]


class Opening:
    """A client whose account is opened with one password, the second time."""

    is_open = True

    def __init__(self) -> None:
        self.tries = 0

    async def open_account(self, rpc: object, account: str, password: str) -> None:
        self.tries += 1
        if password != "right":
            raise EngineError("could not decrypt key")
        if self.tries == 1:
            raise RpcError("slow")


@pytest.mark.parametrize(
    ("password", "outcome"),
    [
        ("right\n", ("account_opened", ())),
        ("wrong", ("refuse", ("could not decrypt key",))),
    ],
)
def test_an_account_is_opened_or_its_client_refused(
    password: str, outcome: tuple[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(care, "_AGAIN_AFTER", 0.01)
    (tmp_path / PASSWORD).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / PASSWORD).write_text(password)
    report, client = Reported(), Opening()
    caring = GethCare(GethDriver(), tmp_path, record(), cast("Report", report))
    caring._client = cast("Any", client)
    asyncio.run(caring._open_account(cast("IpcRpc", client)))
    assert report.seen == [outcome]


class Search:
    """A validator among two connected peers, and a branch of theirs or none."""

    is_unfinished = True

    def __init__(self, found: Head | None) -> None:
        self.found = found
        self.waits = True
        self.peers_now = ["a", "b"]
        self.did: list[str] = []

    async def turn(self) -> int:
        return 0

    async def peers(self) -> list[str]:
        return self.peers_now

    async def must_wait_for_others(self) -> bool:
        return self.waits

    async def search(self, peer: str) -> Head | None:
        self.did.append(f"search {peer}")
        return self.found

    async def finish(self) -> None:
        self.did.append("finish")


def watching(search: Search, report: Reported) -> SplitWatch:
    async def noted(what: str) -> None:
        search.did.append(what)

    return SplitWatch(
        cast("BranchSearch", search), cast("Report", report),
        stop_sealing=lambda: noted("stop"), seal=lambda: noted("seal"),
    )  # fmt: skip


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "TURN", 0.0)
    monkeypatch.setattr(splits, "REDIALLED_AFTER", 0.0)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("found", [None, Head(7, "0x07", 9)])
def test_where_the_chain_stands_still_one_peer_after_the_other_is_looked_at(found: Head | None) -> None:
    search, report = Search(found), Reported()
    watch = watching(search, report)

    async def play() -> None:
        await watch.finish()
        await watch.look(3, 1)
        await watch.look(3, 1)

    asyncio.run(play())
    one = ["stop", "search b", "finish", "seal"]
    assert search.did == ["finish", *one, *(step.replace("b", "a") if "search" in step else step for step in one)]
    assert ("block 7, 0x07" in report.said[1]) is (found is not None)
    assert not report.held


@pytest.mark.usefixtures("at_once")
def test_one_that_could_go_on_by_itself_begins_to_seal_anew() -> None:
    search = Search(None)
    search.waits = False
    asyncio.run(watching(search, Reported()).look(3, 1))
    assert search.did == ["seal"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("case", ["it goes on", "too few peers", "not its turn"])
def test_else_nothing_is_looked_at(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    search, report = Search(None), Reported()
    if case == "it goes on":
        report.is_stalled = False
    elif case == "not its turn":
        monkeypatch.setattr(splits, "TURN", 60.0)
        monkeypatch.setattr(Search, "turn", lambda self: asyncio.sleep(0, 2))
    asyncio.run(watching(search, report).look(5, 3 if case == "too few peers" else 1))
    assert search.did == []
