"""CometBFT's RPC, over its unix socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from quorumkit.errors import RpcError
from quorumkit.rpc import unix_http
from quorumkit.rpc.base import CALL_TIMEOUT, parse_answer, result_of


class CometRpc:
    """Of one running CometBFT. Each call has a connection of its own."""

    def __init__(self, socket: Path, *, where: str = "CometBFT") -> None:
        """`where` names it in errors."""
        self._socket = socket
        self._where = where

    async def call(self, method: str, *, within: float = CALL_TIMEOUT, **parameters: Any) -> Any:
        """The result of a method; parameters are written as JSON into the query (rpc/jsonrpc/server, http_uri_handler).

        Raises:
            RpcError: it answered with an error, or not at all.
        """
        query = urlencode({name: json.dumps(value) for name, value in parameters.items()}, quote_via=quote)
        _, body = await unix_http.get(self._socket, f"/{method}?{query}" if query else f"/{method}", within=within)
        try:
            answer = parse_answer(body)
        except ValueError:
            raise RpcError(f"{self._where}: {method}: not a JSON-RPC answer") from None
        return result_of(answer, method, self._where)
