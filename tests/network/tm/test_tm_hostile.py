"""Whatever is sent to either API: an answer, a bounded one, and the transaction manager goes on working."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import http.client
import json
import os
import random
import socket
import time
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tm_processes import UnixConnection

from quorumkit.tm import api, server
from quorumkit.tm.config import read_config
from quorumkit.tm.enclave import Enclave
from quorumkit.tm.wire import PartyInfo, encode_party_info, encode_payload

pytestmark = pytest.mark.network

HASH = base64.b64encode(bytes(64)).decode()
IN_PATH = quote(HASH, safe="")

PRIVATE = [
    ("GET", "/upcheck"),
    ("GET", "/version"),
    ("GET", "/version/api"),
    ("POST", "/send"),
    ("POST", "/sendraw"),
    ("POST", "/receive"),
    ("GET", "/receiveraw"),
    ("POST", "/storeraw"),
    ("POST", "/sendsignedtx"),
    ("GET", f"/transaction/{IN_PATH}"),
    ("GET", f"/transaction/{IN_PATH}?isRaw=true"),
    ("GET", f"/transaction/{IN_PATH}?to=x"),
    ("GET", f"/transaction/{IN_PATH}/isSender"),
    ("GET", f"/transaction/{IN_PATH}/participants"),
    ("GET", f"/transaction/{IN_PATH}/mandatory"),
    ("POST", "/encodedpayload/create"),
    ("POST", "/encodedpayload/decrypt"),
    ("GET", "/groups/resident"),
    ("GET", "/parties"),
    ("GET", "/keys"),
    ("GET", "/partyinfo/keys"),
]
PUBLIC = [
    ("GET", "/upcheck"),
    ("GET", "/version"),
    ("GET", "/version/api"),
    ("POST", "/push"),
    ("POST", "/partyinfo"),
    ("POST", "/resend"),
]
ODD_PATHS = [
    "/transaction/",
    "/transaction//isSender",
    "/transaction/%00",
    "/transaction/%ff%fe/participants",
    "/transaction/" + "A" * 5000,
    "/../../etc/passwd",
    "/%2e%2e/tm.key",
    "/push/../send",
    "//send",
    "/?x=" + "y" * 3000,
]
FIELDS = [
    *("payload", "from", "to", "key", "hash", "type", "publicKey", "privacyFlag", "execHash"),
    *("affectedContractTransactions", "mandatoryRecipients", "senderKey", "cipherText", "cipherTextNonce"),
    *("recipientBoxes", "recipientNonce", "recipientKeys"),
]
SETTINGS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.binary(max_size=70).map(lambda content: base64.b64encode(content).decode())
    | st.sampled_from([HASH, "all", "individual", base64.b64encode(bytes(32)).decode()]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3),
    max_leaves=8,
)
json_bodies = st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=8).map(
    lambda value: json.dumps(value).encode()
)
header_values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)


class Connections:
    """Keeps a connection to either API of one manager, and makes a new one when it was closed."""

    def __init__(self, manager) -> None:
        self._manager = manager
        self._open: dict[bool, http.client.HTTPConnection] = {}

    def ask(self, private: bool, method: str, path: str, body: bytes, headers: dict[str, str]) -> int:
        for _ in range(2):
            if private not in self._open:
                self._open[private] = (
                    UnixConnection(self._manager.socket)
                    if private
                    else http.client.HTTPConnection("127.0.0.1", self._manager.port, timeout=10)
                )
            try:
                self._open[private].request(method, path, body=body, headers=headers)
                response = self._open[private].getresponse()
                response.read()
                return response.status
            except (http.client.HTTPException, ConnectionError):
                self._open.pop(private).close()
        raise AssertionError(f"no answer to {method} {path}")


@pytest.fixture
def lone(network):
    (manager,) = network.start(1)
    yield manager
    assert manager.call("GET", "/upcheck").status == 200
    mine = manager.send(b"still works")
    assert manager.reads(mine.json["key"]) == b"still works"
    assert "Traceback" not in manager.log, manager.log


@SETTINGS
@given(data=st.data())
def test_random_bodies_and_headers_to_every_endpoint(lone, data):
    connections = Connections(lone)
    for private, endpoints in ((True, PRIVATE), (False, PUBLIC)):
        for method, path in endpoints:
            body = data.draw(st.binary(max_size=300) | json_bodies)
            headers = {"c11n-key": data.draw(header_values), "c11n-to": data.draw(header_values)}
            if data.draw(st.booleans()):
                headers["Content-Type"] = data.draw(st.sampled_from(["application/json", "application/octet-stream"]))
            status = connections.ask(private, method, path, body, headers)
            assert status in (200, 400, 401, 403, 404), (method, path, body, headers)


@pytest.mark.parametrize("private", [True, False])
def test_odd_paths_and_methods(lone, private):
    connections = Connections(lone)
    for path in ODD_PATHS:
        for method in ("GET", "POST", "DELETE", "PUT", "OPTIONS", "QUORUM"):
            assert connections.ask(private, method, path, b"", {}) in (400, 404, 405)


def test_mangled_messages_between_managers(network):
    one, two = network.start(2)
    sealed = Enclave([two.pair]).seal(b"payload", two.pair.public, [one.pair.public])
    push = encode_payload(sealed)
    info = encode_party_info(PartyInfo(two.url, ((two.pair.public, two.url),), (two.url,)))
    chance = random.Random(7)
    connections = Connections(one)
    for path, whole in (("/push", push), ("/partyinfo", info)):
        for _ in range(300):
            mangled = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                mangled[chance.randrange(len(mangled))] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
            del mangled[chance.randint(1, len(mangled)) :]
            assert connections.ask(False, "POST", path, bytes(mangled), {}) in (200, 400, 403, 404)
    assert one.call_public("POST", "/push", push).status == 200
    assert one.send(b"payload", two.key).status == 200
    assert "Traceback" not in one.log


def test_deep_and_huge_json(lone):
    for body in (b"[" * 100_000, b'{"a":' * 50_000, b'{"payload": ' + b"9" * 100_000 + b"}", b"\xff\xfe{}"):
        assert lone.call("POST", "/send", body).status == 400
        assert lone.call_public("POST", "/resend", body).status == 400


RAW = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(32),  # TLS where there is none
    b"GET\r\n\r\n",
    b"POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nxx",
    b"POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"POST /push HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n",
    b"POST /push HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    b"GET /upcheck HTTP/1.1\r\n" + b"X-Header: " + b"y" * 200_000 + b"\r\n\r\n",
    b"GET /upcheck HTTP/1.1\r\n" + b"".join(b"H%d: x\r\n" % number for number in range(5000)) + b"\r\n",
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    b"GET http://[::bad/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /upcheck HTTP/9.9\r\nHost: a\r\n\r\n",
    b"\x00" * 1000,
    os.urandom(5000),
    b"GET /\xff\xfe%0a%1b[31m HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    b"\xff\xfe / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /push HTTP/1.1\r\nHost: \xff\r\n\xff: \xff\r\nContent-Length: 2\r\nConnection: close\r\n\r\nxx",
    b"POST /resend HTTP/1.1\r\nHost: a\r\nAuthorization: Quorumkit-TM-Key \xff\r\nContent-Length: 80\r\n"
    b'Connection: close\r\n\r\n{"type":"ALL","publicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}      ',
]


@pytest.mark.parametrize("raw", RAW, ids=range(len(RAW)))
def test_what_is_hardly_http(lone, raw):
    connecting = socket.create_connection(("127.0.0.1", lone.port), timeout=5)
    with connecting as connection, contextlib.suppress(ConnectionError):
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65536)
        assert answer == b"" or answer.startswith(b"HTTP/1")
        # What is quoted of it is printable.
        assert all(line.isprintable() for line in answer.partition(b"\r\n\r\n")[2].decode().split("\n"))
        assert b" 200 " not in answer.split(b"\r\n")[0]


def test_bodies_over_the_limit(lone):
    for manager_call in (lone.call, lone.call_public):
        path = "/sendraw" if manager_call == lone.call else "/push"
        with contextlib.suppress(ConnectionError):  # the answer may come before the whole body was taken
            assert manager_call("POST", path, bytes(4 * 1024 * 1024)).status == 413


def test_a_body_over_the_limit_in_chunks(lone):
    connecting = contextlib.closing(http.client.HTTPConnection("127.0.0.1", lone.port, timeout=10))
    with connecting as connection, contextlib.suppress(ConnectionError):
        connection.request("POST", "/push", body=(bytes(65536) for _ in range(100)), encode_chunked=True)
        assert connection.getresponse().status == 413


def test_a_compressed_body_is_not_unpacked(lone):
    bomb = gzip.compress(bytes(50_000_000))
    answer = lone.call_public("POST", "/push", bomb, {"Content-Encoding": "gzip"})
    assert answer.status == 400


def serve(network, work) -> None:
    """Runs `work(manager)` in a thread beside a transaction manager in this process."""
    (manager,) = network.make(1)

    async def run() -> None:
        async with server.serving(read_config(manager.directory / "tm.conf")):
            await asyncio.to_thread(work, manager)

    asyncio.run(run())


def test_a_body_that_does_not_come_is_not_waited_for(network, monkeypatch):
    monkeypatch.setattr(api, "BODY_TIMEOUT", 0.3)

    def slow(manager) -> None:
        with socket.create_connection(("127.0.0.1", manager.port), timeout=5) as connection:
            connection.sendall(b"POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx")
            assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")

    serve(network, slow)


def test_a_body_in_drops_is_not_waited_for(network, monkeypatch):
    monkeypatch.setattr(api, "BODY_TIMEOUT", 0.5)

    def slow(manager) -> None:
        with socket.create_connection(("127.0.0.1", manager.port), timeout=5) as connection:
            connection.sendall(b"POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
            start = time.monotonic()
            with contextlib.suppress(ConnectionError):
                while time.monotonic() - start < 3:
                    connection.sendall(b"x")
                    time.sleep(0.05)
            assert time.monotonic() - start < 2.5

    serve(network, slow)


@pytest.mark.parametrize("sent", [b"", b"GET /upch", b"GET /upcheck HTTP/1.1\r\nHost: a\r\nX-"])
def test_a_request_that_does_not_come_is_not_waited_for(network, monkeypatch, sent):
    monkeypatch.setattr(server, "FIRST_REQUEST_TIMEOUT", 0.3)

    def slow(manager) -> None:
        with socket.create_connection(("127.0.0.1", manager.port), timeout=5) as connection:
            connection.sendall(sent)
            with contextlib.suppress(ConnectionError):
                assert connection.recv(1) == b""

    serve(network, slow)


def test_bodies_together_are_bounded(network, monkeypatch):
    monkeypatch.setattr(api, "MAX_BODIES", 1_000_000)

    def many(manager) -> None:
        head = b"POST /push HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
        with contextlib.ExitStack() as stack:
            held = [
                stack.enter_context(socket.create_connection(("127.0.0.1", manager.port), timeout=5)) for _ in range(3)
            ]
            for connection in held[:2]:
                connection.sendall(head + bytes(450_000))
            time.sleep(0.5)
            held[2].sendall(head + bytes(450_000))
            assert held[2].recv(65536).startswith(b"HTTP/1.1 503 ")
        time.sleep(0.2)
        # The others have gone, so there is room again.
        assert manager.call_public("POST", "/push", bytes(900_000)).status == 400

    serve(network, many)
