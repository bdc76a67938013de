"""The two HTTP APIs: the private one for GoQuorum, over a unix socket, the public one for other transaction managers.

What GoQuorum 24.4.1 calls stands in its `private/engine/tessera`. It picks that client because `/version` answers, and
goes by `/version/api`: with only "1.0" there it uses standard private transactions and refuses, itself and before
anything is sent, party protection, state validation, mandatory recipients, multi-tenancy and multiple private states.
Its older client, for Constellation, calls `/sendraw` and `/receiveraw`, which are served too.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from quorumkit.errors import QuorumkitError
from quorumkit.foreign import one_line
from quorumkit.tm.answers import failure, json_answer
from quorumkit.tm.errors import (
    BadRequestError,
    OverloadedError,
    PayloadNotFoundError,
    RefusedError,
    SlowBodyError,
    TmError,
    TooLargeError,
)
from quorumkit.tm.limits import BODY_TIMEOUT, MAX_BODIES, MAX_BODY
from quorumkit.tm.manager import TransactionManager
from quorumkit.tm.private_calls import PrivateCalls
from quorumkit.tm.public_calls import PublicCalls

API_VERSIONS = ["1.0"]
"""Of Tessera's API. 2.0 would promise privacy enhancements, 2.1 multi-tenancy, 3.0 private states, 4.0 mandatory
recipients; none of them is offered."""

_Handler = Callable[[web.BaseRequest, bytes], Awaitable[web.Response]]

log = logging.getLogger(__name__)


class Api:
    """One of the two APIs: routes, limits, and errors turned into answers."""

    def __init__(self, refusal: Callable[[web.BaseRequest], str | None]) -> None:
        """`refusal` decides, before the body is read, why a request is not answered; None if it is."""
        self._routes: dict[tuple[str, str], _Handler] = {}
        self._refusal = refusal
        self._bodies = 0

    def route(self, methods: str, path: str, handler: _Handler) -> None:
        """`methods` is one or more, separated by spaces."""
        for method in methods.split():
            self._routes[method, path] = handler

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers a request; whatever it holds, it gets an answer and nothing else happens."""
        try:
            if reason := self._refusal(request):
                raise RefusedError(reason)
            handler = self._find(request)
            body = await self._body(request)
            try:
                return await handler(request, body)
            finally:
                self._bodies -= len(body)
        except TmError as error:
            if error.status >= 500:
                log.warning("%s: %s", _asked(request), error.message)
            return failure(error.status, error.message)
        except QuorumkitError as error:
            log.error("%s: %s", _asked(request), error.message)
            return failure(500, error.message)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            # The traceback goes to the log and not the values in it: they may be payloads.
            log.error("%s: %s", _asked(request), type(error).__name__, exc_info=error)
            return failure(500, "internal error")

    def _find(self, request: web.BaseRequest) -> _Handler:
        path = request.rel_url.raw_path
        if path.startswith("/transaction/"):
            # The hash, in base64, may hold slashes; GoQuorum escapes them.
            parts = path.split("/")
            path = "/".join((*parts[:2], "*", *parts[3:]))
        handler = self._routes.get((request.method, path))
        if handler is None:
            raise PayloadNotFoundError(f"no such endpoint: {one_line(f'{request.method} {path}', longest=100)}")
        return handler

    async def _body(self, request: web.BaseRequest) -> bytes:
        """The whole body. Counts towards `_bodies` until the request is done."""
        if not request.body_exists:
            return b""
        if (request.content_length or 0) > MAX_BODY:
            raise TooLargeError(f"a body may have {MAX_BODY} bytes")
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                async for chunk in request.content.iter_any():
                    body += chunk
                    self._bodies += len(chunk)
                    if len(body) > MAX_BODY:
                        raise TooLargeError(f"a body may have {MAX_BODY} bytes")
                    if self._bodies > MAX_BODIES:
                        raise OverloadedError("too many bodies at once")
        except BaseException as error:
            self._bodies -= len(body)
            if isinstance(error, TimeoutError):
                raise SlowBodyError(f"the body did not arrive in {BODY_TIMEOUT:g} s") from error
            if isinstance(error, web.RequestPayloadError):
                raise BadRequestError("the body broke off") from error
            raise
        return bytes(body)


def private_api(manager: TransactionManager) -> Api:
    """The API for the node's own client."""
    api = Api(_refuse_web_pages)
    _add_common(api)
    calls = PrivateCalls(manager)
    api.route("POST", "/send", calls.send)
    api.route("POST", "/sendraw", calls.send_raw)
    api.route("GET POST", "/receive", calls.receive)
    api.route("GET POST", "/receiveraw", calls.receive_raw)
    api.route("POST", "/storeraw", calls.store_raw)
    api.route("POST", "/sendsignedtx", calls.send_signed)
    api.route("GET", "/transaction/*", calls.transaction)
    api.route("GET", "/transaction/*/isSender", calls.is_sender)
    api.route("GET", "/transaction/*/participants", calls.participants)
    api.route("GET", "/transaction/*/mandatory", calls.mandatory)
    api.route("POST", "/encodedpayload/create", calls.create)
    api.route("POST", "/encodedpayload/decrypt", calls.decrypt)
    api.route("GET", "/groups/resident", calls.groups)
    api.route("GET", "/parties", calls.parties)
    api.route("GET", "/keys", calls.keys)
    api.route("GET", "/partyinfo/keys", calls.party_keys)
    return api


def public_api(manager: TransactionManager, refusal: Callable[[web.BaseRequest], str | None]) -> Api:
    """The API for other transaction managers; `refusal` says why somebody may not use it."""
    api = Api(refusal)
    _add_common(api)
    calls = PublicCalls(manager)
    api.route("POST", "/push", calls.push)
    api.route("POST", "/partyinfo", calls.party_info)
    api.route("POST", "/resend", calls.resend)
    return api


def version() -> str:
    """Of this transaction manager; GoQuorum writes it into its log."""
    return f"quorumkit-{importlib.metadata.version('quorumkit')}"


def _asked(request: web.BaseRequest) -> str:
    return one_line(f"{request.method} {request.rel_url.raw_path}", longest=200)


def _refuse_web_pages(request: web.BaseRequest) -> str | None:
    """A page in a browser of this machine could post to loopback, unseen and without reading the answer."""
    return "web pages may not use this" if "Origin" in request.headers else None


def _add_common(api: Api) -> None:
    own_version = version()

    async def upcheck(_: web.BaseRequest, __: bytes) -> web.Response:
        return web.Response(text="I'm up!")

    async def tell_version(_: web.BaseRequest, __: bytes) -> web.Response:
        return web.Response(text=own_version)

    async def api_versions(_: web.BaseRequest, __: bytes) -> web.Response:
        return json_answer(API_VERSIONS)

    api.route("GET", "/upcheck", upcheck)
    api.route("GET", "/version", tell_version)
    api.route("GET", "/version/api", api_versions)
