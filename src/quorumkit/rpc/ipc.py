"""JSON-RPC over a unix socket: one JSON value a line, notifications for subscriptions (geth's IPC endpoint)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Self

from quorumkit.errors import RpcError
from quorumkit.rpc.base import CALL_TIMEOUT, HEAD_IDLE, LARGEST_ANSWER, parse_answer, quantity, result_of
from quorumkit.rpc.sockets import short_socket_path

_MOST_WAITING = 10_000  # notifications of a subscription that nobody has taken yet
_MOST_EARLY = 100  # notifications of subscriptions that nobody knows of yet
_BREATH = 100  # messages after which others have their turn


def _encoded(request: Any) -> bytes:
    return json.dumps(request).encode()


class IpcRpc:
    """One connection to a unix socket. `connect` makes it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: str,
        *, encode: Callable[[Any], bytes] = _encoded, decode: Callable[[bytes], Any] = parse_answer,
    ) -> None:  # fmt: skip
        self._encode = encode
        self._decode = decode
        self._reader = reader
        self._writer = writer
        self._where = where
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._subscriptions: dict[str, asyncio.Queue[Any]] = {}
        # A notification can arrive before the caller has seen the answer that names its subscription.
        self._early: dict[str, list[Any]] = {}
        self._ended: set[str] = set()
        """Subscriptions that nobody follows any more, although the other side goes on telling."""
        self._closed = False
        self._receiver = asyncio.create_task(self._receive(), name=f"ipc {where}")

    @classmethod
    async def connect(
        cls, path: Path, *, where: str | None = None,
        encode: Callable[[Any], bytes] = _encoded, decode: Callable[[bytes], Any] = parse_answer,
    ) -> Self:  # fmt: skip
        """Connects; `where` names the other side in errors. Who exchanges megabytes brings quicker ways than the
        standard library's to write and read JSON; `decode` raises a ValueError for what is none.

        Raises:
            RpcError: nobody listens there.
        """
        where = where or str(path)
        try:
            with short_socket_path(path) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=LARGEST_ANSWER)
        except OSError as error:
            raise RpcError(f"{where}: not reachable over its socket ({error.strerror or error})") from None
        return cls(reader, writer, where, encode=encode, decode=decode)

    async def call(self, method: str, *params: Any, timeout: float = CALL_TIMEOUT) -> Any:
        if self._closed:
            raise RpcError(f"{self._where}: {method}: the connection is closed")
        request_id = next(self._ids)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}
        try:
            self._writer.write(self._encode(request) + b"\n")
            async with asyncio.timeout(timeout):
                await self._writer.drain()
                answer = await future
        except TimeoutError:
            raise RpcError(f"{self._where}: {method}: no answer in {timeout:g} s") from None
        except OSError as error:
            raise RpcError(f"{self._where}: {method}: connection lost ({error.strerror or error})") from None
        finally:
            self._waiting.pop(request_id, None)
            if future.done() and not future.cancelled():
                future.exception()  # taken note of, even where something else failed before
        return result_of(answer, method, self._where)

    async def subscribe(self, *params: Any, namespace: str = "eth", idle: float | None = None) -> AsyncGenerator[Any]:
        """The notifications of one subscription (geth's pub/sub), until the connection ends; and None after each `idle`
        seconds without one.

        Raises:
            RpcError: the client refused the subscription, or the connection was lost.
        """
        subscription = await self.call(f"{namespace}_subscribe", *params)
        if not isinstance(subscription, str):
            raise RpcError(f"{self._where}: {namespace}_subscribe: not a subscription")
        queue: asyncio.Queue[Any] = asyncio.Queue()
        for early in self._early.pop(subscription, []):
            queue.put_nowait(early)
        self._subscriptions[subscription] = queue
        if self._closed:
            queue.put_nowait(None)
        try:
            while True:
                try:
                    async with asyncio.timeout(idle):
                        item = await queue.get()
                except TimeoutError:
                    yield None
                    continue
                if item is None:
                    break
                yield item
            raise RpcError(f"{self._where}: connection lost")
        finally:
            self._subscriptions.pop(subscription, None)
            self._ended.add(subscription)

    async def heads(self) -> AsyncGenerator[int]:
        async with contextlib.aclosing(self.subscribe("newHeads", idle=HEAD_IDLE)) as heads:
            yield await self._head()
            async for head in heads:
                # geth answers a subscription a moment before it takes effect: a head that comes in that moment is told
                # to nobody, and where blocks come on demand there may be no other for long.
                number = head.get("number") if isinstance(head, dict) else head
                yield await self._head() if head is None else quantity(number, "newHeads", self._where)

    async def _head(self) -> int:
        return quantity(await self.call("eth_blockNumber"), "eth_blockNumber", self._where)

    @property
    def is_open(self) -> bool:
        """Whether the other side has not closed the connection yet."""
        return not self._closed

    async def closed(self) -> None:
        """Returns when the other side has closed the connection."""
        await asyncio.wait([self._receiver])

    async def close(self) -> None:
        self._receiver.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._receiver
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _receive(self) -> None:
        """Until the connection is lost, or the other side speaks nonsense or more than anybody takes: told to every
        waiter then."""
        received = 0
        try:
            while line := await self._reader.readline():
                self._dispatch(self._decode(line))
                received += 1
                if received % _BREATH == 0:
                    await asyncio.sleep(0)
        except (OSError, ValueError, TypeError):
            pass
        finally:
            self._closed = True
            self._early.clear()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(RpcError(f"{self._where}: connection lost"))
            for queue in self._subscriptions.values():
                queue.put_nowait(None)

    def _dispatch(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        if "id" in message:
            future = self._waiting.get(message["id"])
            if future is not None and not future.done():
                future.set_result(message)
            return
        params = message.get("params")
        if not isinstance(params, dict) or "subscription" not in params:
            return
        subscription, result = params["subscription"], params.get("result")
        if not isinstance(subscription, str):
            raise ValueError("not a subscription")
        queue = self._subscriptions.get(subscription)
        if result is None or subscription in self._ended:
            pass  # None is how the end of the connection is told
        elif queue is not None:
            if queue.qsize() >= _MOST_WAITING:
                raise ValueError("more than anybody takes")
            queue.put_nowait(result)
        else:
            if sum(map(len, self._early.values())) >= _MOST_EARLY:
                raise ValueError("more than anybody asked for")
            self._early.setdefault(subscription, []).append(result)
