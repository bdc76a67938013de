"""What answers at a node's name is a stranger until it is proved: whatever it sends is no more than no answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from exchange_samples import document_of, nodekey, proven_of
from exchange_stage import Field, until
from hypothesis import given, settings
from hypothesis import strategies as st

from quorumkit.addresses import Endpoint
from quorumkit.exchange import client as asking
from quorumkit.exchange import waiting
from quorumkit.exchange.authentication import ANSWER_HEADER, JoinKeys, open_answer, seal_answer
from quorumkit.exchange.client import ExchangeClient, RefusedError, UnreachableError
from quorumkit.exchange.names import Resolver
from quorumkit.exchange.protocol import PullAnswer, PullRequest, Report, Signed, parse, prove, sign
from quorumkit.exchange.refusal import Refusal

KEYS = JoinKeys.derive(b"a join secret of some length")
Reply = Callable[[str], list[bytes]]
"""What is sent back, in pieces, given the request's nonce."""


def request() -> PullRequest:
    return PullRequest(sender=proven_of(2).signed, to=1, terms={}, stage="documents", want=[1])


@asynccontextmanager
async def answering(reply: Reply, *, pause: float = 0.0) -> AsyncIterator[Endpoint]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            nonce = head.partition("nonce=")[2][:32]
            for piece in reply(nonce):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


def told_by(reply: Reply, *, pause: float = 0.0) -> Exception | PullAnswer:
    """What comes of asking there: an answer, or an error of the three kinds that callers know. Any other is a fault."""

    async def ask() -> Exception | PullAnswer:
        client = ExchangeClient(KEYS, Resolver())
        async with answering(reply, pause=pause) as to:
            try:
                return await client.pull(to, request())
            except (UnreachableError, RefusedError, Refusal) as error:
                assert error.message.isprintable(), error.message
                assert len(error.message) < 600
                assert error.hint is None or error.hint.isprintable()
                return error
            finally:
                await client.close()

    return asyncio.run(asyncio.wait_for(ask(), 60))


def plain(*headers: bytes, body: bytes = b"{}", status: bytes = b"200 OK") -> list[bytes]:
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return [b"\r\n".join(head) + b"\r\n\r\n" + body]


PROOF = ANSWER_HEADER.encode()
ERROR = json.dumps({"error": "clock\x1b[31m", "message": "one\n\x1b]0;two\u202e", "hint": "a\nb\x07" * 400}).encode()


