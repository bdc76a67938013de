"""Who has whose place by what validators signed: in whatever order it is heard, however late, and whoever lies."""

from __future__ import annotations

import contextlib
import itertools
import random

import pytest
from exchange_samples import admission_of, enode_key, genesis_of, proven_of, spec_of

from quorumkit.exchange.membership import Lock, Membership
from quorumkit.exchange.protocol import Signed
from quorumkit.exchange.refusal import Refusal


def members_of(total: int = 5) -> Membership:
    documents = tuple(proven_of(ordinal, spec=spec_of(total)) for ordinal in range(1, total + 1))
    return Membership(Lock(genesis_of(total), documents, ()))


def hear(members: Membership, told: list[Signed]) -> None:
    for signed in told:
        with contextlib.suppress(Refusal):
            members.admit(signed, source="x")


def sign(members: Membership, ordinal: int, name: str, by: list[int], *, old: object = None, revision: int = 1) -> None:
    for each in by:
        members.admit(
            admission_of(ordinal, name, by=each, old=old, revision=revision, total=members.total), source="x"
        )  # fmt: skip


@pytest.mark.parametrize(("total", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (10, 6)])
def test_more_than_half_of_all_that_sit_must_sign(total: int, needed: int) -> None:
    members = members_of(total)
    for by in range(1, needed):
        sign(members, total, "new", [by])
        assert members.holder(total) == enode_key(total)
    sign(members, total, "new", [needed])
    assert members.holder(total) == enode_key("new")
    assert members.standing(total, enode_key(total), enode_key("new")).complete


def test_those_whose_place_was_given_away_are_not_counted() -> None:
    members = members_of(5)
    sign(members, 5, "new5", [1, 2, 3])
    assert members.standing(4, enode_key(4), enode_key("new4")).needed == 3  # of four
    sign(members, 4, "new4", [1, 2, 3])
    sign(members, 3, "new3", [1, 2])  # of three
    assert {members.holder(ordinal) for ordinal in (3, 4, 5)} == {enode_key(name) for name in ("new3", "new4", "new5")}
    with pytest.raises(Refusal):
        sign(members, 1, "evil", [5])
    with pytest.raises(Refusal):  # nor has the new identity a say: the lock's have
        members.admit(admission_of(1, "evil", by="new5", total=5), source="x")


def test_one_who_was_away_during_many_replacements_takes_them_all() -> None:
    """Whoever signed the first was replaced himself later: it was right when it took effect."""
    here = members_of(5)
    sign(here, 1, "new1", [2, 3, 4])
    sign(here, 2, "new2", [3, 4, 5])
    sign(here, 3, "new3", [4, 5])
    away = members_of(5)
    hear(away, here.admissions.signed)
    assert [step.ordinal for step in away.admissions.steps] == [1, 2, 3]
    for ordinal in (1, 2, 3):
        here.offer(proven_of(ordinal, f"new{ordinal}", spec=spec_of(5)), source="x")
        away.offer(proven_of(ordinal, f"new{ordinal}", spec=spec_of(5)), source="x")
    assert away.digest == here.digest


def test_what_stolen_keys_sign_after_they_were_replaced_is_refused_however_it_is_dated() -> None:
    members = members_of(5)
    for ordinal, by in ((1, [2, 3, 4, 5]), (2, [3, 4, 5]), (3, [4, 5])):
        sign(members, ordinal, f"new{ordinal}", by, revision=10)
    for revision in (1, 10, 99):
        for stolen in (1, 2, 3):
            with pytest.raises(Refusal) as refused:
                sign(members, 4, "evil", [stolen], revision=revision)
            assert refused.value.code == "not_admitted"
    assert members.holder(4) == enode_key(4)


