"""Who is a member after the lock: moved, replaced and late nodes, the same on all in whatever order they hear of it."""

from __future__ import annotations

import base64
import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from exchange_samples import CHAIN_ID, admission_of, derive, document_of, enode_key, genesis_of, proven_of, spec_of
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quorumkit.addresses import Endpoint
from quorumkit.exchange.membership import Lock, Membership, late_peer_ordinals
from quorumkit.exchange.protocol import LATEST_REVISION, Proven, Signed
from quorumkit.exchange.refusal import Refusal
from quorumkit.plan import NodeEndpoints


@functools.cache
def lock_of(total: int) -> Lock:
    documents = tuple(proven_of(ordinal, spec=spec_of(total)) for ordinal in range(1, total + 1))
    genesis = derive([proven.document.identity for proven in documents]).digest
    return Lock(genesis, documents, ())


def membership_of(total: int = 3) -> Membership:
    return Membership(lock_of(total))


def admit(members: Membership, ordinal: int, name: object, *, by: Iterable[object] = (1, 2), **more: Any) -> bool:
    """Whether any of these signatures changed anything."""
    total = members.total
    signed = [admission_of(ordinal, name, by=each, total=total, **more) for each in by]
    return True in [members.admit(each, source="x") for each in signed]


def code_of(do: Callable[..., object], *arguments: Any, **more: Any) -> str:
    with pytest.raises(Refusal) as refused:
        do(*arguments, **more)
    return refused.value.code


def endpoints(ordinal: int) -> NodeEndpoints:
    own = Endpoint(f"10.0.0.{ordinal}", 30303)
    return NodeEndpoints(p2p=own, p2p_bind=own, rpc_bind=own, rpc_url="")


ADDRESSES = {ordinal: f"10.0.0.{ordinal}" for ordinal in range(1, 8)}


def test_a_moved_node_keeps_its_place() -> None:
    members = membership_of()
    assert members.offer(proven_of(2, revision=2, host="elsewhere", p2p_port=1), source="x")
    assert not members.offer(proven_of(2), source="x")
    peers = members.network(spec_of(), 1, endpoints(1), ADDRESSES).peers_of(
        members.network(spec_of(), 1, endpoints(1), ADDRESSES).node(1)
    )
    assert [str(peer.endpoints.p2p) for peer in peers] == ["10.0.0.2:1", "10.0.0.3:30303"]


def test_another_identity_is_refused_until_more_than_half_admit_it() -> None:
    members = membership_of()
    with pytest.raises(Refusal) as refused:
        members.offer(proven_of(3, "new"), source="10.0.0.9")
    assert refused.value.code == "identity_changed"
    assert "node replace" in (refused.value.hint or "")
    assert code_of(lambda: admit(members, 3, "new", by=["new"])) == "not_admitted"
    assert admit(members, 3, "new", by=[1])
    assert code_of(lambda: members.offer(proven_of(3, "new"), source="x")) == "identity_changed"
    assert members.standing(3, enode_key(3), enode_key("new")).signed == (1,)
    assert admit(members, 3, "new", by=[2])
    assert not members.is_replaced(3)
    assert members.offer(proven_of(3, "new"), source="x")
    assert members.is_replaced(3)
    assert code_of(lambda: members.offer(proven_of(3, revision=9), source="the old one")) == "replaced"


def test_a_replaced_validator_follows_and_the_genesis_stays() -> None:
    members = membership_of()
    before = members.network(spec_of(), 1, endpoints(1), ADDRESSES)
    admit(members, 3, "new")
    members.offer(proven_of(3, "new"), source="x")
    after = members.network(spec_of(), 1, endpoints(1), ADDRESSES)
    assert after.genesis == before.genesis
    assert [node.role for node in after.nodes] == ["validator", "validator", "observer"]
    assert after.node(3).enode.key == enode_key("new")


def test_a_replaced_key_is_refused_in_every_role() -> None:
    members = membership_of(5)
    admit(members, 3, "new", by=[1, 2, 4])
    spec = spec_of(5)
    for document in (
        proven_of(3, revision=9, spec=spec),
        proven_of(3, revision=9, spec=spec, account="0x" + "0" * 40),
        proven_of(6, 3, spec=spec),
        proven_of(2, 3, spec=spec),
    ):
        assert code_of(members.offer, document, source="x") == "replaced"
    assert code_of(lambda: admit(members, 4, "its own", by=[3])) == "not_admitted"
    assert code_of(lambda: admit(members, 3, "back", by=[3], old="new")) == "not_admitted"
    for back in ((3, "new"), (4, 4)):
        assert code_of(admit, members, back[0], 3, by=[1], old=back[1]) == "replaced"