@pytest.mark.parametrize(
    "reply",
    [
        plain(PROOF + b": \xff"),
        plain(PROOF + b": \xff", status=b"500 No"),
        plain(PROOF + b": \xed\xa0\x80\xc0\xaf"),
        plain(PROOF + b": " + b"0" * 64),
        plain(PROOF + b": " + "\u0663".encode() * 64),
        plain(PROOF + b": a", PROOF + b": b"),
        plain(),
        plain(status=b"200 \xff\xfe\x1b[2J"),
        plain(status=b"999999999999 No"),
        plain(status=b"-1 No"),
        plain(status=b"100 Continue") * 20,
        plain(b"Location: http://127.0.0.1:1/\xff", status=b"302 Found"),
        plain(b"Location: file:///etc/passwd", status=b"301 Moved"),
        plain(b"Set-Cookie: \xff=\xff; Max-Age=99999999999999999999"),
        plain(b"Content-Encoding: gzip", body=b"no gzip"),
        plain(b"Content-Type: text/html; charset=\xff"),
        plain(b"X: " + b"a" * 100_000),
        plain(*[b"X%d: y" % n for n in range(100_000)]),
        [b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabcde"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\nabc"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\x1b[31m\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"a" * 50_000 + b"\r\nabcde\r\n0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"],
        [b"HTTP/9.9 200 OK\r\n\r\n"],
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"],
        [b"SSH-2.0-OpenSSH_9.6\r\n"],
        [b"\x16\x03\x01\x02\x00"],
        [b"\x00" * 5000],
        [b"\r\n" * 5000],
        [b"H"],
        [],
        plain(body=ERROR, status=b"401 No"),
        plain(body=b"[" * 100_000, status=b"401 No"),
        plain(body=b'{"error":' * 50_000, status=b"401 No"),
        plain(body=b'{"error": 1, "message": []}', status=b"401 No"),
        plain(body=b'{"error": "\\ud800", "message": "\\udfff"}', status=b"401 No"),
        plain(body=b'{"error": NaN, "message": Infinity}', status=b"401 No"),
        plain(body=b"9" * 100_000, status=b"401 No"),
        plain(body=b"\xff\xfe\x00", status=b"401 No"),
    ],
)  # fmt: skip
def test_what_a_stranger_answers_is_no_answer(reply: list[bytes]) -> None:
    assert isinstance(told_by(lambda _: reply), Exception)


def test_a_strangers_words_are_one_line() -> None:
    refused = told_by(lambda _: plain(body=ERROR, status=b"401 No"))
    assert isinstance(refused, RefusedError)
    assert not refused.authentic
    assert (refused.code, refused.message) == ("clock?[31m", "one ?]0;two?")
    assert refused.hint is not None
    assert refused.hint.isprintable()
    assert len(refused.hint) <= 300


def test_slow_and_endless_ones_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "ANSWER", 0.5)
    monkeypatch.setattr(asking, "LARGEST_ANSWER", 200_000)
    began = time.monotonic()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    slow = told_by(lambda _: [head, *[b"x"] * 100], pause=0.1)
    assert isinstance(slow, UnreachableError)
    assert isinstance(told_by(lambda _: [b"H", *[b"T"] * 100], pause=0.1), UnreachableError)
    endless = told_by(lambda _: [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 50_000] * 100])
    assert isinstance(endless, Refusal)
    assert endless.code == "too_large"
    assert time.monotonic() - began < 20


def authentic(nonce: str, content: bytes, status: int = 200) -> list[bytes]:
    proof, body = seal_answer(KEYS, status, nonce, content)
    return plain(PROOF + b": " + proof.encode(), body=body, status=b"%d X" % status)


def test_an_answer_to_another_request_is_none() -> None:
    whole = PullAnswer(sender=proven_of(1).signed).model_dump_json().encode()
    assert isinstance(told_by(lambda nonce: authentic(nonce, whole)), PullAnswer)
    for wrong in ("0" * 32, ""):
        refused = told_by(lambda _, wrong=wrong: authentic(wrong, whole))  # type: ignore[misc]
        assert isinstance(refused, Refusal)
        assert refused.code == "tampered"
    # Nor is one given with another status.
    proof, body = seal_answer(KEYS, 409, "0" * 32, whole)
    with pytest.raises(Refusal):
        open_answer(KEYS, 200, "0" * 32, proof, body, source="x")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"null", b"\xff", b"[" * 200_000, b'{"a":' * 100_000, b"9" * 500_000, b"NaN",
        b'{"sender": {"text": "\\ud800", "signature": "00"}}',
        b'{"sender": {"text": "x", "signature": "0"}, "documents": 1e999}',
        b'{"sender": {"text": "x", "signature": "00"}, "membership": 18446744073709551617}',
        b'{"sender": {"text": "x", "signature": "00"}, "locked": "yes"}',
        b'{"sender": {"text": "x", "signature": "00"}, "\x1b[31m": 1}',
        b'{"error": "\\u001b[31m\\n", "message": "\\u202e"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [200, 409])
