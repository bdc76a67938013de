"""The server: its one route, its limits, and what it does with those who do not belong there. Real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from exchange_samples import proven_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from ruamel.yaml import YAML

from quorumkit.addresses import Endpoint
from quorumkit.exchange import server as serving
from quorumkit.exchange.authentication import ANSWER_HEADER, CLOCK_TOLERANCE, JoinKeys, seal_request
from quorumkit.exchange.client import ExchangeClient, RefusedError, UnreachableError
from quorumkit.exchange.names import Resolver
from quorumkit.exchange.protocol import PULL_PATH, ErrorAnswer, PullAnswer, PullRequest, prove
from quorumkit.exchange.refusal import HINTS, STATUS, Refusal
from quorumkit.exchange.server import LARGEST_REQUEST, Buckets, ExchangeServer

KEYS = JoinKeys.derive(b"a join secret of some length")
OPENAPI = Path(__file__).parents[3] / "docs/reference/exchange-openapi.yaml"


class Node:
    """Answers everything, and remembers what was refused."""

    def __init__(self) -> None:
        self.asked: list[PullRequest] = []
        self.refusals: list[str] = []
        self.refuse: Refusal | None = None

    def identify(self, request: PullRequest, *, source: str) -> str:
        return prove(request.sender, source=source).document.enode_key

    async def answer(self, request: PullRequest, *, source: str) -> PullAnswer:
        self.asked.append(request)
        if self.refuse:
            raise self.refuse
        return PullAnswer(sender=proven_of(1).signed, documents=[proven_of(1).signed])

    def refused(self, refusal: Refusal, *, source: str) -> None:
        assert source == "127.0.0.1"
        assert refusal.message
        self.refusals.append(refusal.code)


def request() -> PullRequest:
    return PullRequest(sender=proven_of(2).signed, to=1, terms={}, stage="documents", want=[1])


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Node, Endpoint]]:
    node = Node()
    async with ExchangeServer(KEYS, node).listening(Endpoint("127.0.0.1", 0)) as port:
        yield node, Endpoint("127.0.0.1", port)


def with_server(test: Callable[[Node, Endpoint], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), running() as (node, endpoint):
            await test(node, endpoint)

    asyncio.run(run())


async def send(to: Endpoint, *, header: str | None = None, body: bytes = b"", method: str = "POST",
               path: str = PULL_PATH) -> tuple[int, dict[str, Any], bytes]:  # fmt: skip
    async with aiohttp.ClientSession() as session:
        headers = {"Authorization": header} if header is not None else {}
        async with session.request(method, f"http://{to}{path}", data=body, headers=headers) as response:
            return response.status, dict(response.headers), await response.read()


async def raw(to: Endpoint, *parts: bytes, pause: float = 0.0) -> bytes:
    """Sends bytes as they are; what came back until the other side closed."""
    reader, writer = await asyncio.open_connection(to.host, to.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), 30)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def sealed(content: bytes, *, now: float | None = None, keys: JoinKeys = KEYS) -> tuple[str, bytes]:
    header, body, _ = seal_request(keys, "POST", PULL_PATH, content, now=time.time() if now is None else now)
    return header, body


def test_a_node_is_answered() -> None:
    async def test(node: Node, to: Endpoint) -> None:
        client = ExchangeClient(KEYS, Resolver())
        answer = await client.pull(to, request())
        await client.close()
        assert answer.documents == [proven_of(1).signed]
        assert node.asked == [request()]
        assert node.refusals == []

    with_server(test)


def test_a_refusal_reaches_the_node_that_asked_in_words_and_sealed() -> None:
    async def test(node: Node, to: Endpoint) -> None:
        node.refuse = Refusal("identity_changed", "node2 at 10.0.0.9: has another identity")
        client = ExchangeClient(KEYS, Resolver())
        with pytest.raises(RefusedError) as refused:
            await client.pull(to, request())
        await client.close()
        assert (refused.value.code, refused.value.authentic) == ("identity_changed", True)
        assert "another identity" in refused.value.message
        header, body = sealed(request().model_dump_json().encode())
        status, headers, content = await send(to, header=header, body=body)
        assert status == 409
        assert ANSWER_HEADER in headers
        assert b"identity" not in content

    with_server(test)


def test_another_secret_is_told_as_such_on_both_sides() -> None:
    async def test(node: Node, to: Endpoint) -> None:
        client = ExchangeClient(JoinKeys.derive(b"quite another join secret"), Resolver())
        with pytest.raises(RefusedError) as refused:
            await client.pull(to, request())
        await client.close()
        assert (refused.value.code, refused.value.authentic) == ("wrong_secret", False)
        assert node.refusals == ["wrong_secret"]
        assert node.asked == []

    with_server(test)


@pytest.mark.parametrize(
    ("code", "status", "header_and_body"),
    [
        ("rubbish", 400, lambda: ("", b"")),
        ("rubbish", 400, lambda: ("Quorumkit v=1", b"x")),
        ("wrong_secret", 401, lambda: sealed(b"x", keys=JoinKeys.derive(b"quite another join secret"))),
        ("tampered", 401, lambda: (sealed(b"x")[0][:-4] + "0000", sealed(b"x")[1])),
        ("clock", 401, lambda: sealed(b"x", now=time.time() - CLOCK_TOLERANCE - 5)),
        ("tampered", 401, lambda: (sealed(b"x")[0], sealed(b"y")[1])),
        ("too_large", 413, lambda: (sealed(b"x")[0], bytes(LARGEST_REQUEST + 1))),
    ],
)
def test_each_wrong_request_has_its_answer(
    code: str, status: int, header_and_body: Callable[[], tuple[str, bytes]]
) -> None:
    async def test(node: Node, to: Endpoint) -> None:
        header, body = header_and_body()
        got, _, content = await send(to, header=header, body=body)
        told = json.loads(content)
        assert (got, told["error"]) == (status, code)
        assert told["hint"]
        assert node.refusals == [code]
        assert node.asked == []

    with_server(test)


def test_a_replayed_request_is_refused() -> None:
    async def test(node: Node, to: Endpoint) -> None:
        header, body = sealed(request().model_dump_json().encode())
        assert (await send(to, header=header, body=body))[0] == 200
        status, _, content = await send(to, header=header, body=body)
        assert (status, json.loads(content)["error"]) == (401, "replay")
        assert len(node.asked) == 1

    with_server(test)


def test_authentic_nonsense_is_refused_and_sealed() -> None:
    async def test(node: Node, to: Endpoint) -> None:
        for content in (b"", b"{}", b"[1]", b"\xff", b'{"stage":"documents"}'):
            header, body = sealed(content)
            status, headers, _ = await send(to, header=header, body=body)
            assert status == 422
            assert ANSWER_HEADER in headers
        assert set(node.refusals) == {"format"}

    with_server(test)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", PULL_PATH, 405), ("PUT", PULL_PATH, 405), ("DELETE", PULL_PATH, 405), ("GET", "/", 404),
     ("POST", "/v1/pull/", 404), ("GET", "/v1", 404), ("GET", "/v1/../etc/passwd", 404),
     ("GET", "/data/geth/nodekey", 404),
     ("GET", "/%2e%2e/password", 404), ("POST", "/v1/pull%00", 404), ("GET", "/healthz", 404)],
)  # fmt: skip
def test_there_is_one_route(method: str, path: str, status: int) -> None:
    async def test(node: Node, to: Endpoint) -> None:
        header, body = sealed(request().model_dump_json().encode())
        assert (await send(to, method=method, path=path, header=header, body=body))[0] == status
        assert node.asked == []

    with_server(test)


def test_slow_and_endless_ones_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_FIRST_REQUEST", 0.3)
    monkeypatch.setattr(serving, "_BODY", 0.3)

    async def test(node: Node, to: Endpoint) -> None:
        began = time.monotonic()
        header, body = sealed(request().model_dump_json().encode())
        head = f"POST {PULL_PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\nContent-Length: {len(body)}\r\n\r\n"
        silent, slow_header, slow_body, endless = await asyncio.gather(
            raw(to),
            raw(to, *[b"P"] * 10, pause=0.1),
            raw(to, head.encode(), body[:10], pause=0.1),
            raw(to, b"GET /" + b"a" * 200_000),
        )
        assert silent == slow_header == b""
        assert b" 408 " in slow_body
        assert b" 200 " not in endless
        assert "too_slow" in node.refusals
        assert time.monotonic() - began < 20
        assert (await send(to, header=(again := sealed(request().model_dump_json().encode()))[0], body=again[1]))[
            0
        ] == 200

    with_server(test)


def test_strangers_are_answered_so_often_and_no_more_and_members_all_the_while() -> None:
    async def test(node: Node, to: Endpoint) -> None:
        answered = 0
        for _ in range(200):
            try:
                await send(to)
                answered += 1
            except aiohttp.ClientError:
                continue
        assert 50 <= answered < 150
        client = ExchangeClient(KEYS, Resolver())
        for _ in range(20):
            assert await client.pull(to, request())
        await client.close()

    with_server(test)


def test_many_idle_connections_do_not_shut_members_out() -> None:
    async def test(node: Node, to: Endpoint) -> None:
        idle = [await asyncio.open_connection(to.host, to.port) for _ in range(600)]
        client = ExchangeClient(KEYS, Resolver())
        assert await client.pull(to, request())
        await client.close()
        for _, writer in idle:
            writer.close()

    with_server(test)


@given(st.lists(st.floats(0, 10), max_size=200))
def test_a_bucket_gives_burst_and_rate_and_no_more(times: list[float]) -> None:
    buckets = Buckets(rate=2.0, burst=5.0)
    granted = sum(buckets.take("x", moment) for moment in sorted(times))
    assert granted <= 5 + 2 * 10
    assert granted >= min(len(times), 5)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(
    st.binary(max_size=400),
    st.sampled_from([b"POST /v1/pull HTTP/1.1\r\n", b"Host: x\r\n", b"Content-Length: 5\r\n", b"\r\n", b"\x00" * 50,
                     b"Transfer-Encoding: chunked\r\n", b"Authorization: Quorumkit v=1\r\n", b"Content-Length: -1\r\n",
                     b"Expect: 100-continue\r\n", b"GET http://a/ HTTP/1.0\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n"])),
    max_size=12))  # fmt: skip
def test_no_bytes_break_the_server(parts: list[bytes]) -> None:
    async def test(node: Node, to: Endpoint) -> None:
        reader, writer = await asyncio.open_connection(to.host, to.port)
        writer.write(b"".join(parts))
        writer.write_eof()
        try:
            answer = await asyncio.wait_for(reader.read(), 20)
        except ConnectionError:
            answer = b""
        writer.close()
        assert b" 200 " not in answer.split(b"\r\n")[0]
        assert b"Traceback" not in answer
        assert node.asked == []
        header, body = sealed(request().model_dump_json().encode())
        assert (await send(to, header=header, body=body))[0] == 200

    with_server(test)


def test_no_change_of_an_authentic_request_is_let_through() -> None:
    """Every field of it, cut, doubled, or with one bit changed."""
    chance = random.Random(5)

    async def test(node: Node, to: Endpoint) -> None:
        for _ in range(60):
            header, body = sealed(request().model_dump_json().encode())
            whole = bytearray(header.encode())
            if chance.random() < 0.5:
                whole[chance.randrange(len(whole))] ^= 1 << chance.randrange(5)
            else:
                place = chance.randrange(len(body))
                body = body[:place] + os.urandom(1) + body[place + 1 :] if chance.random() < 0.5 else body[:place]
            changed = bytes(whole).decode("latin-1")
            if (changed, body) == (header, sealed(b"")[1]) or not changed.isprintable():
                continue
            before = len(node.asked)
            try:
                status, _, _ = await send(to, header=changed, body=body)
            except (aiohttp.ClientError, ValueError):
                continue
            if len(node.asked) != before:
                assert (changed, status) == (header, 200), "only an unchanged one may come through"

    with_server(test)


def test_the_client_takes_no_answer_from_a_stranger() -> None:
    async def run() -> None:
        async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            content = PullAnswer(sender=proven_of(1).signed).model_dump_json().encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nQuorumkit-Answer: %s\r\n\r\n%s"
                         % (len(content), b"0" * 64, content))  # fmt: skip
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(stranger, "127.0.0.1", 0)
        client = ExchangeClient(KEYS, Resolver())
        with pytest.raises(Refusal) as refused:
            await client.pull(Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]), request())
        assert refused.value.code == "tampered"
        await client.close()
        server.close()

    asyncio.run(run())


def test_the_client_tells_why_nobody_answers(tmp_path: Path) -> None:
    async def run() -> None:
        client = ExchangeClient(KEYS, Resolver(tmp_path / "hosts"))
        with pytest.raises(UnreachableError, match="name not found"):
            await client.pull(Endpoint("nowhere.invalid", 9546), request())
        with pytest.raises(UnreachableError, match="refused"):
            await client.pull(Endpoint("127.0.0.1", 1), request())
        await client.close()

    asyncio.run(run())


def test_the_openapi_document_says_what_the_server_does() -> None:
    document = YAML(typ="safe", pure=True).load(OPENAPI.read_text())
    assert list(document["paths"]) == [PULL_PATH]
    assert list(document["paths"][PULL_PATH]) == ["post"]
    answers = document["paths"][PULL_PATH]["post"]["responses"]
    assert {int(status) for status in answers} == {200, 404, 405, *STATUS.values()}
    codes = document["components"]["schemas"]["ErrorAnswer"]["properties"]["error"]["enum"]
    assert set(codes) == set(HINTS)
    models: list[type[BaseModel]] = [PullRequest, PullAnswer]
    for model in models:
        schema = model.model_json_schema()
        for name, expected in {model.__name__: schema, **schema.get("$defs", {})}.items():
            documented = document["components"]["schemas"][name]
            assert set(documented["properties"]) == set(expected["properties"]), name
            assert set(documented.get("required", [])) == set(expected.get("required", [])), name
            assert documented["additionalProperties"] is False
    assert set(document["components"]["schemas"]["ErrorAnswer"]["properties"]) == set(ErrorAnswer.model_fields)
