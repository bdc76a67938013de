"""The two HTTP APIs: the private one for GoQuorum, over a unix socket, the public one for other transaction managers.

What GoQuorum 24.4.1 calls stands in its `private/engine/tessera`. It picks that client because `/version` answers, and
goes by `/version/api`: with only "1.0" there it uses standard private transactions and refuses, itself and before
anything is sent, party protection, state validation, mandatory recipients, multi-tenancy and multiple private states.
Its older client, for Constellation, calls `/sendraw` and `/receiveraw`, which are served too.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import importlib.metadata
import json
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import unquote

from aiohttp import web
from multidict import CIMultiDict

from quorumkit.errors import QuorumkitError
from quorumkit.foreign import one_line
from quorumkit.tm.errors import (
    BadRequestError,
    OverloadedError,
    PayloadNotFoundError,
    RefusedError,
    SlowBodyError,
    TmError,
    TmKeyError,
    TooLargeError,
    UnprovenError,
)
from quorumkit.tm.keys import format_public_key, parse_public_key
from quorumkit.tm.limits import BODY_TIMEOUT, MAX_BODIES, MAX_BODY
from quorumkit.tm.manager import TransactionManager
from quorumkit.tm.wire import (
    BOX_BYTES,
    HASH_BYTES,
    KEY_BYTES,
    MAC_BYTES,
    NONCE_BYTES,
    EncryptedPayload,
    decode_party_info,
    decode_payload,
    encode_party_info,
    encode_payload,
)

API_VERSIONS = ["1.0"]
"""Of Tessera's API. 2.0 would promise privacy enhancements, 2.1 multi-tenancy, 3.0 private states, 4.0 mandatory
recipients; none of them is offered."""

_TEXT = "text/plain"
_JSON = "application/json"
_OCTETS = "application/octet-stream"

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
            return _failure(error.status, error.message)
        except QuorumkitError as error:
            log.error("%s: %s", _asked(request), error.message)
            return _failure(500, error.message)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            # The traceback goes to the log and not the values in it: they may be payloads.
            log.error("%s: %s", _asked(request), type(error).__name__, exc_info=error)
            return _failure(500, "internal error")

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
    calls = _Private(manager)
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
    calls = _Public(manager)
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
        return _json(API_VERSIONS)

    api.route("GET", "/upcheck", upcheck)
    api.route("GET", "/version", tell_version)
    api.route("GET", "/version/api", api_versions)


class _Private:
    def __init__(self, manager: TransactionManager) -> None:
        self._manager = manager

    async def send(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = _Json(body)
        fields.refuse_enhanced_privacy()
        sent = await self._manager.send(fields.octets("payload"), fields.key("from"), fields.keys("to"))
        return self._sent(sent)

    async def send_raw(self, request: web.BaseRequest, body: bytes) -> web.Response:
        sent = await self._manager.send(body, _key_header(request, "c11n-from"), _keys_header(request, "c11n-to"))
        return web.Response(text=_base64(sent.hash))

    async def store_raw(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = _Json(body)
        return _json({"key": _base64(await self._manager.store_raw(fields.octets("payload"), fields.key("from")))})

    async def send_signed(self, request: web.BaseRequest, body: bytes) -> web.Response:
        if "json" in request.content_type:
            fields = _Json(body)
            fields.refuse_enhanced_privacy()
            return self._sent(await self._manager.send_stored(_hash(fields.octets("hash")), fields.keys("to")))
        sent = await self._manager.send_stored(_hash(body), _keys_header(request, "c11n-to"))
        headers = CIMultiDict(tesseraSender=format_public_key(sent.sender))
        for key in self._manager.managed(sent):
            headers.add("tesseraManagedParties", format_public_key(key))
        return web.Response(text=_base64(sent.hash), headers=headers)

    async def receive(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = _Json(body)
        payload, _stored = self._manager.receive(_hash(fields.octets("key")), fields.key("to"))
        return _json({"payload": _base64(payload)})

    async def receive_raw(self, request: web.BaseRequest, _: bytes) -> web.Response:
        payload_hash = _hash(_octets(request.headers.get("c11n-key", ""), "c11n-key"))
        payload, _stored = self._manager.receive(payload_hash, _key_header(request, "c11n-to"))
        return web.Response(body=payload, content_type=_OCTETS)

    async def transaction(self, request: web.BaseRequest, _: bytes) -> web.Response:
        payload_hash = _hash_in_path(request)
        if request.rel_url.query.get("isRaw") == "true":
            payload, stored = self._manager.receive_raw(payload_hash)
        else:
            to = request.rel_url.query.get("to")
            # A plus sign in a query is a blank, in base64 it is not, and not everybody escapes it.
            key = _key(to.replace(" ", "+"), "to") if to else None
            payload, stored = self._manager.receive(payload_hash, key)
        return _json(
            {
                "payload": _base64(payload),
                "affectedContractTransactions": [],
                "execHash": "",
                "privacyFlag": 0,
                "managedParties": list(map(format_public_key, self._manager.managed(stored))),
                "senderKey": format_public_key(stored.sender),
            }
        )

    async def is_sender(self, request: web.BaseRequest, _: bytes) -> web.Response:
        return web.Response(text=str(self._manager.is_sender(_hash_in_path(request))).lower())

    async def participants(self, request: web.BaseRequest, _: bytes) -> web.Response:
        participants = self._manager.participants(_hash_in_path(request))
        return web.Response(text=",".join(map(format_public_key, participants)))

    async def mandatory(self, request: web.BaseRequest, _: bytes) -> web.Response:
        self._manager.participants(_hash_in_path(request))  # not found where the payload is not
        return web.Response(text="")

    async def create(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = _Json(body)
        fields.refuse_enhanced_privacy()
        sender = fields.key("from") or self._manager.enclave.default_key
        sealed = self._manager.enclave.seal(fields.octets("payload"), sender, fields.keys("to") or [sender])
        return _json(
            {
                "senderKey": _base64(sealed.sender),
                "cipherText": _base64(sealed.cipher_text),
                "cipherTextNonce": _base64(sealed.nonce),
                "recipientBoxes": list(map(_base64, sealed.recipient_boxes)),
                "recipientNonce": _base64(sealed.recipient_nonce),
                "recipientKeys": list(map(_base64, sealed.recipient_keys)),
            }
        )

    async def decrypt(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = _Json(body)
        boxes = fields.octet_list("recipientBoxes", BOX_BYTES)
        keys = fields.octet_list("recipientKeys", KEY_BYTES)
        if keys and len(keys) != len(boxes):
            raise BadRequestError(f"{len(boxes)} recipientBoxes for {len(keys)} recipientKeys")
        sealed = EncryptedPayload(
            fields.octets("senderKey", KEY_BYTES),
            fields.octets("cipherText"),
            fields.octets("cipherTextNonce", NONCE_BYTES),
            boxes,
            fields.octets("recipientNonce", NONCE_BYTES),
            keys,
        )
        if len(sealed.cipher_text) < MAC_BYTES:
            raise BadRequestError("cipherText is too short")
        payload = self._manager.enclave.open(sealed)
        return _json(
            {
                "payload": _base64(payload),
                "affectedContractTransactions": [],
                "execHash": "",
                "privacyFlag": 0,
                "managedParties": list(map(format_public_key, self._manager.managed(sealed))),
                "senderKey": format_public_key(sealed.sender),
            }
        )

    async def groups(self, _: web.BaseRequest, __: bytes) -> web.Response:
        """Resident groups belong to multiple private states, which are not offered: there are none."""
        return _json([])

    async def parties(self, _: web.BaseRequest, __: bytes) -> web.Response:
        """Not GoQuorum's: what this transaction manager knows of its network, for whoever operates it."""
        parties = self._manager.parties
        return _json(
            {
                "url": parties.own_url,
                "keys": list(map(format_public_key, parties.own_keys)),
                "peers": [
                    {
                        "url": peer.url,
                        "answered": peer.answered,
                        "keys": sorted(map(format_public_key, peer.keys)),
                    }
                    for peer in parties.peers.values()
                ],
            }
        )

    async def keys(self, _: web.BaseRequest, __: bytes) -> web.Response:
        """This node's TM public keys, as Tessera's API for third parties tells them; web3js-quorum asks for them."""
        return _keys_told(self._manager.parties.own_keys)

    async def party_keys(self, _: web.BaseRequest, __: bytes) -> web.Response:
        """All TM public keys of the network that are known here, this node's own first."""
        parties = self._manager.parties
        others = sorted(key for peer in parties.peers.values() for key in peer.keys)
        return _keys_told(dict.fromkeys((*parties.own_keys, *others)))

    def _sent(self, sent: EncryptedPayload) -> web.Response:
        return _json(
            {
                "key": _base64(sent.hash),
                "managedParties": list(map(format_public_key, self._manager.managed(sent))),
                "senderKey": format_public_key(sent.sender),
            }
        )


