"""Parties that are away, keys and peers that are not of the network, answers that are lies."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import http.server
import socket
import sqlite3
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from tm_processes import until

from quorumkit.tm.enclave import Enclave
from quorumkit.tm.keys import generate_key_pair
from quorumkit.tm.wire import PartyInfo, decode_party_info, encode_party_info, encode_payload

pytestmark = pytest.mark.network


def stored(manager) -> int:
    with sqlite3.connect(manager.directory / "payloads.sqlite") as connection:
        return int(connection.execute("SELECT count(*) FROM payload").fetchone()[0])


def test_an_unreachable_party_makes_the_send_fail_with_its_name(network):
    one, two, three = network.start(3)
    three.stop()
    start = time.monotonic()
    answer = one.send(b"payload", two.key, three.key)
    assert time.monotonic() - start < 5  # GoQuorum waits no longer, and is to hear the reason
    assert answer.status == 503
    assert three.key in answer.text
    assert three.url in answer.text
    assert two.key not in answer.text
    assert stored(one) == 0  # no hash for a chain, no payload at the sender


def test_every_unreachable_party_is_named(network):
    one, two, three = network.start(3)
    two.stop()
    three.stop()
    answer = one.send(b"payload", two.key, three.key)
    assert two.key in answer.text
    assert three.key in answer.text


def test_a_party_that_comes_back_in_time_gets_it(network):
    one, two = network.start(2)
    two.stop()
    back = threading.Timer(0.3, two.start)
    back.start()
    answer = one.send(b"payload", two.key)
    back.join()
    assert answer.status == 200, answer.text
    assert two.reads(answer.json["key"]) == b"payload"


def test_after_a_failure_the_party_is_back_and_sending_works(network):
    one, two = network.start(2)
    two.kill()
    assert one.send(b"payload", two.key).status == 503
    two.start()
    assert one.send(b"payload", two.key).status == 200


def test_a_signed_transaction_can_be_sent_again_after_a_failure(network):
    one, two = network.start(2)
    key = one.call_json("/storeraw", {"payload": base64.b64encode(b"later").decode()}).json["key"]
    two.stop()
    headers = {"c11n-to": two.key}
    assert one.call("POST", "/sendsignedtx", base64.b64decode(key), headers).status == 503
    assert one.reads(key) is None
    two.start()
    assert one.call("POST", "/sendsignedtx", base64.b64decode(key), headers).status == 200
    assert two.reads(key) == b"later"


@pytest.mark.parametrize("pinned", [True, False])
def test_an_unknown_party_is_refused(network, pinned):
    one, _ = network.start(2, pinned=pinned)
    stranger = generate_key_pair().public_base64
    answer = one.send(b"payload", stranger)
    assert answer.status == 400
    assert stranger in answer.text
    assert stored(one) == 0


def test_a_party_not_heard_from_yet_is_told_from_an_unknown_one(network):
    one, two = network.make(2, pinned=False)
    one.start()
    answer = one.send(b"payload", two.key)
    assert answer.status == 400
    assert f"not heard from yet: {two.url}" in answer.text


def test_another_sender_than_this_nodes_is_refused(network):
    one, two = network.start(2)
    answer = one.call("POST", "/sendraw", b"payload", {"c11n-from": two.key, "c11n-to": two.key})
    assert answer.status == 400
    assert "not a key of this transaction manager" in answer.text


@pytest.mark.parametrize("pinned", [True, False])
def test_a_strangers_push_is_refused(network, pinned):
    one, _ = network.start(2, pinned=pinned)
    stranger = generate_key_pair()
    sealed = Enclave([stranger]).seal(b"buy my coin", stranger.public, [one.pair.public])
    answer = one.call_public("POST", "/push", encode_payload(sealed))
    assert answer.status == 403
    assert stored(one) == 0


def test_a_push_for_somebody_else_is_refused(network):
    one, two, three = network.start(3)
    sealed = Enclave([two.pair]).seal(b"payload", two.pair.public, [three.pair.public])
    assert one.call_public("POST", "/push", encode_payload(sealed)).status == 404
    assert stored(one) == 0


def test_a_push_with_many_boxes_is_refused(network):
    one, two, three = network.start(3)
    sealed = Enclave([two.pair]).seal(b"payload", two.pair.public, [one.pair.public, three.pair.public])
    assert one.call_public("POST", "/push", encode_payload(sealed)).status == 400


@pytest.mark.parametrize("pinned", [True, False])
def test_what_strangers_say_changes_nothing(network, pinned):
    one, two = network.start(2, pinned=pinned)
    before = one.call("GET", "/parties").json
    stranger = generate_key_pair().public
    for url in ("http://127.0.0.1:1/", two.url, one.url):
        told = PartyInfo(url, ((stranger, url), (two.pair.public, "http://127.0.0.1:1/")), ("http://127.0.0.1:1/",))
        answer = one.call_public("POST", "/partyinfo", encode_party_info(told))
        assert answer.status == 200
        info, _ = decode_party_info(answer.body)
        assert info.recipients == ((one.pair.public, one.url),)
        assert set(info.parties) == {one.url, two.url}
    time.sleep(1.5)  # as long as it would take to follow a hint
    assert one.call("GET", "/parties").json == before
    assert one.send(b"payload", two.key).status == 200


class Liar:
    """A listed peer that answers as it is told to."""

    def __init__(self, port: int, answers) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, answer = answers(self.path, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((200, {}, b"<html>please log in</html>"), "acknowledged another payload"),
        ((200, {}, base64.b64encode(bytes(64))), "acknowledged another payload"),
        ((307, {"Location": "http://127.0.0.1:1/push"}, b""), "refused the payload: 307"),
        ((404, {}, b"no"), "refused the payload: 404 no"),
        ((500, {}, b"disk full"), "did not take the payload: 500 disk full"),
        ((200, {}, b"x" * 2_000_000), "an answer of more than"),
    ],
)
def test_a_party_that_does_not_acknowledge_makes_the_send_fail(network, answer, reason):
    one, two = network.make(2)
    info = encode_party_info(PartyInfo(two.url, ((two.pair.public, two.url),), ()))
    liar = Liar(two.port, lambda path, _: answer if path == "/push" else (200, {}, info))
    try:
        one.start()
        until(lambda: one.knows(two), what="the peer to be asked")
        failed = one.send(b"payload", two.key)
    finally:
        liar.close()
    assert failed.status == 503
    assert two.key in failed.text
    assert reason in failed.text
    assert stored(one) == 0


@pytest.mark.parametrize("pinned", [True, False])
def test_a_peer_that_claims_anothers_key(network, pinned):
    one, two, three = network.make(3, pinned=pinned)
    info = encode_party_info(PartyInfo(three.url, ((two.pair.public, three.url), (three.pair.public, three.url)), ()))
    liar = Liar(three.port, lambda *_: (200, {}, info))
    try:
        two.start()
        one.start()
        until(lambda: all(peer["answered"] for peer in peers(one).values()), what="both peers to answer")
        holders = [url for url, peer in peers(one).items() if two.key in peer["keys"]]
        # Without keys in tm.conf whoever says so first holds it, and the other one is refused.
        assert holders == [two.url] if pinned else len(holders) == 1
        until(lambda: "says it holds" in one.log, what="the log to tell")
    finally:
        liar.close()


def peers(manager) -> dict[str, dict[str, Any]]:
    return {peer["url"]: peer for peer in manager.call("GET", "/parties").json["peers"]}


def test_a_peer_that_answers_nonsense_is_survived(network):
    one, two, three = network.make(3)
    liar = Liar(three.port, lambda *_: (200, {}, b"\xff" * 1000))
    try:
        one.start()
        two.start()
        until(lambda: one.knows(two), what="the honest peer")
        assert one.send(b"payload", two.key).status == 200
        assert one.send(b"payload", three.key).status == 503
    finally:
        liar.close()


class Flood(threading.Thread):
    """A peer whose answers never end, on every connection."""

    def __init__(self, port: int, content: bytes) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", port))
        self._content = content

    def run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._answer, args=(self._listener.accept()[0],), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(self._content)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize("content", [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"X: y\r\n" * 1000])
def test_a_peer_that_floods_holds_up_nobody_else(network, content):
    one, two, three = network.make(3)
    flood = Flood(three.port, content)
    flood.start()
    try:
        one.start()
        two.start()
        until(lambda: one.knows(two), what="the honest peer")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            held_up = [pool.submit(one.send, b"payload", three.key) for _ in range(5)]
            start = time.monotonic()
            sent = [one.send(b"payload", two.key).status for _ in range(10)]
            assert sent == [200] * 10
            assert time.monotonic() - start < 10
            assert {each.result().status for each in held_up} == {503}
        assert "Traceback" not in one.log
    finally:
        flood.close()


def test_a_member_cannot_spoil_a_payload_that_another_party_has_not_got_yet(network):
    """Whoever has it first knows its cipher text, so its hash; what is stored under that hash must open."""
    one, two, three = network.start(3)
    sealed = Enclave([one.pair]).seal(b"payload", one.pair.public, [two.pair.public])
    spoilt = replace(
        Enclave([three.pair]).seal(b"", three.pair.public, [two.pair.public]), cipher_text=sealed.cipher_text
    )
    assert spoilt.hash == sealed.hash
    assert two.call_public("POST", "/push", encode_payload(spoilt)).status == 404
    assert two.call_public("POST", "/push", encode_payload(sealed)).status == 200
    assert two.reads(base64.b64encode(sealed.hash).decode()) == b"payload"
