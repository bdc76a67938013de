"""What a node gets back from the others after its disk was lost, and who gets nothing."""

from __future__ import annotations

import json

import pytest
from tm_processes import until

from quorumkit.tm.enclave import Enclave
from quorumkit.tm.keys import KeyPair, generate_key_pair, parse_public_key
from quorumkit.tm.proof import prove
from quorumkit.tm.wire import decode_payload

pytestmark = pytest.mark.network


def lose_disk(manager) -> None:
    for path in manager.directory.glob("payloads.sqlite*"):
        path.unlink()


def resend(manager, kind: str, key: str, payload_hash: str | None = None, *, holder: KeyPair | None = None):
    """Asks without a proof, or with one that `holder` can give."""
    document = {"type": kind, "publicKey": key, **({"key": payload_hash} if payload_hash else {})}
    body, headers = json.dumps(document).encode(), {"Content-Type": "application/json"}
    answer = manager.call_public("POST", "/resend", body, headers)
    if holder is None:
        return answer
    assert answer.status == 401
    challenge = answer.headers["WWW-Authenticate"]
    proof = prove(Enclave([holder]), holder.public, {manager.pair.public}, body, challenge)
    assert proof is not None
    return manager.call_public("POST", "/resend", body, headers | {"Authorization": proof})


@pytest.mark.parametrize("pinned", [True, False])
def test_a_node_that_lost_its_disk_gets_back_what_it_received_and_what_it_sent(network, pinned):
    one, two, three = network.start(3, pinned=pinned)
    received = [one.send(b"for two %d" % number, two.key).json["key"] for number in range(30)]
    sent = two.send(b"from two", one.key, three.key).json["key"]
    not_its = one.send(b"for three", three.key).json["key"]
    two.kill()
    lose_disk(two)
    two.start()
    until(lambda: all(two.reads(key) for key in (*received, sent)), what="the payloads to come back")
    assert [two.reads(key) for key in received] == [b"for two %d" % number for number in range(30)]
    assert two.reads(sent) == b"from two"
    assert two.transaction(sent, "/isSender").text == "true"
    assert two.reads(not_its) is None


def test_a_peer_that_is_away_is_asked_when_it_is_back(network):
    one, two, three = network.start(3)
    key = one.send(b"payload", two.key).json["key"]
    one.stop()
    two.kill()
    lose_disk(two)
    two.start()
    until(lambda: two.knows(three), what="the peer that is there")
    assert two.reads(key) is None
    one.start()
    until(lambda: two.reads(key) == b"payload", what="the payload to come back")


def test_an_old_backup_is_brought_up_to_date_on_demand(network):
    one, two = network.start(2)
    two.stop()
    backup = (two.directory / "payloads.sqlite").read_bytes()
    two.start()
    until(lambda: one.send(b"payload", two.key).status == 200, what="the first payload")
    key = one.send(b"payload", two.key).json["key"]
    two.stop()
    lose_disk(two)
    (two.directory / "payloads.sqlite").write_bytes(backup)
    two.start("--recover")
    until(lambda: two.reads(key) == b"payload", what="the payload to come back")


def test_a_single_payload_goes_to_its_recipient_alone(network):
    one, two, three = network.start(3)
    key = one.send(b"payload", two.key).json["key"]
    answer = resend(one, "individual", two.key, key, holder=two.pair)
    part = decode_payload(answer.body)
    assert Enclave([two.pair]).open(part) == b"payload"
    assert part.recipient_keys == (parse_public_key(two.key),)
    assert resend(one, "INDIVIDUAL", two.key, key, holder=two.pair).body == answer.body
    not_for = resend(one, "INDIVIDUAL", three.key, key, holder=three.pair)
    unknown = resend(one, "INDIVIDUAL", two.key, "A" * 86 + "==", holder=two.pair)
    assert not_for.status == unknown.status == 404
    assert resend(one, "SOME", two.key, key, holder=two.pair).status == 400


@pytest.mark.parametrize("kind", ["INDIVIDUAL", "ALL"])
def test_a_stranger_does_not_learn_who_is_a_party_to_what(network, kind):
    """The hash stands on the chain, and everybody's key is known; so nothing may differ by them."""
    one, two, three = network.start(3)
    key = one.send(b"payload", two.key).json["key"]
    stranger = generate_key_pair()
    asked = [
        (two.key, key),
        (three.key, key),
        (one.key, key),
        (two.key, "A" * 86 + "=="),
        (stranger.public_base64, key),
    ]
    answers = [resend(one, kind, *each) for each in asked]
    assert [answer.status for answer in answers] == [401] * len(asked)
    assert len({answer.text.replace(of, "KEY") for answer, (of, _) in zip(answers, asked, strict=True)}) == 1
    # Nor another member about others, nor who proves a key that is nobody's here.
    assert resend(one, kind, two.key, key, holder=three.pair).status == 401
    assert resend(one, kind, stranger.public_base64, key, holder=stranger).status == 403
    assert resend(one, kind, "", key).status == 400


def test_a_proof_is_for_one_request_once(network):
    one, two = network.start(2)
    keys = [one.send(b"payload %d" % number, two.key).json["key"] for number in range(2)]

    def body(key: str) -> bytes:
        return json.dumps({"type": "INDIVIDUAL", "publicKey": two.key, "key": key}).encode()

    challenge = one.call_public("POST", "/resend", body(keys[0])).headers["WWW-Authenticate"]
    proof = prove(Enclave([two.pair]), two.pair.public, {one.pair.public}, body(keys[0]), challenge)
    for sent, status in ((keys[1], 401), (keys[0], 200), (keys[0], 401)):
        answer = one.call_public("POST", "/resend", body(sent), {"Authorization": proof})
        assert answer.status == status


def test_who_knows_no_proof_is_answered_where_tm_conf_names_its_key(network):
    one, two, three = network.make(3)
    network.configure(one, [one, two, three], classic_resend=[two.key])
    for manager in (one, two, three):
        manager.start()
    key = one.send(b"payload", two.key, three.key).json["key"]
    assert decode_payload(resend(one, "INDIVIDUAL", two.key, key).body).recipient_keys == (two.pair.public,)
    assert resend(one, "INDIVIDUAL", three.key, key).status == 401
    two.kill()
    lose_disk(two)
    two.start()
    until(lambda: two.reads(key) == b"payload", what="the payload to come back")
    assert resend(one, "ALL", two.key).status == 200
