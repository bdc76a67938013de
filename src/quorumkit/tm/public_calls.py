"""What the public API does: the calls of other transaction managers."""

from __future__ import annotations

import logging

from aiohttp import web

from quorumkit.tm.answers import OCTETS, failure, to_base64
from quorumkit.tm.errors import BadRequestError, UnprovenError
from quorumkit.tm.keys import format_public_key
from quorumkit.tm.manager import TransactionManager
from quorumkit.tm.requests import JsonBody, payload_hash_in
from quorumkit.tm.wire import decode_party_info, decode_payload, encode_party_info, encode_payload

log = logging.getLogger(__name__)


class PublicCalls:
    """One method a call; each gets the request and its body."""

    def __init__(self, manager: TransactionManager) -> None:
        self._manager = manager

    async def push(self, _: web.BaseRequest, body: bytes) -> web.Response:
        return web.Response(text=to_base64(await self._manager.take(decode_payload(body))))

    async def party_info(self, _: web.BaseRequest, body: bytes) -> web.Response:
        info, dialect = decode_party_info(body)
        return web.Response(body=encode_party_info(self._manager.meet(info), dialect), content_type=OCTETS)

    async def resend(self, request: web.BaseRequest, body: bytes) -> web.Response:
        fields = JsonBody(body)
        key = fields.key("publicKey")
        if key is None:
            raise BadRequestError("publicKey is missing")
        kind = fields.text("type").lower()
        try:
            self._manager.resending.require_holder(key, body, request.headers.get("Authorization", ""))
        except UnprovenError as error:
            answer = failure(error.status, error.message)
            answer.headers["WWW-Authenticate"] = self._manager.resending.challenges.header()
            return answer
        if kind == "individual":
            part = await self._manager.resending.resend_one(payload_hash_in(fields.octets("key")), key)
            return web.Response(body=encode_payload(part), content_type=OCTETS)
        if kind == "all":
            count = await self._manager.resending.resend_all(key)
            log.info("resent %d payloads to %s", count, format_public_key(key))
            return web.Response(text="")
        raise BadRequestError(f"type must be ALL or INDIVIDUAL, not {kind[:40]!r}")
