"""CometBFT's ABCI socket protocol, the side that answers (its source: abci/client/socket_client.go, libs/protoio).

Each message is a protobuf message after its length (an unsigned varint, as protobuf has it). CometBFT opens four
connections, for consensus, mempool, queries and snapshots; on each, answers come in the order of the requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError, Message

from quorumkit.engines.bft.bridge import abci_pb2 as abci
from quorumkit.errors import QuorumkitError
from quorumkit.files import SECRET_MODE
from quorumkit.rpc.sockets import short_socket_path

LARGEST_MESSAGE: Final = 64 * 1024 * 1024
"""Bytes. CometBFT's blocks have at most 100 MB, ours at most 20 MiB (consensus parameter block.max_bytes)."""

Handler = Callable[[Any], Awaitable[Message]]
"""Answers one kind of request: takes `abci.RequestX`, gives `abci.ResponseX`."""

_BUFFER = 1024 * 1024  # bytes that are taken from a connection ahead of what is waited for


class WireError(QuorumkitError):
    """What came is no ABCI, or an answer could not be made: consensus cannot go on."""


class Server:
    """Answers on a unix socket until it is closed.

    A request that fails is answered with an exception, which ends CometBFT, and `failed` holds the reason: going on
    would mean to guess what the answer would have been.
    """

    def __init__(self, handlers: dict[str, Handler], *, say: Callable[[str, str], None]) -> None:
        """`handlers` by the name of their request in the message `Request`."""
        self._handlers = handlers | {"echo": _echo, "flush": _flush}
        self._say = say
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._closing = False
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def listen(self, path: Path) -> None:
        """Only the owner can connect. A socket that a killed one left there is replaced.

        Raises:
            WireError: it cannot listen there.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            path.unlink(missing_ok=True)
            with short_socket_path(path) as name:
                listener.bind(name)
                # Nobody can connect before it listens.
                Path(name).chmod(SECRET_MODE)
            self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=_BUFFER)
        except OSError as error:
            listener.close()
            raise WireError(f"{path}: cannot listen there ({error.strerror or error})") from error
        self._path = path

    async def wait(self) -> None:
        """Until a request fails.

        Raises:
            QuorumkitError: why.
        """
        await asyncio.shield(self._failed)

    async def close(self) -> None:
        """Ends all connections and whatever is being answered."""
        self._closing = True
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._failed.done():
            self._failed.exception()  # taken note of
        else:
            self._failed.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._closing:  # one that was accepted before comes up after the end
                await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # `close`; the event loop would complain of a cancelled one
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # CometBFT ended, and says itself why
        except WireError as error:
            self._say("ERROR", error.message)
            self._fail(error)
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await _read(reader)
            kind = request.WhichOneof("value")
            response = abci.Response()
            failure: QuorumkitError | None = None
            try:
                handler = self._handlers.get(kind or "")
                if handler is None:
                    raise WireError(
                        f"CometBFT asks for {kind or 'something unknown'}, which the bridge does not answer"
                    )
                getattr(response, kind).CopyFrom(await handler(getattr(request, kind)))
            except QuorumkitError as error:
                failure = error
            except Exception as error:  # whatever it is: an answer that was not thought of must not be given
                failure = WireError(f"the bridge cannot answer {kind}: {type(error).__name__}: {error}")
                failure.__cause__ = error
            if failure is not None:
                response = abci.Response(exception=abci.ResponseException(error=failure.message))
            writer.write(framed(response))
            try:
                await writer.drain()
            finally:
                if failure is not None:
                    self._say("ERROR", failure.message)
                    self._fail(failure)

    def _fail(self, error: QuorumkitError) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)


def framed(message: Message) -> bytes:
    """A message after its length."""
    content = message.SerializeToString()
    length, prefix = len(content), bytearray()
    while length >= 0x80:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + content


async def _read(reader: asyncio.StreamReader) -> abci.Request:
    """The next request.

    Raises:
        asyncio.IncompleteReadError: the connection ended.
        WireError: it is none.
    """
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if length > LARGEST_MESSAGE or shift > 63:
            raise WireError(f"CometBFT sends a message of more than {LARGEST_MESSAGE} bytes")
        if byte < 0x80:
            break
    try:
        return abci.Request.FromString(await reader.readexactly(length))
    except DecodeError:
        raise WireError("CometBFT sends what is no ABCI request") from None


async def _echo(request: abci.RequestEcho) -> abci.ResponseEcho:
    return abci.ResponseEcho(message=request.message)


async def _flush(request: abci.RequestFlush) -> abci.ResponseFlush:
    return abci.ResponseFlush()
