"""JSON-RPC over HTTP."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Self

from quorumkit.errors import RpcError
from quorumkit.foreign import one_line
from quorumkit.rpc.base import CALL_TIMEOUT, HEAD_IDLE, LARGEST_ANSWER, parse_answer, quantity, result_of
from quorumkit.urls import shown_urls

if TYPE_CHECKING:
    import aiohttp

_HEAD_POLL = 0.1  # seconds; HTTP has no notifications
_RETRY = 0.3  # seconds between two tries to reach a client that is starting


class HttpRpc:
    """One client by its URL."""

    def __init__(self, url: str, *, where: str | None = None) -> None:
        self._url = url
        self._where = where or shown_urls([url])[url]
        self._ids = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    async def call(self, method: str, *params: Any, timeout: float = CALL_TIMEOUT) -> Any:
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession()
        request = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}
        try:
            async with self._session.post(
                self._url, json=request, timeout=aiohttp.ClientTimeout(total=timeout)
            ) as response:
                content = await _bounded(response)
                answer = _json(content, response.status)
        except TimeoutError:
            raise RpcError(f"{self._where}: {method}: no answer in {timeout:g} s") from None
        except (aiohttp.ClientError, ValueError, OSError) as error:
            reason = one_line(error or type(error).__name__).replace(self._url, self._where)
            raise RpcError(f"{self._where}: {method}: {reason}") from None
        return result_of(answer, method, self._where)

    async def heads(self) -> AsyncGenerator[int]:
        last, yielded_at = -1, 0.0
        while True:
            number = quantity(await self.call("eth_blockNumber"), "eth_blockNumber", self._where)
            if number != last or time.monotonic() - yielded_at > HEAD_IDLE:
                last, yielded_at = number, time.monotonic()
                yield number
            await asyncio.sleep(_HEAD_POLL)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(2**16):
        content += chunk
        if len(content) > LARGEST_ANSWER:
            raise ValueError(f"an answer of more than {LARGEST_ANSWER} bytes")
    return bytes(content)


def _json(content: bytes, status: int) -> Any:
    try:
        return parse_answer(content)
    except ValueError:
        raise ValueError(f"not a JSON-RPC answer (HTTP status {status})") from None


async def connect_patiently(url: str, *, timeout: float) -> HttpRpc:
    """A connection to a client that may be only just starting.

    Raises:
        RpcError: it has not answered in that time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    rpc = HttpRpc(url)
    while True:
        try:
            await rpc.call("eth_chainId")
        except RpcError:
            if loop.time() >= deadline:
                await rpc.close()
                raise
            await asyncio.sleep(_RETRY)
        else:
            return rpc
