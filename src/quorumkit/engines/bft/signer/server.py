"""The signer's socket, in the node's directory: only the node's own user can open it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from quorumkit.engines.bft.paths import SIGNER_SOCKET
from quorumkit.engines.bft.signer.key import AccountKey
from quorumkit.engines.bft.signer.requests import LARGEST_REQUEST, Requests, refusal_of_long
from quorumkit.errors import NodeError
from quorumkit.identity.store import load_account_key
from quorumkit.rpc.sockets import short_socket_path

if TYPE_CHECKING:
    from quorumkit.process_spec import Carrier

_MOST_CONNECTIONS = 16
"""geth has one."""
_START = 200  # bytes of a request that are kept of one that is too long


async def serve(carrier: Carrier) -> None:
    """Signs for the node's geth, until it is cancelled. It can be left and begun again under a running geth, which
    connects anew at its next request.

    Raises:
        CorruptFileError: the account's keystore or its password is missing or unreadable.
        NodeError: the password does not open the keystore; or the socket cannot be had.
    """
    account = carrier.record().identity.account
    key = AccountKey(await asyncio.to_thread(load_account_key, carrier.directory, account))
    requests = Requests(
        key,
        chain_id=lambda: carrier.record().chain_id,
        failed=lambda error: carrier.say("ERROR", f"the signer failed: {type(error).__name__}: {error}"),
    )
    async with _listening(carrier.directory / SIGNER_SOCKET, requests):
        carrier.ready()
        await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def _listening(path: Path, requests: Requests) -> AsyncIterator[None]:
    connections: set[asyncio.Task[None]] = set()
    ended = False  # one that was accepted before comes up after the end

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            if not ended and len(connections) <= _MOST_CONNECTIONS:
                await _converse(reader, writer, requests)
        except OSError:
            pass  # the other side is gone
        except asyncio.CancelledError:
            writer.transport.abort()  # the signer ends, whether or not the other side takes what is left
        finally:
            connections.discard(task)
            writer.close()

    listener = _bound(path)
    server = await asyncio.start_unix_server(connected, sock=listener, limit=LARGEST_REQUEST)
    try:
        yield
    finally:
        ended = True
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    """A socket at `path`; one that was left there is replaced (the node's directory is locked by who runs it)."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)  # from its first moment nobody else can open it
        try:
            with short_socket_path(path) as name:
                listener.bind(name)
        finally:
            os.umask(before)
    except OSError as error:
        listener.close()
        raise NodeError(f"{path}: the signer cannot listen there ({error.strerror or error})") from None
    return listener


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Requests) -> None:
    """One request after the other: who takes no answers is asked for no more requests."""
    while True:
        line, whole = await _next_line(reader)
        if not line:
            return
        answer = requests.answer(line) if whole else refusal_of_long(line)
        if answer is None:
            return
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(0)  # the program has other work; many requests may be there already


async def _next_line(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """The next line, nothing at the end; or the beginning of one that is too long, the rest of which is thrown away."""
    start = b""
    while True:
        try:
            line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return b"", True
        except asyncio.LimitOverrunError as error:
            thrown = await reader.readexactly(error.consumed)
            start = start or thrown[:_START]
        else:
            return (start, False) if start else (line, True)
