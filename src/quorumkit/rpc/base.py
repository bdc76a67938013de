"""What both transports answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any, Protocol, Self

from quorumkit.errors import RpcError
from quorumkit.foreign import one_line

HEAD_IDLE = 1.0
"""Seconds without a new head after which `heads` tells the last one again."""

CALL_TIMEOUT = 10.0
"""Seconds a client may take to answer one request."""

_LONGEST_QUANTITY = 2 + 64  # characters: 256 bits


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


LARGEST_ANSWER = 64 * 2**20
"""Bytes; one answer can hold a whole block's traces."""


def parse_answer(text: bytes) -> Any:
    """The JSON value.

    Raises:
        ValueError: it is none, or nested beyond measure.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested beyond measure") from None


def result_of(answer: Any, method: str, where: str) -> Any:
    """The result in a JSON-RPC answer (specification, section 5)."""
    if not isinstance(answer, dict):
        raise RpcError(f"{where}: {method}: not a JSON-RPC answer")
    if answer.get("error") is not None:
        error = answer["error"]
        message = error.get("message", error) if isinstance(error, dict) else error
        failure = RpcError(f"{where}: {method}: {one_line(message, longest=1000)}")
        code = error.get("code") if isinstance(error, dict) else None
        failure.code = code if isinstance(code, int) else 0
        raise failure
    return answer.get("result")


def quantity(value: Any, method: str, where: str) -> int:
    """A number as JSON-RPC writes it: hexadecimal digits after 0x (Ethereum JSON-RPC, "quantities").

    Raises:
        RpcError: it is none.
    """
    if isinstance(value, str) and len(value) <= _LONGEST_QUANTITY and value.startswith("0x"):
        with contextlib.suppress(ValueError):
            return int(value, 16)
    raise RpcError(f"{where}: {method}: {one_line(repr(value), longest=80)} is not a quantity")


@contextlib.contextmanager
def expecting(what: str) -> Iterator[None]:
    """What is taken out of answers inside the block may not be there: then they are not what `what` should be.

    Raises:
        RpcError: in place of the error that a value of another shape gives.
    """
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise RpcError(f"{what}: an answer of another shape ({one_line(error, longest=80)})") from error