def test_an_old_admission_heard_again_changes_nothing() -> None:
    members = members_of(5)
    sign(members, 5, "first", [1, 2, 3])
    sign(members, 5, "second", [1, 2, 3], old="first", revision=2)
    before = members.digest
    hear(members, [admission_of(5, "first", by=by, total=5, revision=revision) for by in (1, 2, 3, 4)
                   for revision in (1, 3)])  # fmt: skip
    assert members.holder(5) == enode_key("second")
    assert members.digest == before
    with pytest.raises(Refusal) as refused:
        sign(members, 5, "first", [1], old="second", revision=4)
    assert refused.value.code == "replaced"


def test_a_signature_for_another_network_does_not_count() -> None:
    with pytest.raises(Refusal) as refused:
        members_of().admit(admission_of(5, "new", by=1, genesis="0" * 64), source="x")
    assert refused.value.code == "not_admitted"


def test_a_signature_for_another_network_is_not_handed_on_with_a_step_either() -> None:
    members = members_of()
    for by in (1, 2, 3):
        members.admit(admission_of(5, "new", by=by, total=5), source="x")
    with pytest.raises(Refusal):
        members.admit(admission_of(5, "new", by=4, total=5, genesis="0" * 64), source="x")


def test_a_signature_for_another_does_not_add_up() -> None:
    members = members_of(5)
    sign(members, 5, "a", [1, 2])
    sign(members, 5, "b", [3, 4])
    assert members.holder(5) == enode_key(5)
    sign(members, 5, "b", [2], revision=2)  # who signs anew takes his first signature back
    assert members.holder(5) == enode_key("b")
    assert members.standing(5, enode_key(5), enode_key("a")).signed == ()


def test_two_for_one_place_end_as_one_everywhere() -> None:
    """One took effect where it was not known yet that others had signed another later."""
    first = [admission_of(5, "a", by=by, total=5, revision=1) for by in (1, 2, 3)]
    later = [admission_of(5, "b", by=by, total=5, revision=2) for by in (2, 3, 4)]
    digests = set()
    for order in itertools.permutations([*first, *later]):
        members = members_of(5)
        hear(members, list(order))
        hear(members, first)
        hear(members, later)
        with contextlib.suppress(Refusal):
            members.offer(proven_of(5, "b", spec=spec_of(5)), source="x")
        assert members.holder(5) == enode_key("b")
        digests.add(members.digest)
    assert len(digests) == 1


def test_signatures_of_before_do_not_come_to_effect_when_others_are_replaced() -> None:
    members = members_of(5)
    sign(members, 5, "a", [1, 2], revision=1)
    sign(members, 5, "b", [1, 3, 4], revision=2)
    sign(members, 3, "new3", [1, 2, 4], revision=3)
    sign(members, 4, "new4", [1, 2], revision=4) if members.holder(4) != enode_key("new4") else None
    hear(members, [admission_of(5, "a", by=by, total=5, revision=1) for by in (1, 2)])
    assert members.holder(5) == enode_key("b")


def test_a_node_that_knows_another_past_is_convinced_by_further_signatures() -> None:
    """It missed the first, and one of its signers was replaced since."""
    here, there = members_of(5), members_of(5)
    sign(here, 1, "new1", [2, 3, 4])
    sign(there, 2, "new2", [3, 4, 5])
    hear(here, there.admissions.signed)
    hear(there, here.admissions.signed)
    assert there.holder(1) == enode_key(1)
    sign(there, 1, "new1", [5], revision=2)
    assert there.holder(1) == here.holder(1) == enode_key("new1")
    assert here.holder(2) == there.holder(2) == enode_key("new2")


def test_replacements_heard_in_any_order_of_their_signatures_are_the_same() -> None:
    told = [admission_of(ordinal, f"new{ordinal}", by=by, total=7) for ordinal in (6, 7) for by in (1, 2, 3, 4)]
    generator = random.Random(1)
    digests = set()
    for _ in range(200):
        order = told * 2
        generator.shuffle(order)
        members = members_of(7)
        hear(members, order)
        hear(members, told)
        digests.add(members.digest)
    assert len(digests) == 1
