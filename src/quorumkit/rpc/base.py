"""What both transports answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol, Self

from quorumkit.errors import RpcError

HEAD_IDLE = 1.0
"""Seconds without a new head after which `heads` tells the last one again."""

CALL_TIMEOUT = 10.0
"""Seconds a client may take to answer one request."""


class Rpc(Protocol):
    """A connection to one client. Used as an async context manager, so that it is always closed."""

    async def call(self, method: str, *params: Any, timeout: float = CALL_TIMEOUT) -> Any:
        """The `result` of one request.

        Raises:
            RpcError: the client answered with an error, or not at all.
        """
        ...

    def heads(self) -> AsyncGenerator[int]:
        """Block numbers as they come: the current one at once, then one for each new head; and the last one again after
        a second without any, for some chains make blocks only when there is something to put in."""
        ...

    async def close(self) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc: object) -> None: ...


def result_of(answer: Any, method: str, where: str) -> Any:
    """The result in a JSON-RPC answer (specification, section 5)."""
    if not isinstance(answer, dict):
        raise RpcError(f"{where}: {method}: not a JSON-RPC answer")
    if answer.get("error") is not None:
        error = answer["error"]
        message = error.get("message", error) if isinstance(error, dict) else error
        raise RpcError(f"{where}: {method}: {message}")
    return answer.get("result")
