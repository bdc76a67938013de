"""Who is a member after the lock: moved, replaced and late nodes, the same on all in whatever order they hear of it."""

from __future__ import annotations

import functools
import itertools

import pytest
from exchange_samples import CHAIN_ID, derive, document_of, enode_key, nodekey, proven_of, spec_of
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.exchange.membership import Lock, Membership, late_peer_ordinals
from quorumkit.exchange.protocol import Admission, Proven, Signed, sign
from quorumkit.exchange.refusal import Refusal
from quorumkit.plan import Endpoint, NodeEndpoints


@functools.cache
def lock_of(total: int) -> Lock:
    documents = tuple(proven_of(ordinal, spec=spec_of(total)) for ordinal in range(1, total + 1))
    genesis = derive([proven.document.identity for proven in documents]).digest
    return Lock(genesis, documents, ())


def membership_of(total: int = 3) -> Membership:
    return Membership(lock_of(total))


def admission(ordinal: int, name: str, *, by: object = 1, revision: int = 1) -> Signed:
    part = Admission(ordinal=ordinal, revision=revision, enode_key=enode_key(name), by=enode_key(by))
    return sign(part, nodekey(by))


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


def test_another_identity_is_refused_until_a_member_admits_it() -> None:
    members = membership_of()
    with pytest.raises(Refusal) as refused:
        members.offer(proven_of(3, "new"), source="10.0.0.9")
    assert refused.value.code == "identity_changed"
    assert "node replace" in (refused.value.hint or "")
    with pytest.raises(Refusal) as refused:
        members.admit(admission(3, "new", by="new"), source="x")
    assert refused.value.code == "not_admitted"
    assert members.admit(admission(3, "new"), source="x")
    assert not members.is_replaced(3)
    assert members.offer(proven_of(3, "new"), source="x")
    assert members.is_replaced(3)
    with pytest.raises(Refusal):
        members.offer(proven_of(3, revision=9), source="the old one, with its disk found again")


def test_a_replaced_validator_follows_and_the_genesis_stays() -> None:
    members = membership_of()
    before = members.network(spec_of(), 1, endpoints(1), ADDRESSES)
    members.admit(admission(3, "new"), source="x")
    members.offer(proven_of(3, "new"), source="x")
    after = members.network(spec_of(), 1, endpoints(1), ADDRESSES)
    assert after.genesis == before.genesis
    assert [node.role for node in after.nodes] == ["validator", "validator", "observer"]
    assert enode_key("new") in after.node(3).enode
    assert enode_key(3) not in after.node(3).enode


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
    "admitted": admission(3, "new"),
    "admitted by another": admission(3, "newer", by=2, revision=2),
    "new": proven_of(3, "new"),
    "newer": proven_of(3, "newer"),
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
        digests.add(members.digest)
    assert len(digests) == 1


def test_the_digest_tells_members_apart() -> None:
    one, other = membership_of(), membership_of()
    assert one.digest == other.digest
    other.offer(proven_of(6), source="x")
    assert one.digest != other.digest
    assert document_of(6).ordinal in other.current
