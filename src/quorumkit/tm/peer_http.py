"""One POST to another transaction manager: bounded, and whatever comes of it a failure of that peer alone."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping

import aiohttp

from quorumkit.foreign import one_line
from quorumkit.tm.errors import RefusedError, TmError, WireError
from quorumkit.tm.parties import Peer
from quorumkit.tm.proof import SCHEME

_REASON = 200
"""Bytes of a refusal that are quoted."""
_LONGEST_ERROR = 2000
"""Characters: it names parties and may be about several."""

_OCTETS = {"Content-Type": "application/octet-stream"}

log = logging.getLogger(__name__)


class PeerHttp:
    """The connections to all peers."""

    def __init__(self, tls: ssl.SSLContext | None, *, timeout: float) -> None:
        """`tls` presents this node's certificate and trusts the network's CA; `timeout` is seconds, unless a call says
        otherwise. To be made with an event loop running."""
        self._session = aiohttp.ClientSession(
            # No cache: a party that moved is found again by its name at the next connection. Bounded for each peer and
            # not together, or some that are slow would keep all the others waiting.
            connector=aiohttp.TCPConnector(
                ssl=tls if tls is not None else True, use_dns_cache=False, limit=0, limit_per_host=32
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=timeout),
        )

    async def close(self) -> None:
        await self._session.close()

    async def post(
        self,
        peer: Peer,
        path: str,
        body: bytes,
        *,
        limit: int,
        timeout: float,
        headers: Mapping[str, str] = _OCTETS,
    ) -> tuple[int, bytes]:
        """The status and the body of the answer, which is at most `limit` bytes.

        Raises RefusedError for an answer that will not change by asking again, WireError for one over the limit, and
        else what aiohttp does, OSError, TimeoutError: a library's own surprise at what a peer sends is a failure of
        that peer, too.
        """
        try:
            return await self._posted(peer, path, body, limit, timeout, headers)
        except (aiohttp.ClientError, OSError, TimeoutError, TmError):
            raise
        except Exception as error:
            log.error("%s: %s", peer.url, type(error).__name__, exc_info=error)
            raise FailedError(f"an answer that cannot be read ({type(error).__name__})") from error

    async def _posted(
        self, peer: Peer, path: str, body: bytes, limit: int, timeout: float, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        async with self._session.post(
            peer.url + path,
            data=body,
            headers=headers,
            allow_redirects=False,  # only the network's own list says where to speak
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > limit:
                    raise WireError(f"{peer.url}: an answer of more than {limit} bytes")
            if response.status in (200, 201):
                return response.status, bytes(answer)
            reason = one_line(f"{response.status} {bytes(answer[:_REASON]).decode(errors='replace')}")
            challenge = response.headers.get("WWW-Authenticate", "")
            if response.status == 401 and challenge.startswith(SCHEME):
                raise ChallengedError(reason, challenge)
            if response.status < 500 and response.status not in (408, 429):
                raise RefusedError(reason)
            raise FailedError(reason)


class ChallengedError(RefusedError):
    """It wants a proof, or a better one."""

    def __init__(self, message: str, challenge: str) -> None:
        super().__init__(message)
        self.challenge = challenge


class FailedError(aiohttp.ClientError):
    """An answer that may change by asking again."""


def describe(error: BaseException) -> str:
    """One printable line for a log or an answer: aiohttp's errors quote what the peer sent."""
    if isinstance(error, TmError):
        return one_line(error.message, longest=_LONGEST_ERROR)
    if isinstance(error, aiohttp.ClientConnectorError):
        return one_line(f"no connection ({error.os_error.strerror or error.os_error})")
    return one_line(error) or type(error).__name__