def test_the_join_secret_alone_changes_nobody() -> None:
    """A newcomer joins, and signs whatever it can think of for all the places."""
    members = membership_of(4)
    assert members.offer(proven_of(5, "newcomer", spec=spec_of(4)), source="x")
    for ordinal in (1, 2, 3, 4):
        for by in ("newcomer", "newer"):
            assert code_of(admit, members, ordinal, "evil", by=[by]) == "not_admitted"
    assert not any(members.is_replaced(ordinal) for ordinal in (1, 2, 3, 4))


def test_observers_and_latecomers_sign_nothing_that_counts() -> None:
    documents = tuple(proven_of(ordinal) for ordinal in (1, 2, 3))
    members = Membership(Lock(genesis_of(), documents, ()), validators=2)
    members.offer(proven_of(4), source="x")
    for by in (3, 4):
        assert code_of(admit, members, 2, "new", by=[by]) == "not_admitted"
    admit(members, 3, "new")  # who only follows is replaced by the validators too
    assert members.holder(3) == enode_key("new")


def test_places_for_those_who_come_later_are_bounded_and_one_identity_each() -> None:
    members = membership_of()
    assert members.offer(proven_of(103), source="x")
    assert code_of(lambda: members.offer(proven_of(104), source="x")) == "too_many"
    assert code_of(lambda: members.offer(proven_of(103, "other"), source="x")) == "identity_changed"
    assert code_of(lambda: members.offer(proven_of(50, 103), source="x")) == "identity_changed"
    assert code_of(lambda: admit(members, 104, "new", by=[1])) == "too_many"
    assert membership_of(150).places == 300


def test_what_lies_in_the_future_is_refused_and_holds_against_nothing() -> None:
    members = membership_of()
    assert code_of(lambda: members.offer(proven_of(2, revision=200, host="b"), source="x", latest=100)) == "clock"
    signed = admission_of(3, "new", by=1, revision=200)
    assert code_of(lambda: members.admit(signed, source="x", latest=100)) == "clock"
    members.offer(proven_of(2, revision=200, host="b"), source="a disk, of when the clock was ahead")
    assert members.offer(proven_of(2, revision=90, host="c"), source="x", latest=100)
    assert members.current[2].document.host == "c"


def test_nobody_takes_anothers_account_or_transaction_managers_key() -> None:
    """What is meant for that one would go to whoever says that it is his."""
    documents = tuple(proven_of(n, **tm_parts(key, n)) for n, key in ((1, "B"), (2, "C"), (3, "D")))
    members = Membership(Lock(genesis_of(), documents, ()))
    account = documents[1].document.account.upper().replace("X", "x")
    assert code_of(members.offer, proven_of(4, **tm_parts("B", 4)), source="x") == "identity_changed"
    assert code_of(members.offer, proven_of(4, **tm_parts("E", 4), account=account), source="x") == "identity_changed"
    assert members.offer(proven_of(4, **tm_parts("E", 4)), source="x")


def tm_parts(key: str, ordinal: int) -> dict[str, str]:
    return {"tm_key": key * 42 + "A=", "tm_url": f"http://node{ordinal}:9001/"}


def test_a_replaced_nodes_account_and_transaction_managers_key_do_not_come_back_elsewhere() -> None:
    """Who stole its disk has them, and would be resent what was meant for it."""
    documents = tuple(proven_of(n, **tm_parts(key, n)) for n, key in ((1, "B"), (2, "C"), (3, "D")))
    members = Membership(Lock(genesis_of(), documents, ()))
    admit(members, 3, "new")
    assert members.offer(proven_of(3, "new", **tm_parts("E", 3)), source="x")
    assert code_of(members.offer, proven_of(4, **tm_parts("D", 4)), source="x") == "identity_changed"
    account = documents[2].document.account
    assert code_of(members.offer, proven_of(4, **tm_parts("F", 4), account=account), source="x") == "identity_changed"
    assert members.offer(proven_of(4, **tm_parts("F", 4)), source="x")


def test_nobody_keeps_another_out_of_the_place_it_was_given_by_taking_what_is_its_own() -> None:
    """Who has the join secret can read a newcomer's document before it is admitted, and come first with its keys."""
    documents = tuple(proven_of(n, **tm_parts(key, n)) for n, key in ((1, "B"), (2, "C"), (3, "D")))
    new = proven_of(3, "new", **tm_parts("E", 3))
    thieves = [
        proven_of(4, **tm_parts("E", 4)),
        proven_of(5, **tm_parts("F", 5), account=new.document.account),
    ]
    digests = set()
    for thieves_first in (True, False):
        members = Membership(Lock(genesis_of(), documents, ()))
        for proven in thieves if thieves_first else ():
            assert members.offer(proven, source="x")
        admit(members, 3, "new")
        assert members.offer(new, source="x")
        for proven in thieves:
            assert code_of(members.offer, proven, source="x") == "identity_changed"
        assert sorted(members.current) == [1, 2, 3]
        digests.add(members.digest)
    assert len(digests) == 1


