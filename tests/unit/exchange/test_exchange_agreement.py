"""From documents to one lock: whatever starts, dies, restarts or is said twice, in whatever order."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field

import pytest
from exchange_samples import (
    admission_of,
    agreement_of,
    commitment_of,
    enode_key,
    genesis_of,
    nodekey,
    proven_of,
    spec_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from quorumkit.exchange.agreement import Agreement
from quorumkit.exchange.dissemination import blocks
from quorumkit.exchange.protocol import Admission, Commitment, Proven, Report, Signed, Stage, check, sign
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.terms import terms_of


def refusal_of(agreement: Agreement, proven: Proven, **more: object) -> Refusal:
    with pytest.raises(Refusal) as refused:
        agreement.offer(proven, source="10.0.0.9", **more)  # type: ignore[arg-type]
    return refused.value


def test_it_locks_when_all_gave_the_same_word() -> None:
    one = agreement_of(1)
    assert one.stage == "documents"
    assert one.missing(one.ordinals) == [2, 3]
    one.offer(proven_of(2), source="node2")
    one.offer(proven_of(3), source="node3")
    assert one.stage == "reports"  # type: ignore[comparison-overlap]
    assert one.may_commit(version=1) is None
    for other in (2, 3):
        view = agreement_of(other)
        for ordinal in (1, 2, 3):
            view.offer(proven_of(ordinal), source="x")
        view.may_commit(version=1)
        report = view.gathered.reports.get(view.ordinal)
        assert report is not None
        one.report(report)
    digest = one.may_commit(version=1)
    assert digest is not None
    for ordinal in (1, 2, 3):
        assert not one.locked
        commitment = commitment_of(ordinal, digest)
        one.commit(commitment, sign(commitment, nodekey(ordinal)))
    assert one.locked


def test_other_chain_ids_and_settings_are_refused_and_named() -> None:
    one = agreement_of(1)
    assert refusal_of(one, proven_of(2, chain_id=1)).code == "chain_id"
    other = spec_of(3, consensus={"period": 9})
    refusal = refusal_of(one, proven_of(2, spec=other), terms=terms_of(other))
    assert refusal.code == "spec"
    assert "consensus is" in refusal.message
    assert '"period":9' in refusal.message
    assert one.missing(one.ordinals) == [2, 3]


def test_two_claims_on_an_ordinal_are_settled_by_who_answers_there() -> None:
    one = agreement_of(1)
    one.offer(proven_of(2, "impostor"), source="10.0.0.9")
    assert refusal_of(one, proven_of(2)).code == "ordinal_taken"
    assert set(one.disputed) == {2}
    one.resolve(2, proven_of(2))
    assert one.gathered.documents[2].document.enode_key == enode_key(2)
    assert not one.disputed
    assert refusal_of(one, proven_of(2, "impostor")).code == "ordinal_taken"
    assert not one.disputed, "a claim that lost makes no second dispute"


def test_a_dispute_nobody_answers_stays_open_and_keeps_from_committing() -> None:
    one = agreement_of(1, total=2)
    one.offer(proven_of(2, "impostor", spec=spec_of(2)), source="x")
    refusal_of(one, proven_of(2, spec=spec_of(2)))
    two = agreement_of(2, total=2, name="impostor")
    two.offer(proven_of(1, spec=spec_of(2)), source="x")
    two.may_commit(version=1)
    assert two.ordinal in two.gathered.reports
    one.report(two.gathered.reports[two.ordinal])
    assert one.may_commit(version=1) is None


def test_nobody_takes_this_nodes_own_place() -> None:
    one = agreement_of(1)
    assert refusal_of(one, proven_of(1, "impostor")).code == "ordinal_taken"
    assert one.gathered.documents[1].document.enode_key == enode_key(1)


def test_a_later_document_of_the_same_identity_moves_a_node() -> None:
    one = agreement_of(1)
    one.offer(proven_of(2), source="x")
    one.offer(proven_of(2, revision=5, host="elsewhere"), source="x")
    one.offer(proven_of(2, revision=3, host="nowhere"), source="x")
    assert one.gathered.documents[2].document.host == "elsewhere"


def test_a_different_genesis_is_named_with_its_field() -> None:
    one, two = agreement_of(1), agreement_of(2)
    for view in (one, two):
        for ordinal in (1, 2):
            view.offer(proven_of(ordinal), source="x")
    one.offer(proven_of(3), source="x")
    two.offer(proven_of(3, "impostor"), source="x")
    one.may_commit(version=1)
    two.may_commit(version=1)
    assert two.ordinal in two.gathered.reports
    one.report(two.gathered.reports[two.ordinal])
    assert [str(each) for each in one.differences] == ["node2 in alloc"]
    # Handed on by one who agrees with it, to one who does not, it still says where it differs.
    assert one.genesis is not None
    equal, different = two.genesis, one.genesis
    assert equal is not None
    three = agreement_of(3, name="impostor")
    for ordinal in (1, 2):
        three.offer(proven_of(ordinal), source="x")
    for report in [two.gathered.reports[two.ordinal].model_copy(update={"fields": {}})]:
        three.report(report)
    assert three.gathered.reports_of([2], genesis=equal.digest)[0].fields == {}
    assert three.gathered.reports_of([2], genesis=different.digest)[0].fields == equal.fields
    assert one.may_commit(version=2) is None


def test_a_word_once_given_is_not_taken_back() -> None:
    one = agreement_of(1, total=2)
    one.offer(proven_of(2, spec=spec_of(2)), source="x")
    assert one.genesis is not None
    commitment = commitment_of(1, one.genesis.digest)
    one.commit(commitment, sign(commitment, nodekey(1)))
    assert refusal_of(one, proven_of(2, "impostor", spec=spec_of(2))).code == "identity_changed"
    one.resolve(2, proven_of(2, "impostor", spec=spec_of(2)))
    assert one.gathered.documents[2].document.enode_key == enode_key(2)


def test_a_word_under_another_key_does_not_count() -> None:
    one = agreement_of(1, total=2)
    one.offer(proven_of(2, spec=spec_of(2)), source="x")
    assert one.genesis is not None
    for name in (1, None):
        commitment = commitment_of(1, one.genesis.digest, name)
        one.commit(commitment, sign(commitment, nodekey(1)))
    strange = commitment_of(2, one.genesis.digest, "mallory")
    one.commit(strange, sign(strange, nodekey("mallory")))
    assert not one.locked


def test_one_who_comes_later_needs_everyones_word_and_gives_none() -> None:
    late = agreement_of(6)
    for ordinal in (1, 2, 3):
        late.offer(proven_of(ordinal), source="x")
    assert late.stage == "commitments"
    assert late.may_commit(version=1) is None
    assert late.genesis is not None
    for ordinal in (1, 2, 3):
        commitment = commitment_of(ordinal, late.genesis.digest)
        late.commit(commitment, sign(commitment, nodekey(ordinal)))
    assert late.locked


def test_only_a_members_signature_lets_a_new_identity_join() -> None:
    def signed(name: object, by: object) -> Admission:
        return check(Admission, admission_of(3, name, by=by), source="x")

    lost = agreement_of(3, name="new")
    for ordinal in (1, 2):
        lost.offer(proven_of(ordinal), source="x")
    lost.admit(signed("new", by="new"))
    lost.admit(signed("other", by=1))
    assert not lost.joins
    lost.admit(signed("new", by=1))
    assert lost.joins
    for ordinal in (1, 2, 3):
        lost.offer(proven_of(ordinal), source="x")
    assert lost.genesis is not None


def test_who_joins_gathers_the_lock_anew() -> None:
    """It may have met others that were replaced as it was, who do not stand in the lock."""
    lost = agreement_of(3, name="new")
    lost.offer(proven_of(1), source="x")
    lost.offer(proven_of(2, "new too"), source="x")
    with contextlib.suppress(Refusal):
        lost.offer(proven_of(2), source="x")
    assert lost.disputed
    lost.admit(check(Admission, admission_of(3, "new", by=1), source="x"))
    assert not lost.disputed
    for ordinal in (1, 2, 3):
        lost.offer(proven_of(ordinal), source="x")
        commitment = commitment_of(ordinal, genesis_of())
        lost.commit(commitment, sign(commitment, nodekey(ordinal)))
    assert lost.locked


def test_from_the_promise_on_the_set_stays_although_the_word_is_not_given_yet() -> None:
    """Meanwhile it is being written down."""
    one = agreement_of(1)
    for ordinal in (2, 3):
        one.offer(proven_of(ordinal), source="x")
    one.promise(genesis_of())
    assert one.committed == genesis_of()
    assert one.may_commit(version=1) is None
    assert refusal_of(one, proven_of(2, "impostor")).code == "identity_changed"
    one.resolve(2, proven_of(2, "impostor"))
    assert one.gathered.documents[2].document.enode_key == enode_key(2)
    assert one.gathered.commitments == []


def test_its_own_word_under_another_key_is_none_of_its_own() -> None:
    """It had that key before it lost its disk; who hands it on may be anybody."""
    one = agreement_of(1)
    for ordinal in (2, 3):
        one.offer(proven_of(ordinal), source="x")
    before = commitment_of(1, "0" * 64, "before")
    one.commit(before, sign(before, nodekey("before")))
    assert one.committed is None
    assert one.gathered.commitments == []
    assert not one.gathered.has("commitments", [1])


@pytest.mark.parametrize("stage", ["reports", "commitments"])
def test_what_a_node_said_that_lost_a_dispute_goes_with_it(stage: Stage) -> None:
    one = agreement_of(1)
    for proven in (proven_of(2, "impostor"), proven_of(3)):
        one.offer(proven, source="x")
    assert one.genesis is not None
    if stage == "reports":
        one.report(Report(ordinal=2, version=1, genesis=one.genesis.digest, fields={}))
    else:
        word = commitment_of(2, one.genesis.digest, "impostor")
        one.commit(word, sign(word, nodekey("impostor")))
    assert one.gathered.has(stage, [2])
    one.resolve(2, proven_of(2))
    assert not one.gathered.has(stage, [2])
    assert one.gathered.reports_of([2]) == []
    assert one.gathered.commitments_of([2]) == []
    if stage == "commitments":  # nor is it taken for known, should it be right after all
        assert not one.gathered.knows(sign(word, nodekey("impostor")))


@pytest.mark.parametrize("total", [1, 2, 3, 5, 8, 25, 100, 257])
def test_everyone_asks_about_log2_n_times_for_everybody_else(total: int) -> None:
    for ordinal in {1, total // 2 + 1, total}:
        asked = blocks(ordinal, total)
        assert len(asked) == (math.ceil(math.log2(total)) if total > 1 else 0)
        wanted = [other for block in asked for other in block.ordinals]
        assert sorted(wanted) == [other for other in range(1, total + 1) if other != ordinal]
        for block in asked:
            assert block.sources[0] == block.ordinals[0]
            assert sorted(block.sources) == [other for other in range(1, total + 1) if other != ordinal]


@pytest.mark.parametrize("total", [2, 5, 8, 25, 100])
def test_asking_in_that_pattern_spreads_everything(total: int) -> None:
    """In as many rounds as there are blocks, each source has what it is asked for when its turn comes."""
    known = {ordinal: {ordinal} for ordinal in range(1, total + 1)}
    rounds = max(len(blocks(ordinal, total)) for ordinal in known)
    for turn in range(rounds):
        before = {ordinal: set(values) for ordinal, values in known.items()}
        for ordinal in known:
            block = blocks(ordinal, total)[turn]
            assert set(block.ordinals) <= before[block.sources[0]]
            known[ordinal] |= set(block.ordinals)
    assert all(len(values) == total for values in known.values())


# Any interleaving of starts, deaths and restarts.


@dataclass
class Machine:
    """A node with its disk: what survives its death is the identity's name, its word with the set, and the lock."""

    ordinal: int
    total: int
    life: int = 0
    word: tuple[str, Signed, tuple[Proven, ...]] | None = None
    lock: str | None = None
    running: Agreement | None = None
    clock: int = 0
    locks: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.ordinal}/{self.life}"

    def start(self) -> None:
        committed, documents = (self.word[0], self.word[2]) if self.word else (None, ())
        self.running = agreement_of(
            self.ordinal, total=self.total, name=self.name, committed=committed, documents=documents
        )
        if self.word:
            self.running.commit(check(Commitment, self.word[1], source="disk"), self.word[1])

    def die(self) -> None:
        self.running = None

    def lose_disk(self) -> None:
        self.running, self.word, self.lock = None, None, None
        self.life += 1

    def step(self, *, dies: bool = False) -> None:
        """What the loop does after every change; `dies` right after its word is on the disk."""
        assert self.running is not None
        self.clock += 1
        digest = self.running.may_commit(version=self.clock)
        if digest is not None:
            commitment = commitment_of(self.ordinal, digest, self.name)
            signed = sign(commitment, nodekey(self.name))
            documents = tuple(self.running.gathered.documents[ordinal] for ordinal in self.running.ordinals)
            self.word = digest, signed, documents
            if dies:
                self.die()
                return
            self.running.commit(commitment, signed)
        if self.running.locked and self.lock is None:
            assert self.running.genesis is not None
            self.lock = self.running.genesis.digest
            self.locks.append(self.lock)

    def ask(self, other: Machine, named: Machine) -> None:
        """One request and its answer, as the loop makes them; `named` is who answers at the other's name."""
        if self.running is None or other.running is None:
            return
        offer(other.running, self.running.own)
        settle(other.running, {self.ordinal: named})
        theirs = other.running
        offer(self.running, theirs.own)
        for proven in list(theirs.gathered.documents.values()):
            offer(self.running, proven)
        for report in theirs.gathered.reports_of(theirs.ordinals):
            self.running.report(report)
        for signed in theirs.gathered.commitments:
            self.running.commit(check(Commitment, signed, source="x"), signed)