class _Public:
    def __init__(self, manager: TransactionManager) -> None:
        self._manager = manager

    async def push(self, _: web.BaseRequest, body: bytes) -> web.Response:
        return web.Response(text=_base64(await self._manager.take(decode_payload(body))))

    async def party_info(self, _: web.BaseRequest, body: bytes) -> web.Response:
        info, dialect = decode_party_info(body)
        return web.Response(body=encode_party_info(self._manager.meet(info), dialect), content_type=_OCTETS)

    async def resend(self, request: web.BaseRequest, body: bytes) -> web.Response:
        fields = _Json(body)
        key = fields.key("publicKey")
        if key is None:
            raise BadRequestError("publicKey is missing")
        kind = fields.text("type").lower()
        try:
            self._manager.require_holder(key, body, request.headers.get("Authorization", ""))
        except UnprovenError as error:
            answer = _failure(error.status, error.message)
            answer.headers["WWW-Authenticate"] = self._manager.challenges.header()
            return answer
        if kind == "individual":
            part = await self._manager.resend_one(_hash(fields.octets("key")), key)
            return web.Response(body=encode_payload(part), content_type=_OCTETS)
        if kind == "all":
            count = await self._manager.resend_all(key)
            log.info("resent %d payloads to %s", count, format_public_key(key))
            return web.Response(text="")
        raise BadRequestError(f"type must be ALL or INDIVIDUAL, not {kind[:40]!r}")


