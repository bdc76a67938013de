"""Payloads between real transaction managers, called as GoQuorum 24.4.1 calls them."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os

import pytest

pytestmark = pytest.mark.network


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize("pinned", [True, False], ids=["keys in tm.conf", "keys asked for"])
def test_two_managers(network, pinned):
    one, two = network.start(2, pinned=pinned)
    answer = one.send(b"from one to two", two.key)
    assert answer.status == 200
    assert answer.json["senderKey"] == one.key
    assert answer.json["managedParties"] == [one.key]
    assert one.reads(answer.json["key"]) == b"from one to two"
    assert two.reads(answer.json["key"]) == b"from one to two"
    back = two.send(b"and back", one.key)
    assert one.reads(back.json["key"]) == b"and back"


def test_five_managers_and_only_the_parties_read(network):
    managers = network.start(5, pinned=False)
    for number, sender in enumerate(managers):
        parties = [managers[(number + 1) % 5], managers[(number + 3) % 5]]
        payload = os.urandom(1000)
        key = sender.send(payload, *(party.key for party in parties)).json["key"]
        for manager in managers:
            expected = payload if manager is sender or manager in parties else None
            assert manager.reads(key) == expected


def test_goquorum_takes_the_client_for_standard_private_transactions(network):
    (one,) = network.start(1)
    assert one.call("GET", "/upcheck").body == b"I'm up!"
    assert one.call("GET", "/version").status == 200  # otherwise it would take Constellation's client
    assert one.call("GET", "/version/api").json == ["1.0"]  # 2.0 would promise privacy enhancements


def test_goquorums_constellation_client(network):
    one, two = network.start(2)
    sent = one.call("POST", "/sendraw", b"raw", {"c11n-to": two.key, "Content-Type": "application/octet-stream"})
    assert sent.status == 200
    key = sent.text
    assert len(base64.b64decode(key)) == 64
    for manager in (one, two):
        assert manager.call("GET", "/receiveraw", headers={"c11n-key": key}).body == b"raw"
    assert two.call("POST", "/receive", json.dumps({"key": key}).encode()).json == {"payload": b64(b"raw")}
    assert one.call("POST", "/sendraw", b"x", {"c11n-from": one.key, "c11n-to": two.key}).status == 200
    not_here = one.call("GET", "/receiveraw", headers={"c11n-key": b64(bytes(64))})
    assert not_here.status == 404


def test_a_transaction_signed_elsewhere(network):
    one, two, three = network.start(3)
    stored = one.call_json("/storeraw", {"payload": b64(b"later"), "from": one.key})
    key = stored.json["key"]
    assert one.transaction(key, "?isRaw=true").json["payload"] == b64(b"later")
    assert one.reads(key) is None  # nobody has it yet, so it is on no chain
    sent = one.call(
        "POST",
        "/sendsignedtx",
        base64.b64decode(key),
        {"c11n-to": f"{two.key},{three.key}", "Content-Type": "application/octet-stream"},
    )
    assert sent.status == 200
    assert sent.text == key
    assert sent.headers["tesseraSender"] == one.key
    assert sent.headers["tesseraManagedParties"] == one.key
    assert [manager.reads(key) for manager in (one, two, three)] == [b"later"] * 3
    assert one.transaction(key, "?isRaw=true").json["payload"] == b64(b"later")
    again = one.call("POST", "/sendsignedtx", base64.b64decode(key), {"c11n-to": two.key})
    assert again.text == key


def test_a_transaction_signed_elsewhere_in_json(network):
    one, two = network.start(2)
    key = one.call_json("/storeraw", {"payload": b64(b"later")}).json["key"]
    sent = one.call_json("/sendsignedtx", {"hash": key, "to": [two.key], "privacyFlag": 0})
    assert sent.json == {"key": key, "managedParties": [one.key], "senderKey": one.key}
    assert two.reads(key) == b"later"


def test_sender_and_participants(network):
    one, two, three = network.start(3)
    key = one.send(b"payload", two.key, three.key).json["key"]
    assert one.transaction(key, "/isSender").text == "true"
    assert two.transaction(key, "/isSender").text == "false"
    assert one.transaction(key, "/participants").text.split(",") == [two.key, three.key, one.key]
    assert two.transaction(key, "/participants").text.split(",") == [two.key, one.key]  # not the third's
    assert one.transaction(key, "/mandatory").text == ""
    for what in ("/isSender", "/participants", "/mandatory"):
        assert one.transaction(b64(bytes(64)), what).status == 404


def test_hashes_with_slashes_are_escaped_by_goquorum(network):
    one, two = network.start(2)
    for _ in range(60):
        key = one.send(b"payload", two.key).json["key"]
        assert two.reads(key) == b"payload"
        if "/" in key and "+" in key:
            return
    pytest.fail("no hash with a slash and a plus in 60")


def test_a_payload_for_nobody_stays_here(network):
    one, two = network.start(2)
    for parties in ([], [one.key]):
        key = one.send(b"mine", *parties).json["key"]
        assert one.reads(key) == b"mine"
        assert two.reads(key) is None


def test_a_party_named_twice_gets_it_once(network):
    one, two = network.start(2)
    key = one.send(b"payload", two.key, two.key, one.key).json["key"]
    assert one.transaction(key, "/participants").text.split(",") == [two.key, one.key]
    assert two.reads(key) == b"payload"


def test_always_send_to(network):
    one, two, three = network.make(3)
    (one.directory / "archive.pub").write_text(three.key)
    network.configure(one, [one, two, three], always_send_to=["archive.pub"])
    for manager in (one, two, three):
        manager.start()
    key = one.send(b"payload", two.key).json["key"]
    assert three.reads(key) == b"payload"


def test_payloads_encrypted_for_goquorum_and_not_kept(network):
    one, two, three = network.start(3)
    sealed = one.call_json("/encodedpayload/create", {"payload": b64(b"payload"), "to": [two.key], "from": one.key})
    assert sealed.status == 200
    assert sealed.json["senderKey"] == one.key
    assert two.call_json("/encodedpayload/decrypt", sealed.json).json["payload"] == b64(b"payload")
    assert three.call_json("/encodedpayload/decrypt", sealed.json).status == 404


def test_no_groups_no_privacy_enhancements(network):
    one, two = network.start(2)
    assert one.call("GET", "/groups/resident").json == []
    for extra in (
        {"privacyFlag": 1},
        {"privacyFlag": 3, "execHash": b64(bytes(32))},
        {"affectedContractTransactions": [b64(bytes(64))]},
        {"privacyFlag": 2, "mandatoryRecipients": [two.key]},
    ):
        answer = one.call_json("/send", {"payload": b64(b"x"), "to": [two.key], **extra})
        assert answer.status == 400
        assert "only standard private transactions" in answer.text


def test_the_private_api_over_http(network):
    one, two = network.make(2)
    from support.ports import free_ports

    (port,) = free_ports(1)
    network.configure(one, [one, two], private_port=port)
    one.start()
    two.start()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("POST", "/sendraw", b"over http", {"c11n-to": two.key})
        key = connection.getresponse().read().decode()
        # Not from a page in a browser of this machine, which can post there without seeing the answer.
        connection.request("POST", "/storeraw", b"{}", {"Origin": "http://evil.example"})
        assert connection.getresponse().status == 403
    assert two.reads(key) == b"over http"


def test_keys_are_told_as_tessera_tells_third_parties(network):
    one, two = network.start(2)
    assert one.call("GET", "/keys").json == {"keys": [{"key": one.key}]}
    assert one.call("GET", "/partyinfo/keys").json == {"keys": [{"key": one.key}, {"key": two.key}]}


def test_the_public_api_does_not_offer_the_private_one(network):
    (one,) = network.start(1)
    key = one.send(b"mine").json["key"]
    for method, path in (
        ("POST", "/send"),
        ("POST", "/sendraw"),
        ("GET", "/receiveraw"),
        ("POST", "/receive"),
        ("POST", "/storeraw"),
        ("GET", f"/transaction/{key.replace('/', '%2F')}"),
        ("GET", "/parties"),
        ("GET", "/keys"),
        ("GET", "/partyinfo/keys"),
        ("POST", "/encodedpayload/decrypt"),
    ):
        answer = one.call_public(method, path, b"{}", {"c11n-key": key})
        assert answer.status == 404
        assert b"no such endpoint" in answer.body


def test_large_payloads(network):
    one, two = network.start(2)
    payload = os.urandom(2 * 1024 * 1024)
    key = one.send(payload, two.key).json["key"]
    assert two.reads(key) == payload
    over = one.send(payload + b"x", two.key)
    assert over.status == 400
    assert "2097152 can be sent" in over.text


def test_an_empty_payload(network):
    one, two = network.start(2)
    assert two.reads(one.send(b"", two.key).json["key"]) == b""
