"""Who is believed about which key: only the network's list, and only each one about itself."""

from __future__ import annotations

from quorumkit.tm.keys import format_public_key
from quorumkit.tm.parties import Parties
from quorumkit.tm.wire import Dialect, PartyInfo

OWN, B_KEY, C_KEY, NEW = (letter * 32 for letter in (b"a", b"b", b"c", b"n"))
A, B, C = "http://a:1/", "http://b:1/", "http://c:1/"


def parties(**keys) -> Parties:
    return Parties(A, [OWN], [B, C], keys.get("other_keys", {}))


def says(url: str, *recipients: tuple[bytes, str]) -> PartyInfo:
    return PartyInfo(url, recipients, ())


def test_a_peer_is_believed_about_itself():
    known = parties()
    assert known.peer_of(B_KEY) is None
    assert known.learn(known.peers[B], says(B, (B_KEY, "http://B:1")), Dialect.CLASSIC) == []
    assert known.peer_of(B_KEY) is known.peers[B]
    assert known.peers[B].answered


def test_a_peer_is_not_believed_about_others():
    known = parties()
    known.learn(known.peers[B], says(B, (B_KEY, B), (C_KEY, C), (NEW, "http://stranger:1/")), Dialect.CLASSIC)
    assert known.peer_of(C_KEY) is None
    assert known.peer_of(NEW) is None
    assert set(known.peers) == {B, C}


def test_a_key_another_holds_is_refused():
    known = parties()
    known.learn(known.peers[B], says(B, (B_KEY, B)), Dialect.CLASSIC)
    (refused,) = known.learn(known.peers[C], says(C, (B_KEY, C)), Dialect.CLASSIC)
    assert B in refused
    assert known.peer_of(B_KEY) is known.peers[B]


def test_this_nodes_own_key_is_refused():
    known = parties()
    (refused,) = known.learn(known.peers[B], says(B, (OWN, B)), Dialect.CLASSIC)
    assert A in refused
    assert known.peer_of(OWN) is None


def test_a_key_that_was_given_up_can_move():
    known = parties()
    known.learn(known.peers[B], says(B, (B_KEY, B)), Dialect.CLASSIC)
    known.learn(known.peers[B], says(B, (NEW, B)), Dialect.CLASSIC)
    assert known.peer_of(B_KEY) is None
    assert known.learn(known.peers[C], says(C, (B_KEY, C)), Dialect.CLASSIC) == []
    assert known.peer_of(B_KEY) is known.peers[C]


def test_listed_keys_are_known_at_once_and_no_others_ever():
    known = parties(other_keys={B_KEY: B, C_KEY: C})
    assert known.complete()
    assert known.peer_of(C_KEY) is known.peers[C]
    (refused,) = known.learn(known.peers[B], says(B, (B_KEY, B), (NEW, B)), Dialect.CLASSIC)
    assert format_public_key(NEW) in refused
    assert known.peer_of(NEW) is None
    known.learn(known.peers[B], says(B), Dialect.CLASSIC)
    assert known.peer_of(B_KEY) is known.peers[B]  # tm.conf says so, whatever the peer leaves out


def test_everybody_known_when_everybody_answered():
    known = parties()
    assert not known.complete()
    known.learn(known.peers[B], says(B), Dialect.CLASSIC)
    assert not known.complete()
    known.learn(known.peers[C], says(C), Dialect.CRUX)
    assert known.complete()
    assert known.peers[C].dialect is Dialect.CRUX


def test_what_is_told_of_this_node():
    known = parties()
    assert known.info() == PartyInfo(A, ((OWN, A),), (A, B, C))
    assert known.info(with_recipients=False) == PartyInfo(A, (), (A, B, C))


def test_peers_are_found_in_any_spelling_and_strangers_are_not():
    known = parties()
    assert known.peer_at("http://B:1") is known.peers[B]
    for stranger in ("http://b:2/", "https://b:1/", "http://b:1/x", "", "\x00", "http://[::bad"):
        assert known.peer_at(stranger) is None


def test_another_list_keeps_what_those_who_stay_said():
    known = parties()
    known.learn(known.peers[B], says(B, (B_KEY, B)), Dialect.CLASSIC)
    known.learn(known.peers[C], says(C, (C_KEY, C)), Dialect.CLASSIC)
    new = "http://n:1/"
    known.relist([B, new], {})
    assert known.peer_of(B_KEY) is known.peers[B]
    assert known.peers[B].answered
    assert known.peer_of(C_KEY) is None
    assert not known.complete()
    assert known.learn(known.peers[new], says(new, (C_KEY, new)), Dialect.CLASSIC) == []


def test_another_list_of_keys_holds_at_once():
    known = parties(other_keys={B_KEY: B, C_KEY: C})
    known.learn(known.peers[B], says(B, (B_KEY, B)), Dialect.CLASSIC)
    known.relist([B, C], {NEW: B, C_KEY: C})
    assert known.peer_of(NEW) is known.peers[B]
    assert known.peer_of(B_KEY) is None
    assert known.peers[B].keys == {NEW}