class _Json:
    """A request body that is to be a JSON object. Fields that are null count as absent, as Go writes empty lists."""

    def __init__(self, body: bytes) -> None:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadRequestError("the body is not JSON") from error
        if not isinstance(document, dict):
            raise BadRequestError("the body is not a JSON object")
        self._document: dict[str, Any] = document

    def text(self, name: str) -> str:
        value = self._document.get(name)
        if not isinstance(value, str):
            raise BadRequestError(f"{name} must be a string")
        return value

    def octets(self, name: str, size: int | None = None) -> bytes:
        return _octets(self.text(name), name, size)

    def octet_list(self, name: str, size: int) -> tuple[bytes, ...]:
        return tuple(_octets(item, name, size) for item in self._texts(name))

    def key(self, name: str) -> bytes | None:
        return _key(self.text(name), name) if self._document.get(name) else None

    def keys(self, name: str) -> list[bytes]:
        return [_key(item, name) for item in self._texts(name)]

    def refuse_enhanced_privacy(self) -> None:
        for name in ("privacyFlag", "affectedContractTransactions", "execHash", "mandatoryRecipients"):
            if self._document.get(name):
                raise BadRequestError(f"{name}: only standard private transactions are offered")

    def _texts(self, name: str) -> list[str]:
        value = self._document.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise BadRequestError(f"{name} must be a list of strings")
        return value


def _octets(text: str, name: str, size: int | None = None) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequestError(f"{name} is not base64") from error
    if size is not None and len(content) != size:
        raise BadRequestError(f"{name} has {len(content)} bytes, not {size}")
    return content


def _key(text: str, name: str) -> bytes:
    try:
        return parse_public_key(text)
    except TmKeyError as error:
        raise BadRequestError(f"{name}: {error.message}") from error


def _hash(content: bytes) -> bytes:
    if len(content) != HASH_BYTES:
        raise BadRequestError(f"a payload hash has {HASH_BYTES} bytes, not {len(content)}")
    return content


def _hash_in_path(request: web.BaseRequest) -> bytes:
    return _hash(_octets(unquote(request.rel_url.raw_path.split("/")[2]), "the payload hash"))


def _key_header(request: web.BaseRequest, name: str) -> bytes | None:
    text = request.headers.get(name, "")
    return _key(text, name) if text else None


def _keys_header(request: web.BaseRequest, name: str) -> list[bytes]:
    texts = (text for value in request.headers.getall(name, []) for text in value.split(","))
    return [_key(text, name) for text in texts if text.strip()]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _keys_told(keys: Iterable[bytes]) -> web.Response:
    return _json({"keys": [{"key": format_public_key(key)} for key in keys]})


def _json(document: object) -> web.Response:
    return web.Response(text=json.dumps(document), content_type=_JSON)


def _failure(status: int, message: str) -> web.Response:
    response = web.Response(status=status, text=message + "\n", content_type=_TEXT)
    if status in (403, 408, 413, 503):
        # What is left of such a request's body is not read.
        response.force_close()
    return response