def test_nonsense_of_one_who_knows_the_secret_is_refused(content: bytes, status: int) -> None:
    assert isinstance(told_by(lambda nonce: authentic(nonce, content, status)), Exception)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.integers(10**30, 10**60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.sampled_from([*document_of(1).model_dump(exclude_none=True), "tm_url", "tm_key", "raft_port", "other"])


@settings(max_examples=150, deadline=None)
@given(FIELDS, JSON)
def test_a_signed_document_of_any_values_is_a_document_or_refused(field: str, value: Any) -> None:
    import coincurve

    text = json.dumps({**document_of(1).model_dump(exclude_none=True), field: value})
    message = f"quorumkit document 1\n{text}".encode(errors="replace")
    signature = coincurve.PrivateKey(nodekey(1)).sign(message).hex()
    signed = Signed.model_construct(text=text, signature=signature)
    with contextlib.suppress(Refusal, UnicodeEncodeError):
        document = prove(signed, source="x").document
        # What follows from it is never the one to fail.
        assert document.tm is None or document.tm.port > 0
        assert document.place
        str(Endpoint(document.host, document.p2p_port))


@pytest.mark.parametrize(
    "url",
    ["http://a b:1/", "http://x\"y:1/", "http://a:70000/", "http://[::1/", "http://a:x/", "http://\u202e:1/", "http://a#b",
     "ftp://a:1/", "http://'';--:1/"],
)  # fmt: skip
def test_where_a_transaction_manager_is_is_a_host_and_a_port(url: str) -> None:
    document = document_of(1).model_copy(update={"tm_url": url})
    with pytest.raises(Refusal):
        prove(sign(document, nodekey(1)), source="x")


def test_messages_of_any_numbers_are_refused_where_they_are_read() -> None:
    whole = json.loads(request().model_dump_json())
    long = b'{"chain_id": ' + b"9" * 5000 + b"}"
    for field, value in (("terms", long), ("terms", b'{"x": -1}'), ("wait", b"1e400"), ("to", b"true"), ("to", b"1.0")):
        content = json.dumps({**whole, field: "HERE"}).encode().replace(b'"HERE"', value)
        with pytest.raises(Refusal):
            parse(PullRequest, content, source="x")
    with pytest.raises(ValueError, match="version"):
        Report(ordinal=1, version=2**53, genesis="0" * 64, fields={})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(
    st.binary(max_size=300),
    st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 409 X\r\n", b"Content-Length: 5\r\n", b"\r\n", b"\x00" * 50,
                     b"Transfer-Encoding: chunked\r\n", b"Content-Length: -1\r\n", PROOF + b": \xff\r\n",
                     PROOF + b": " + b"a" * 64 + b"\r\n", b"5\r\nabcde\r\n0\r\n\r\n", b"Connection: close\r\n",
                     b"Content-Encoding: deflate\r\n", b"Location: //\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])),
    max_size=12))  # fmt: skip
def test_no_bytes_break_the_client(parts: list[bytes]) -> None:
    assert isinstance(told_by(lambda _: [b"".join(parts)]), Exception)


def test_a_hostile_listener_in_a_nodes_place_ends_nobody(play: Callable[..., None]) -> None:
    """Before the lock and after it, knowing no secret."""

    async def scene(stage: Field) -> None:
        one, two, three = stage.participants
        asked = [0]

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked[0] += 1
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.writelines(plain(PROOF + b": \xff", status=b"200 \xff\x1b[31m"))
                await writer.drain()
            writer.close()

        async def hostile() -> asyncio.Server:
            asked[0] = 0
            return await asyncio.start_server(serve, "127.0.0.1", three.settings.bind.port)

        listener = await hostile()
        one.start()
        two.start()
        await until(lambda: asked[0] > 3, "it is asked before the lock")
        listener.close()
        await form_rest(stage)
        await three.die()
        listener = await hostile()
        for each in (one, two):
            assert each.exchange is not None
            assert each.exchange._keeping is not None
            await each.exchange._keeping.sync_all()
        await until(lambda: asked[0] >= 2, "and after it")
        listener.close()
        assert all(each.task is not None and not each.task.done() for each in (one, two))
        assert not any("Traceback" in line for each in (one, two) for line in each.log)
        assert all(line.isprintable() for each in (one, two) for line in each.log)

    async def form_rest(stage: Field) -> None:
        stage.participants[2].start()
        await asyncio.gather(*(each.locked() for each in stage.participants))

    play(scene)
