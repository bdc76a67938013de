"""HTTP over a unix socket, a connection a request."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from quorumkit.errors import RpcError
from quorumkit.rpc.base import CALL_TIMEOUT, LARGEST_ANSWER
from quorumkit.rpc.sockets import short_socket_path

_LONGEST_HEAD = 2**16


async def get(socket: Path, target: str, *, within: float | None = CALL_TIMEOUT) -> tuple[int, bytes]:
    """Status and body of the answer to `GET TARGET`, which is percent-encoded already. Version 1.0 has the other side
    close the connection behind its answer, and not send it in chunks (RFC 1945).

    Raises:
        RpcError: nobody listens there, what answers does not speak HTTP, or not within so many seconds.
    """
    writer = None
    try:
        async with asyncio.timeout(within):
            with short_socket_path(socket) as name:
                reader, writer = await asyncio.open_unix_connection(name, limit=_LONGEST_HEAD)
            writer.write(f"GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            return await _answer(reader)
    except TimeoutError:
        raise RpcError(f"{socket}: no answer in {within:g} s") from None
    except OSError as error:
        raise RpcError(f"{socket}: not reachable ({error.strerror or error})") from None
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, LookupError):
        raise RpcError(f"{socket}: not an answer by HTTP") from None
    finally:
        if writer is not None:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    version, status = head.split(maxsplit=2)[:2]
    if not version.startswith(b"HTTP/1."):
        raise ValueError("another protocol")
    body = bytearray()
    while part := await reader.read(2**16):
        body += part
        if len(body) > LARGEST_ANSWER:
            raise ValueError("more than anybody takes")
    return int(status), bytes(body)


async def is_answered(socket: Path, path: str, word: str) -> bool:
    """Whether a request for that path is answered with status 200 and that word."""
    with contextlib.suppress(RpcError):
        status, body = await get(socket, path, within=5.0)
        return status == 200 and word.encode() in body
    return False
