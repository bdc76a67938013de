"""What a request to one of the two APIs holds, read and checked. Each raises BadRequestError that names the field."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from quorumkit.tm.errors import BadRequestError, TmKeyError
from quorumkit.tm.keys import parse_public_key
from quorumkit.tm.wire import HASH_BYTES


class JsonBody:
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
        return octets_in(self.text(name), name, size)

    def octet_list(self, name: str, size: int) -> tuple[bytes, ...]:
        return tuple(octets_in(item, name, size) for item in self._texts(name))

    def key(self, name: str) -> bytes | None:
        return key_in(self.text(name), name) if self._document.get(name) else None

    def keys(self, name: str) -> list[bytes]:
        return [key_in(item, name) for item in self._texts(name)]

    def refuse_enhanced_privacy(self) -> None:
        for name in ("privacyFlag", "affectedContractTransactions", "execHash", "mandatoryRecipients"):
            if self._document.get(name):
                raise BadRequestError(f"{name}: only standard private transactions are offered")

    def _texts(self, name: str) -> list[str]:
        value = self._document.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise BadRequestError(f"{name} must be a list of strings")
        return value


def octets_in(text: str, name: str, size: int | None = None) -> bytes:
    """The bytes that `text` is the base64 of; `name` is the field's, and `size` how many they must be."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequestError(f"{name} is not base64") from error
    if size is not None and len(content) != size:
        raise BadRequestError(f"{name} has {len(content)} bytes, not {size}")
    return content


def key_in(text: str, name: str) -> bytes:
    """The TM public key in a text."""
    try:
        return parse_public_key(text)
    except TmKeyError as error:
        raise BadRequestError(f"{name}: {error.message}") from error


def payload_hash_in(content: bytes) -> bytes:
    """The payload hash that these bytes are."""
    if len(content) != HASH_BYTES:
        raise BadRequestError(f"a payload hash has {HASH_BYTES} bytes, not {len(content)}")
    return content


def hash_in_path(request: web.BaseRequest) -> bytes:
    """The payload hash in `/transaction/HASH`."""
    return payload_hash_in(octets_in(unquote(request.rel_url.raw_path.split("/")[2]), "the payload hash"))


def key_header(request: web.BaseRequest, name: str) -> bytes | None:
    """The TM public key in a header; None where it is empty or missing."""
    text = request.headers.get(name, "")
    return key_in(text, name) if text else None


def keys_header(request: web.BaseRequest, name: str) -> list[bytes]:
    """All TM public keys in headers of that name, which commas divide."""
    texts = (text for value in request.headers.getall(name, []) for text in value.split(","))
    return [key_in(text, name) for text in texts if text.strip()]
