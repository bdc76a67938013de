"""Whatever a peer answers: an error that is told in one printable line, and concerns that peer alone."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from quorumkit.tm import peers as module
from quorumkit.tm.enclave import Enclave
from quorumkit.tm.errors import TmError
from quorumkit.tm.keys import generate_key_pair
from quorumkit.tm.parties import Parties, Peer
from quorumkit.tm.peer_http import PeerHttp, describe
from quorumkit.tm.peers import PeerClient
from quorumkit.tm.server import PrintableLines
from quorumkit.tm.wire import Dialect, PartyInfo, encode_party_info

OWN, THEIRS = generate_key_pair(), generate_key_pair()
OWN_URL = "http://127.0.0.1:1/"

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


def http(status: bytes = b"200 OK", headers: bytes = b"", body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s" % (status, headers, len(body), body)


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
RAW = {
    "nothing": b"",
    "no HTTP": b"\xff" * 3000,
    "random": random.Random(3).randbytes(5000),
    "a reason of bytes": http(b"200 \xff\xfe\x1b[31m", body=b"x"),
    "a refusal with escapes": http(b"500 \xff", body=b"\x1b[2J\n\xe2\x80\xa8\xff" * 50),
    "a status that is none": http(b"abc OK"),
    "a status of seven digits": http(b"1000000 OK"),
    "a header name of bytes": http(headers=b"X\xff: \xff\r\n"),
    "a challenge of bytes": http(b"401 no", b"WWW-Authenticate: Quorumkit-TM-Key \xff\xfe\r\n"),
    "a challenge too long": http(b"401 no", b"WWW-Authenticate: Quorumkit-TM-Key %s\r\n" % (b"A" * 8000)),
    "a content type of bytes": http(headers=b'Content-Type: \xff/\xff; charset="\r\n', body=b"x"),
    "a cookie of bytes": http(headers=b"Set-Cookie: \xff=\xff; Domain=\xff; Max-Age=z\r\n", body=b"x"),
    "a negative length": OK + b"Content-Length: -5\r\n\r\nxx",
    "a length without end": OK + b"Content-Length: 99999999999999999999999\r\n\r\nxx",
    "a length that is a lie": OK + b"Content-Length: 50\r\n\r\nxx",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx",
    "a chunk that is none": CHUNKED + b"ZZ\r\nx",
    "a chunk without end": CHUNKED + b"ffffffffffffffff\r\nx",
    "an encoding of bytes": http(headers=b"Content-Encoding: \xff\r\n", body=b"x"),
    "what is no gzip": http(headers=b"Content-Encoding: gzip\r\n", body=b"x"),
    "a redirect": http(b"307 x", b"Location: http://127.0.0.1:1/\r\n"),
    "a redirect to nowhere": http(b"302 x", b"Location: http://[\xff\r\n"),
    "another protocol": b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "much to come": b"HTTP/1.1 100 Continue\r\n\r\n" * 2000,
    "a long line": b"HTTP/1.1 200 %s\r\n\r\n" % (b"A" * 100_000),
    "a long header": OK + b"X: %s\r\n\r\n" % (b"A" * 200_000),
    "many headers": OK + b"".join(b"H%d: x\r\n" % at for at in range(20_000)) + b"\r\n",
    "parties without end": http(body=number(0) + number(0) + number(2**62)),
    "empty parties": http(body=number(0) + number(0) + number(130_000) + bytes(8 * 130_000)),
    "more than fits": http(body=bytes(2 * 1024 * 1024)),
}


@contextlib.asynccontextmanager
async def peer_that(answer: Answer) -> AsyncIterator[tuple[PeerClient, Peer]]:
    """The client of a manager with that one peer, whose key is known."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0]))
            await answer(f"http://127.0.0.1:{writer.get_extra_info('sockname')[1]}/", writer)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        parties = Parties(OWN_URL, [OWN.public], [url], {THEIRS.public: url})
        client = PeerClient(parties, None)
        try:
            yield client, parties.peers[url]
        finally:
            await client.close()


async def outcome(doing: Awaitable[None]) -> str | None:
    """What it is told as; None where it was well."""
    try:
        async with asyncio.timeout(5):
            await doing
    except (aiohttp.ClientError, OSError, TimeoutError, TmError) as error:
        told = describe(error)
        assert told
        assert told.isprintable()
        assert len(told) <= 2000
        return told
    return None


