"""Where identities come from, on a provider of the test's own: agreed at once, late, never, and all that goes wrong
meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from samples import identity_number, planned, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import GenesisMismatchError, NodeError, NotRunningError, UsageError, WaitTimeoutError
from quorumkit.identities import Identities, identities_of
from quorumkit.mark import read_mark
from quorumkit.node.status import NodeStatus
from quorumkit.plan import node_name
from quorumkit.progress import silent
from quorumkit.providers import Provider
from quorumkit.providers.known import knows_nodes
from quorumkit.record import RECORD_NAME
from quorumkit.spec import SCHEMA_NAME, NetworkSpec, spec_to_yaml
from support.exchanging_provider import ExchangingProvider
from support.fake_provider import FakeProvider


class Case:
    """One network that is to be formed."""

    def __init__(self, path: Path, spec: NetworkSpec) -> None:
        self.directory = NetworkDirectory(path)
        self.spec = spec
        self.fake = ExchangingProvider(planned(spec))
        provider: Provider = self.fake
        self.identities: Identities = identities_of(self.directory, spec, provider)
        self.said: list[str] = []

    def say(self, text: str, done: int | None = None, total: int | None = None) -> None:
        self.said.append(text if done is None else f"{text} {done}/{total}")

    def agree(self, *ordinals: int, first: int = 0) -> None:
        """Has these nodes report who they are: the identities from number `first` + 1 on."""
        network = planned(self.spec)
        for ordinal in ordinals or range(1, self.spec.nodes.total + 1):
            node = network.node(ordinal)
            identity = identity_number(first + ordinal)
            enode = str(node.enode).replace(node.identity.enode_key, identity.enode_key)
            self.fake.statuses[node.name] = NodeStatus(
                node.name, ordinal, node.role, state="starting", account=identity.account, enode=enode
            )

    def exchanging(self, error: str = "waits for node2") -> None:
        for ordinal in range(1, self.spec.nodes.total + 1):
            name = node_name(ordinal)
            self.fake.statuses[name] = NodeStatus(name, ordinal, "validator", state="exchanging", error=error)

    async def form_async(self, timeout: float = 10) -> list[str]:
        network = await self.identities.form(self.say, timeout)
        return [node.identity.account for node in network.nodes]

    def form(self, timeout: float = 10) -> list[str]:
        return asyncio.run(self.form_async(timeout))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "bank", spec_of(3, identities="exchanged"))


ACCOUNTS = [identity_number(number).account for number in (1, 2, 3)]


def test_nodes_that_agree_at_once_are_written_down(case: Case) -> None:
    case.fake.on_start = case.agree
    assert case.form() == ACCOUNTS
    assert case.fake.calls == ["alone", "find disks", "write", "start", "not alone", "adopt"]
    assert [node.identity.account for node in case.directory.load().nodes] == ACCOUNTS
    assert case.directory.genesis.exists() and read_mark(case.directory.path)
    assert not list(case.directory.nodes.rglob("*key*")), "no key leaves its node"


def test_nodes_that_agree_late_are_waited_for_and_what_for_is_told(case: Case) -> None:
    def on_look(count: int) -> None:
        if count == 1:
            case.fake.statuses["node2"] = NodeStatus("node2", 2, state="starting", error="no image")
        if count == 2:
            case.exchanging()
        if count == 3:
            case.agree(1, 2)
        if count == 5:
            case.agree()

    case.fake.on_look = on_look
    assert case.form() == ACCOUNTS
    told = [*dict.fromkeys(case.said)]
    assert told == [
        "starting fakes 0/3", "starting fakes: node2: no image 0/3", "exchanging identities 0/3", "starting fakes 1/3",
    ]  # fmt: skip


def test_who_never_agrees_is_told_with_what_it_waits_for(case: Case) -> None:
    case.fake.on_start = case.exchanging
    case.fake.on_look = lambda count: case.agree(1)
    with pytest.raises(WaitTimeoutError) as late:
        case.form(timeout=0.05)
    assert late.value.message == (
        "not agreed after 0.05 s: node2 is exchanging (waits for node2); node3 is exchanging (waits for node2)"
    )
    assert late.value.hint and "quorumkit logs NODE" in late.value.hint
    assert case.fake.runs and not knows_nodes(case.directory), "they go on trying"


def test_where_no_node_came_up_the_provider_says_why(case: Case) -> None:
    with pytest.raises(WaitTimeoutError, match=r"node1 is stopped; .*node3 is stopped; the fake forbids it"):
        case.form(timeout=0.05)


def test_a_look_that_never_ends_does_not_outlast_the_timeout(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang() -> list[NodeStatus]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(case.fake, "reported", hang)
    with pytest.raises(WaitTimeoutError, match="no fake answered; the fake forbids it"):
        case.form(timeout=0.05)


def test_one_that_cannot_run_ends_the_waiting_and_the_rest_runs_on(case: Case) -> None:
    def fail() -> None:
        case.exchanging()
        case.fake.statuses["node3"].state = "failed"
        case.fake.statuses["node3"].error = "no room"

    case.fake.on_start = fail
    with pytest.raises(NodeError, match=r"^node3: no room$"):
        case.form()
    assert case.fake.runs and "undo" not in case.fake.calls


@pytest.mark.parametrize("moment", ["starting", "agreeing"])
@pytest.mark.parametrize("was_running", [False, True])
def test_interrupted_what_was_started_is_stopped_and_what_ran_before_is_not(
    case: Case, moment: str, was_running: bool
) -> None:
    case.fake.runs = was_running

    async def run() -> None:
        forming = asyncio.create_task(case.form_async())

        def interrupt(*_: object) -> None:
            forming.cancel()

        if moment == "starting":
            case.fake.on_start = interrupt
        else:
            case.fake.on_start = case.exchanging
            case.fake.on_look = interrupt
        with pytest.raises(asyncio.CancelledError):
            await forming

    asyncio.run(run())
    assert ("undo" in case.fake.calls) is not was_running
    assert ("interrupted: stopping what was started" in case.said) is not was_running
    assert case.fake.runs is was_running


def test_interrupted_before_anything_started_nothing_is_stopped(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        forming = asyncio.create_task(case.form_async())
        find = case.fake.find_disks

        async def found() -> object:
            forming.cancel()
            await asyncio.sleep(0)
            return await find()

        monkeypatch.setattr(case.fake, "find_disks", found)
        with pytest.raises(asyncio.CancelledError):
            await forming

    asyncio.run(run())
    assert case.fake.calls == ["alone"] and not case.directory.exists()


def test_a_node_that_lost_its_disk_is_told_once_the_others_run(case: Case) -> None:
    case.fake.lost = ["node2"]
    case.fake.on_start = case.agree
    with pytest.raises(NodeError, match="node2: lost its disk"):
        case.form()
    assert case.fake.runs and not knows_nodes(case.directory)


def test_nodes_that_are_not_those_that_are_known_are_stopped_again(case: Case) -> None:
    case.fake.on_start = case.agree
    case.form()
    asyncio.run(case.fake.stop(silent))
    case.fake.on_start = lambda: case.agree(first=10)
    with pytest.raises(NodeError, match="not those that are known here"):
        case.form()
    assert case.fake.calls[-1] == "undo"
    assert [node.identity.account for node in case.directory.load().nodes] == ACCOUNTS
    case.fake.runs = True  # by somebody who did not ask
    with pytest.raises(NodeError, match="not those that are known here"):
        case.form()
    assert case.fake.runs


def test_a_spec_that_drifted_is_refused_before_anything_is_touched(case: Case, tmp_path: Path) -> None:
    case.fake.on_start = case.agree
    case.form()
    other = Case(case.directory.path, spec_of(3, identities="exchanged", chain_id=4242))
    case.directory.spec.write_bytes(spec_to_yaml(other.spec))
    for attempt in (lambda: other.identities.prepare(silent), other.form, lambda: other.identities.init(silent)):
        with pytest.raises(GenesisMismatchError, match="chain_id"):
            attempt()
    assert other.fake.calls == []


def test_init_writes_what_nodes_start_from_and_makes_no_keys(case: Case) -> None:
    assert case.identities.init(silent) is None
    assert case.directory.read_spec() == case.spec and read_mark(case.directory.path)
    assert (case.directory.state / SCHEMA_NAME).exists(), "which the spec's first line names"
    assert case.fake.calls == ["write beforehand"] and not knows_nodes(case.directory)
    with pytest.raises(NotRunningError):
        case.directory.load()


def test_init_is_refused_where_there_is_nothing_to_make_beforehand(case: Case) -> None:
    case.fake.nothing_beforehand = True
    with pytest.raises(UsageError):
        case.identities.init(silent)
    assert not case.directory.path.exists()


def test_who_was_started_by_hand_is_learnt_once_all_report(case: Case) -> None:
    case.identities.init(silent)
    case.exchanging()
    assert asyncio.run(case.identities.learn()) is None
    case.agree()
    network = asyncio.run(case.identities.learn())
    assert network and [node.identity.account for node in network.nodes] == ACCOUNTS
    assert (case.directory.node("node3") / RECORD_NAME).exists()


def test_where_the_nodes_write_their_records_here_themselves_these_are_taken(case: Case) -> None:
    case.fake.on_start = case.agree
    case.form()
    asyncio.run(case.fake.stop(silent))
    case.fake.keeps_records = True
    record = case.directory.node("node1") / RECORD_NAME
    before = record.stat().st_mtime_ns
    case.fake.on_start = lambda: case.agree(first=10)
    assert case.form() == ACCOUNTS
    assert record.stat().st_mtime_ns == before


def test_generated_identities_are_made_before_anything_runs(tmp_path: Path) -> None:
    spec, directory = spec_of(3), NetworkDirectory(tmp_path / "bank")
    fake = FakeProvider(planned(spec))
    identities = identities_of(directory, spec, fake)
    assert not identities.exchanged
    identities.prepare(silent)
    formed = asyncio.run(identities.form(silent, 10))
    accounts = [node.identity.account for node in formed.nodes]
    assert len(set(accounts)) == 3 and fake.calls == ["render"], "nothing is started"
    for network in (asyncio.run(identities.learn()), identities.init(silent)):
        assert network and [node.identity.account for node in network.nodes] == accounts
    with pytest.raises(UsageError):
        fake.exchange_host()
