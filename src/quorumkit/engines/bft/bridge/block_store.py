"""What CometBFT decided, from its own store over its RPC socket."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

from quorumkit.engines.bft.bridge.payload import Payload
from quorumkit.errors import RpcError
from quorumkit.rpc.base import expecting, result_of
from quorumkit.rpc.sockets import short_socket_path

_TIMEOUT = 10.0  # seconds
_WHERE = "CometBFT"


class BlockStore(Protocol):
    """Decided blocks, by the consensus height that decided them."""

    def payloads(self, first: int, last: int) -> AsyncIterator[Payload]:
        """Those of the heights `first` to `last`, in order; a height that decided no block is passed over.

        Raises:
            RpcError: the store cannot be asked, or does not have one of these heights.
        """
        ...


class CometBlockStore:
    """The store of the CometBFT whose RPC socket is at `socket`. It answers once CometBFT has taken up its work."""

    def __init__(self, socket: Path, decode: Callable[[bytes], Payload]) -> None:
        """`decode` raises a ValueError for what is no payload."""
        self._socket = socket
        self._decode = decode

    async def payloads(self, first: int, last: int) -> AsyncIterator[Payload]:
        """See `BlockStore`."""
        import aiohttp

        with short_socket_path(self._socket) as name:
            async with aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(path=name, limit=1), timeout=aiohttp.ClientTimeout(total=_TIMEOUT)
            ) as session:
                for height in range(first, last + 1):
                    for transaction in await _transactions(session, height):
                        yield self._payload(transaction, height)

    def _payload(self, transaction: str, height: int) -> Payload:
        try:
            return self._decode(base64.b64decode(transaction, validate=True))
        except ValueError as error:
            raise RpcError(f"{_WHERE}: height {height}: not a payload ({error})") from None


async def _transactions(session: Any, height: int) -> list[str]:
    import aiohttp
    import orjson

    request = {"jsonrpc": "2.0", "id": height, "method": "block", "params": {"height": str(height)}}
    try:
        async with session.post("http://cometbft/", data=json.dumps(request)) as response:
            answer = orjson.loads(await response.read())
    except TimeoutError:
        raise RpcError(f"{_WHERE}: block {height}: no answer in {_TIMEOUT:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise RpcError(f"{_WHERE}: block {height}: {error or type(error).__name__}") from None
    result = result_of(answer, "block", _WHERE)
    with expecting(f"{_WHERE}: block {height}"):
        if result["block"] is None:
            raise RpcError(f"{_WHERE}: block {height} is not in its store")
        return list(result["block"]["data"]["txs"] or [])
