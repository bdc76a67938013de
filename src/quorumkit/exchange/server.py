"""The exchange's HTTP server: one route, for nodes that know the join secret.

A request is judged by its header before its body is read: who does not know the secret costs a line of HTTP and one
HMAC, and is cut off. It has no private key in reach: what it hands out was signed before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from aiohttp import web

from quorumkit.addresses import Endpoint
from quorumkit.errors import PortError
from quorumkit.exchange.authentication import ANSWER_HEADER, JoinKeys, Nonces, check_ticket, open_request, seal_answer
from quorumkit.exchange.protocol import PULL_PATH, PullAnswer, PullRequest, parse
from quorumkit.exchange.refusal import HINTS, STATUS, Code, Refusal
from quorumkit.serving.guard import Bounds, Guard

LARGEST_REQUEST = 64 * 1024
"""Bytes of a sealed request; the largest true one, which wants 2000 ordinals, is about 15 kB."""

CONTENT_TYPE = "application/octet-stream"

_LARGEST_HEADER = 4096
_FIRST_REQUEST = 5.0  # seconds a connection may take to send its first header
_BODY = 5.0  # seconds a body may take
_KEEPALIVE = 30.0
_MOST_UNKNOWN = 256  # connections that have not proven to know the secret; beyond it the oldest is cut off
_STRANGER_RATE, _STRANGER_BURST = 5.0, 50.0  # refused requests a second from one address that are answered
_MEMBER_RATE, _MEMBER_BURST = 30.0, 500.0  # requests a second from one node, and refused ones from one address
_MOST_BUCKETS = 4096


class Answering(Protocol):
    """Who answers what the server lets through."""

    def identify(self, request: PullRequest, *, source: str) -> str:
        """The key that the sender has proven to hold.

        Raises:
            Refusal: it has proven none.
        """
        ...

    async def answer(self, request: PullRequest, *, source: str) -> PullAnswer:
        """Raises:
        Refusal: the request is authentic, and not granted.
        """
        ...

    def refused(self, refusal: Refusal, *, source: str) -> None:
        """Told of every request that was not granted. `source` is an address."""
        ...


class Buckets:
    """How often each of many may do something: a token bucket for each."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str, now: float) -> bool:
        """Whether `who` may, once more, at `now` (seconds of any steady clock)."""
        level, last = self._levels.pop(who, (self._burst, now))
        level = min(self._burst, level + (now - last) * self._rate)
        self._levels[who] = (level - 1 if level >= 1 else level), now
        if len(self._levels) > _MOST_BUCKETS:
            self._levels.popitem(last=False)
        return level >= 1


class ExchangeServer:
    """Serves one node's exchange."""

    def __init__(self, keys: JoinKeys, answering: Answering, *, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._answering = answering
        self._clock = clock
        self._nonces = Nonces()
        self._strangers = Buckets(_STRANGER_RATE, _STRANGER_BURST)
        self._members = Buckets(_MEMBER_RATE, _MEMBER_BURST)
        self._refused = Buckets(_MEMBER_RATE, _MEMBER_BURST)
        self._guard: Guard

    @contextlib.asynccontextmanager
    async def listening(self, bind: Endpoint, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        """Answers inside the block; gives the port.

        Raises:
            PortError: the address cannot be had.
        """
        bounds = Bounds(
            first_request=_FIRST_REQUEST, resting=_KEEPALIVE, field=_LARGEST_HEADER, connections=_MOST_UNKNOWN
        )
        self._guard = Guard(self._handle, bounds)
        async with contextlib.AsyncExitStack() as stack:
            try:
                port = await stack.enter_async_context(self._guard.listening(host=bind.host, port=bind.port, tls=tls))
            except OSError as error:
                raise PortError(
                    f"exchange: {bind}: {error.strerror or error}",
                    hint="stop what holds the port, or give another --exchange-bind",
                ) from None
            yield port

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        source = request.remote or "?"
        try:
            return await self._granted(request, source)
        except Refusal as refusal:
            self._answering.refused(refusal, source=source)
            if not self._strangers.take(source, time.monotonic()):
                self._guard.drop(request.protocol)
            return _plain(STATUS[refusal.code], refusal.code, refusal.message.removeprefix(f"{source}: "))

    async def _granted(self, request: web.BaseRequest, source: str) -> web.Response:
        if request.path != PULL_PATH:
            return self._no_such(404, "there is nothing here", request, source)
        if request.method != "POST":
            return self._no_such(405, "only POST", request, source)
        header = request.headers.get("Authorization", "")
        ticket = check_ticket(
            self._keys, "POST", PULL_PATH, header, now=self._clock(), nonces=self._nonces, source=source
        )
        self._guard.trust(request.protocol)
        body = await self._body(request, source)
        content = open_request(self._keys, "POST", PULL_PATH, ticket, body, source=source)
        try:
            pull = parse(PullRequest, content, source=source)
            # By what is proven: whoever knows the secret could put any text there, a new one each time.
            if not self._members.take(self._answering.identify(pull, source=source), time.monotonic()):
                raise Refusal("too_many", f"{source}: more requests than a node has need for")
            answer = await self._answering.answer(pull, source=source)
            status, content = 200, answer.model_dump_json().encode()
        except Refusal as refusal:
            self._answering.refused(refusal, source=source)
            if not self._refused.take(source, time.monotonic()):
                self._guard.drop(request.protocol)
            problem = {"error": refusal.code, "message": refusal.message, "hint": refusal.hint}
            status, content = STATUS[refusal.code], json.dumps(problem).encode()
        proof, body = seal_answer(self._keys, status, ticket.nonce, content)
        return web.Response(status=status, body=body, headers={ANSWER_HEADER: proof, "Content-Type": CONTENT_TYPE})

    async def _body(self, request: web.BaseRequest, source: str) -> bytes:
        length = request.content_length
        if length is None:
            raise Refusal("rubbish", f"{source}: a request that does not say how long it is")
        if length > LARGEST_REQUEST:
            raise Refusal("too_large", f"{source}: a request of {length} bytes, and {LARGEST_REQUEST} are allowed")
        try:
            async with asyncio.timeout(_BODY):
                return await request.content.readexactly(length)
        except TimeoutError:
            raise Refusal("too_slow", f"{source}: a body that took more than {_BODY:g} s") from None
        except (asyncio.IncompleteReadError, OSError):
            raise Refusal("rubbish", f"{source}: a body that ended early") from None

    def _no_such(self, status: int, text: str, request: web.BaseRequest, source: str) -> web.Response:
        refusal = Refusal("rubbish", f"{source}: asked for another route than {PULL_PATH}")
        self._answering.refused(refusal, source=source)
        if not self._strangers.take(source, time.monotonic()):
            self._guard.drop(request.protocol)
        return _plain(status, "rubbish", text, {"Allow": "POST"} if status == 405 else {})


def _plain(status: int, code: Code, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """An answer to somebody who has not shown that he knows the secret; the connection ends with it."""
    content = {"error": code, "message": message, "hint": HINTS[code]}
    response = web.json_response(content, status=status, headers=headers)
    response.force_close()
    return response
