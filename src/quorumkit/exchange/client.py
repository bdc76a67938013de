"""Asking another node's exchange."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from pydantic import ValidationError

from quorumkit.addresses import Endpoint
from quorumkit.errors import QuorumkitError
from quorumkit.exchange import waiting
from quorumkit.exchange.authentication import ANSWER_HEADER, JoinKeys, open_answer, seal_request
from quorumkit.exchange.names import Resolver
from quorumkit.exchange.protocol import PULL_PATH, ErrorAnswer, PullAnswer, PullRequest, parse
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.server import CONTENT_TYPE
from quorumkit.foreign import one_line

LARGEST_ANSWER = 8 * 2**20
"""Bytes; the largest true one, of 2000 nodes, is about 3 MB."""

_LARGEST_HEADER = 4096
_MOST_HEADERS = 64


class UnreachableError(QuorumkitError):
    """There was no answer; the message is a few words for a list of what is missing."""


class RefusedError(QuorumkitError):
    """The other node did not grant a request."""

    def __init__(self, code: str, message: str, *, hint: str | None, authentic: bool) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.authentic = authentic
        """Whether it was said by a node that knows the join secret."""


class ExchangeClient:
    """Asks with one set of keys. `close` it."""

    def __init__(
        self,
        keys: JoinKeys,
        resolver: Resolver,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._resolver = resolver
        self._tls = tls
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self.requests = 0
        """How many were sent."""

    async def pull(self, to: Endpoint, request: PullRequest) -> PullAnswer:
        """Sends one request.

        Raises:
            UnreachableError: there was no answer.
            RefusedError: the answer was no.
            Refusal: what answered is no node of this network, or of another version.
        """
        scheme = "https" if self._tls else "http"
        header, body, nonce = seal_request(
            self._keys, "POST", PULL_PATH, request.model_dump_json().encode(), now=self._clock()
        )
        headers = {"Authorization": header, "Content-Type": CONTENT_TYPE}
        timeout = aiohttp.ClientTimeout(total=request.wait + waiting.ANSWER, sock_connect=waiting.CONNECT)
        self.requests += 1
        try:
            async with self._connected().post(
                f"{scheme}://{to}{PULL_PATH}", data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                proof = response.headers.get(ANSWER_HEADER)
                answer = await _bounded(response, str(to))
                status = response.status
        except TimeoutError:
            raise UnreachableError("no answer in time") from None
        except aiohttp.ClientConnectorDNSError:
            raise UnreachableError("name not found") from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise UnreachableError(one_line(f"certificate not accepted: {error.certificate_error}")) from None
        except Refusal:
            raise
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(_reason(error)) from None
        except Exception as error:
            # What answers made aiohttp fail in a way that it does not foresee; there is nothing to be had of it.
            raise UnreachableError(one_line(f"no HTTP that can be read ({type(error).__name__})")) from None
        if proof is None and status != 200:
            raise _refusal(answer, str(to), authentic=False)
        content = open_answer(self._keys, status, nonce, proof, answer, source=str(to))
        if status != 200:
            raise _refusal(content, str(to), authentic=True)
        return parse(PullAnswer, content, source=str(to))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_Names(self._resolver),
                use_dns_cache=False,
                ssl=self._tls if self._tls else True,
                limit=0,
                keepalive_timeout=20.0,
            )
            # No proxy and no .netrc of the environment: nodes speak to each other and to nobody else.
            self._session = aiohttp.ClientSession(
                connector=connector,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                max_line_size=_LARGEST_HEADER,
                max_field_size=_LARGEST_HEADER,
                max_headers=_MOST_HEADERS,
            )
        return self._session


class _Names(AbstractResolver):
    """Our resolver, as aiohttp wants it."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._resolver.addresses(host)
        if not addresses:
            raise OSError(f"{host}: name not found")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


async def _bounded(response: aiohttp.ClientResponse, source: str) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        content += chunk
        if len(content) > LARGEST_ANSWER:
            raise Refusal("too_large", f"{source}: an answer of more than {LARGEST_ANSWER} bytes")
    return bytes(content)


def _refusal(content: bytes, source: str, *, authentic: bool) -> QuorumkitError:
    try:
        answer = ErrorAnswer.model_validate_json(content)
    except ValidationError:
        return UnreachableError(f"what answers at {source} is no Quorumkit exchange")
    hint = one_line(answer.hint) if answer.hint else None
    return RefusedError(one_line(answer.error), one_line(answer.message), hint=hint, authentic=authentic)


def _reason(error: Any) -> str:
    """In a few words, which may be those of what answered."""
    number = None if isinstance(error, aiohttp.ClientResponseError) else getattr(error, "errno", None)
    inner = getattr(getattr(error, "os_error", None), "errno", None) or number
    return one_line(os.strerror(inner) if inner else str(error) or type(error).__name__, longest=120).lower()
