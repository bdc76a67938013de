"""Answers of the two APIs, and how they write bytes and keys."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from aiohttp import web

from quorumkit.tm.keys import format_public_key

OCTETS = "application/octet-stream"
_TEXT = "text/plain"
_JSON = "application/json"


def to_base64(content: bytes) -> str:
    """As JSON and headers hold bytes."""
    return base64.b64encode(content).decode()


def keys_answer(keys: Iterable[bytes]) -> web.Response:
    """TM public keys, as Tessera lists them."""
    return json_answer({"keys": [{"key": format_public_key(key)} for key in keys]})


def json_answer(document: object) -> web.Response:
    """A document, in JSON."""
    return web.Response(text=json.dumps(document), content_type=_JSON)


def failure(status: int, message: str) -> web.Response:
    """What was wrong, in a line of text."""
    response = web.Response(status=status, text=message + "\n", content_type=_TEXT)
    if status in (403, 408, 413, 503):
        # What is left of such a request's body is not read.
        response.force_close()
    return response
