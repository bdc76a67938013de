"""What a node gets back from the others after its disk was lost, and who gets nothing."""

from __future__ import annotations

import json

import pytest
from tm_processes import until

from quorumkit.tm.enclave import Enclave
from quorumkit.tm.keys import generate_key_pair, parse_public_key
from quorumkit.tm.wire import decode_payload

pytestmark = pytest.mark.network


def lose_disk(manager) -> None:
    for path in manager.directory.glob("payloads.sqlite*"):
        path.unlink()


def resend(manager, kind: str, key: str, payload_hash: str | None = None):
    body = {"type": kind, "publicKey": key, **({"key": payload_hash} if payload_hash else {})}
    return manager.call_public("POST", "/resend", json.dumps(body).encode(), {"Content-Type": "application/json"})


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
    answer = resend(one, "individual", two.key, key)
    part = decode_payload(answer.body)
    assert Enclave([two.pair]).open(part) == b"payload"
    assert part.recipient_keys == (parse_public_key(two.key),)
    assert resend(one, "INDIVIDUAL", two.key, key).body == answer.body
    not_for = resend(one, "INDIVIDUAL", three.key, key)
    unknown = resend(one, "INDIVIDUAL", two.key, "A" * 86 + "==")
    assert not_for.status == unknown.status == 404  # a stranger learns nothing from the difference
    assert resend(one, "SOME", two.key, key).status == 400


def test_strangers_cannot_have_anything_resent(network):
    one, two = network.start(2)
    one.send(b"payload", two.key)
    assert resend(one, "ALL", generate_key_pair().public_base64).status == 403
    assert resend(one, "ALL", "").status == 400