def offer(agreement: Agreement, proven: Proven) -> None:
    try:
        agreement.offer(proven, source="x")
    except Refusal as refusal:
        assert refusal.code in {"ordinal_taken", "identity_changed"}


def settle(agreement: Agreement, names: dict[int, Machine]) -> None:
    for ordinal in list(agreement.disputed):
        machine = names.get(ordinal)
        agreement.resolve(ordinal, machine.running.own if machine and machine.running else None)


TOTAL = 3
NODES = st.integers(1, TOTAL)
ASKS = st.tuples(st.just("ask"), NODES, NODES)
EVENTS = st.one_of(
    st.tuples(st.sampled_from(["start", "die", "lose disk", "impostor asks", "name fails"]), NODES, st.just(0)),
    st.tuples(st.just("die at its word"), NODES, NODES),
    ASKS,
    ASKS,
    # What a few seconds bring when nothing goes wrong: all ask all, from the one named on.
    st.tuples(st.just("all ask"), NODES, st.just(0)),
)


class World:
    """Machines, their names, and one impostor that claims an ordinal at whose name it does not answer."""

    def __init__(self, *, disks: bool, impostor: bool) -> None:
        self.machines = {ordinal: Machine(ordinal, TOTAL) for ordinal in range(1, TOTAL + 1)}
        self.disks = disks
        self.impostor = Machine(2, TOTAL, life=99) if impostor else None
        self.deaf: int | None = None
        """The ordinal whose name leads nowhere at the moment."""
        for machine in self.machines.values():
            machine.start()

    def play(self, events: list[tuple[str, int, int]]) -> None:
        for what, ordinal, other in events:
            machine = self.machines[ordinal]
            if what == "start" and machine.running is None:
                machine.start()
            elif what == "die":
                machine.die()
            elif what == "lose disk" and self.disks:
                machine.lose_disk()
                machine.start()
            elif what == "name fails":
                self.deaf = ordinal
            elif what == "impostor asks" and self.impostor is not None:
                if self.impostor.running is None:
                    self.impostor.start()
                self.ask(self.impostor, machine, named=self.machines[2])
            elif what == "all ask":
                for step in range(TOTAL):
                    for distance in range(1, TOTAL):
                        one = (ordinal - 1 + step) % TOTAL + 1
                        self.ask(self.machines[one], self.machines[(one - 1 + distance) % TOTAL + 1])
            elif other and other != ordinal:
                self.ask(machine, self.machines[other], dies=what == "die at its word")

    def ask(self, one: Machine, other: Machine, *, named: Machine | None = None, dies: bool = False) -> None:
        if one.running is None or other.running is None or other.ordinal == self.deaf:
            return
        one.ask(other, named or one)
        for each in self.machines.values():
            if each.running is not None:
                settle(each.running, {k: v for k, v in self.machines.items() if k != self.deaf})
        other.step()
        one.step(dies=dies)

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        self.deaf = None
        for machine in self.machines.values():
            if machine.running is None:
                machine.start()
        self.play([("all ask", 1, 0)] * 6)

    @property
    def locks(self) -> set[str]:
        """Every lock that any machine ever had on a disk that it still has, or had."""
        return {machine.lock for machine in self.machines.values() if machine.lock}


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_any_interleaving_ends_in_the_same_lock(events: list[tuple[str, int, int]]) -> None:
    world = World(disks=False, impostor=False)
    world.play(events)
    assert len(world.locks) <= 1
    world.calm()
    assert [machine.lock for machine in world.machines.values()] == [*world.locks] * TOTAL


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_an_impostor_does_not_keep_the_honest_ones_from_their_lock(events: list[tuple[str, int, int]]) -> None:
    world = World(disks=False, impostor=True)
    world.play(events)
    world.calm()
    assert [machine.lock for machine in world.machines.values()] == [*world.locks] * TOTAL
    assert all(machine.running.gathered.documents[2].document.enode_key == enode_key("2/0")  # type: ignore[union-attr]
               for machine in world.machines.values())  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=30))
def test_disks_lost_on_the_way_never_make_two_locks(events: list[tuple[str, int, int]]) -> None:
    """Between nodes that kept their disks there is one lock or none; one that lost its disk after a lock is new."""
    world = World(disks=True, impostor=True)
    world.play(events)
    world.calm()
    assert len(world.locks) <= 1