async def try_everything(content: bytes) -> list[str | None]:
    async def send(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(content)

    enclave = Enclave([OWN])
    async with peer_that(send) as (client, peer):
        told = [await outcome(client.ask(peer)), await outcome(client.ask_to_resend(peer, OWN.public, enclave))]
        peer.dialect = Dialect.CLASSIC
        sealed = enclave.seal(b"x", OWN.public, [THEIRS.public])
        return [*told, await outcome(client.push_again(sealed, THEIRS.public, THEIRS.public))]


@pytest.mark.parametrize("case", RAW)
def test_raw_answers(case: str, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.run(try_everything(RAW[case]))
    assert not caplog.records


def test_mangled_answers(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(11)
    whole = [
        http(body=encode_party_info(PartyInfo("http://a:1/", ((THEIRS.public, "http://a:1/"),), ("http://a:1/",)))),
        http(b"401 no", b"WWW-Authenticate: Quorumkit-TM-Key %s\r\n" % (b"A" * 120)),
        CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
    ]
    for _ in range(60):
        mangled = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 6)):
            mangled[chance.randrange(len(mangled))] = chance.choice([0, 10, 13, 32, 58, 127, 128, 255])
        asyncio.run(try_everything(bytes(mangled)))
    assert not caplog.records


@pytest.mark.parametrize(
    "drop",
    [
        *(b"H: x\r\n" * 1000, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, b"x" * 65536),
        b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n%s\r\n" % (b"x" * 0x10000) * 4,
    ],
    ids=["headers", "interim answers", "one line", "a body"],
)
def test_answers_without_end(drop: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EXCHANGE_TIMEOUT", 0.5)

    async def flood(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        while True:
            writer.write(drop)
            await writer.drain()

    async def run() -> None:
        async with peer_that(flood) as (client, peer):
            assert await outcome(client.ask(peer)) is not None

    asyncio.run(run())


def test_a_redirect_is_not_followed() -> None:
    reached = []

    async def run() -> None:
        async def inner(_: str, writer: asyncio.StreamWriter) -> None:
            reached.append(writer)

        async with peer_that(inner) as (_, elsewhere):

            async def send(_: str, writer: asyncio.StreamWriter) -> None:
                writer.write(http(b"307 x", b"Location: %spartyinfo\r\n" % elsewhere.url.encode()))

            async with peer_that(send) as (client, peer):
                assert "307" in str(await outcome(client.ask(peer)))

    asyncio.run(run())
    assert not reached


def test_a_flood_of_keys_is_a_few_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """And what it says of others, or of URLs that are none, counts for nothing."""

    async def claim(url: str, writer: asyncio.StreamWriter) -> None:
        keys = [(os.urandom(32), url) for _ in range(5000)]
        odd = [
            (os.urandom(32), text) for text in ("http://169.254.169.254/", "http://[", "\x1b[31m\n", "file:///x", "")
        ]
        writer.write(
            http(body=encode_party_info(PartyInfo("http://10.0.0.1/", (*keys, *odd), ("http://[::1]/",) * 99)))
        )

    async def run() -> None:
        async with peer_that(claim) as (client, peer):
            peer.dialect = Dialect.CLASSIC
            assert await outcome(client.ask(peer)) is None
            assert peer.keys == {THEIRS.public}

    asyncio.run(run())
    assert 0 < len(caplog.records) < 10


def test_a_surprise_in_the_care_of_one_peer_is_told_and_the_others_are_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_REFRESH_FIRST", 0.05)
    monkeypatch.setattr(module, "_REFRESH_SLOWEST_MISSING", 0.05)
    caplog.set_level(logging.INFO)
    calls = []

    async def run() -> None:
        async def send(_: str, writer: asyncio.StreamWriter) -> None:
            writer.write(http(headers=b"Connection: close\r\n", body=number(0) * 3))

        def answered(peer: Peer) -> None:
            calls.append(peer)
            peer.answered = False  # so that it is asked again at once
            if len(calls) == 3:
                raise asyncio.CancelledError
            raise UnicodeEncodeError("ascii", "\udcff", 0, 1, "surprise")

        async with peer_that(send) as (client, _):
            with contextlib.suppress(asyncio.CancelledError):
                async with asyncio.timeout(5):
                    await client.keep_asking(answered)

    asyncio.run(run())
    assert len(calls) == 3
    assert any("does not answer" in record.getMessage() for record in caplog.records)


def test_a_librarys_surprise_is_a_failure_of_that_peer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def surprise(*_: object) -> None:
        raise UnicodeEncodeError("ascii", "\udcff\x1b", 0, 1, "surprise")

    monkeypatch.setattr(PeerHttp, "_posted", surprise)
    told = asyncio.run(try_everything(b""))
    assert all(each and "cannot be read (UnicodeEncodeError)" in each for each in told)
    assert caplog.records[0].exc_info  # with its traceback


def test_the_list_may_change_while_a_peer_is_asked() -> None:
    parties = Parties(OWN_URL, [OWN.public], [url := "http://b:1/"], {})
    peer = parties.peers[url]
    parties.learn(peer, PartyInfo(url, ((THEIRS.public, url),), ()), Dialect.CLASSIC)
    parties.relist([], {})
    parties.learn(peer, PartyInfo(url, ((THEIRS.public, url),), ()), Dialect.CLASSIC)
    assert parties.peer_of(THEIRS.public) is None


def test_lines_of_the_log_are_printable() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PrintableLines("%(levelname)s %(message)s"))
    try:
        raise ValueError("a\x1b[31m\nb\udcff")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "one\ntwo\x1b[2J %s", ("\u202e",), None)
        record.exc_info = (type(error), error, error.__traceback__)
    handler.emit(record)
    lines = stream.getvalue().rstrip("\n").split("\n")
    assert lines[0] == "ERROR one two?[2J ?"
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[2].startswith("  File ")
    assert all(line.isprintable() for line in lines)