@pytest.mark.parametrize("more", [{"tm_key": None}, {"tm_url": None}, {"raft_port": 50400}])
def test_who_does_not_say_what_all_say_of_themselves_is_refused(more: dict[str, Any]) -> None:
    documents = tuple(proven_of(n, **tm_parts(key, n)) for n, key in ((1, "B"), (2, "C"), (3, "D")))
    members = Membership(Lock(genesis_of(), documents, ()))
    for ordinal, key in ((4, "E"), (2, "C")):
        odd = proven_of(ordinal, **{**tm_parts(key, ordinal), "revision": 9, **more})
        assert code_of(members.offer, odd, source="x") == "spec"


def test_a_transaction_managers_key_has_one_spelling() -> None:
    """X25519 reads both alike, so one could be told as another's."""
    key = bytes(31) + b"\x09"
    assert document_of(4, tm_key=base64.b64encode(key).decode())
    with pytest.raises(ValidationError, match="last bit"):
        document_of(4, tm_key=base64.b64encode(key[:31] + b"\x89").decode())


@pytest.mark.parametrize("host", ["..", "a..b", ":::", "::1::", "1:2", "fe80::1%eth0"])
def test_what_cannot_be_a_host_is_none(host: str) -> None:
    with pytest.raises(ValidationError):
        document_of(4, host=host)


@pytest.mark.parametrize("key", ["", "x", "A" * 44, "A" * 43, "A" * 42 + "\n=", '"]\nsocket="x'])
def test_a_transaction_managers_key_that_none_could_read_is_no_document(key: str) -> None:
    with pytest.raises(ValidationError):
        document_of(4, tm_key=key)


@pytest.mark.parametrize("revision", [2**53, LATEST_REVISION + 1, 0, -1])
def test_revisions_are_bounded_where_they_are_read(revision: int) -> None:
    with pytest.raises(ValidationError):
        document_of(2, revision=revision)
    with pytest.raises(ValidationError):
        admission_of(2, "new", by=1, revision=revision)


def test_who_comes_later_peers_with_the_first_and_they_with_it() -> None:
    members = membership_of()
    assert members.offer(proven_of(6), source="x")
    seen = members.network(spec_of(), 1, endpoints(1), ADDRESSES)
    assert [peer.ordinal for peer in seen.peers_of(seen.node(1))] == [2, 3, 6]
    own = members.network(spec_of(), 6, endpoints(6), ADDRESSES)
    assert own.node(6).role == "observer"
    assert [peer.ordinal for peer in own.peers_of(own.node(6))] == [1, 2, 3]
    assert own.genesis == seen.genesis


def test_a_latecomer_of_another_network_or_with_a_members_key_is_refused() -> None:
    members = membership_of()
    for proven, code in (
        (proven_of(6, chain_id=CHAIN_ID + 1), "chain_id"),
        (proven_of(6, spec=spec_of(4)), "spec"),
        (proven_of(6, 2), "identity_changed"),
    ):
        with pytest.raises(Refusal) as refused:
            members.offer(proven, source="x")
        assert refused.value.code == code


@given(st.integers(33, 300), st.integers(301, 700))
def test_a_latecomer_of_a_large_network_has_a_bounded_number_of_peers(total: int, ordinal: int) -> None:
    peers = late_peer_ordinals(ordinal, total)
    assert 0 < len(peers) <= 2 * total.bit_length() + 1
    assert set(peers) <= set(range(1, total + 1))


NEWS: dict[str, Proven | Signed] = {
    "moved": proven_of(2, revision=2, host="b"),
    "moved again": proven_of(2, revision=3, host="c"),
    "signed by 1": admission_of(3, "new", by=1),
    "signed by 2": admission_of(3, "new", by=2, revision=2),
    "new": proven_of(3, "new"),
    "late": proven_of(7),
}


def hears(members: Membership, news: Proven | Signed) -> None:
    if isinstance(news, Proven):
        members.offer(news, source="x")
    else:
        members.admit(news, source="x")


def test_news_in_any_order_and_again_make_the_same_members() -> None:
    """What cannot be taken yet is told again: nodes that know different members ask until they know the same."""
    digests = set()
    for order in itertools.permutations(NEWS):
        members = membership_of()
        for name in (*order, *order):
            try:
                hears(members, NEWS[name])
            except Refusal:
                continue
        assert members.is_replaced(3)
        digests.add(members.digest)
    assert len(digests) == 1


def test_the_digest_tells_members_apart() -> None:
    one, other = membership_of(), membership_of()
    assert one.digest == other.digest
    other.offer(proven_of(6), source="x")
    assert one.digest != other.digest
    assert document_of(6).ordinal in other.current
