"""What a member tells those who join: signed headers and validators, out of its CometBFT.

CometBFT's own RPC would tell all there is and take transactions, connections and evidence besides, so it listens on
nothing but a socket in the node's directory. Here anybody who reaches the port gets what its light client asks for
(light/provider/http, statesync/stateprovider.go), and nothing else: all of it is signed, none of it is secret within a
network, and what is asked is made anew from what was understood. One who asks too much is refused; CometBFT is asked
one thing at a time, so that its work comes first.
"""

from __future__ import annotations

import asyncio
import collections
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.addresses import Endpoint
from quorumkit.engines.bft.files import LIGHT_PORT
from quorumkit.engines.bft.paths import RPC_SOCKET
from quorumkit.errors import PortError
from quorumkit.foreign import one_line
from quorumkit.rpc.sockets import short_socket_path
from quorumkit.serving.guard import Bounds, Guard

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import web

    from quorumkit.process_spec import Carrier

_BOUNDS = Bounds(first_request=5.0, resting=30.0, field=8190, connections=64)
_LARGEST_REQUEST = 4096  # bytes
_LARGEST_ANSWER = 8 * 2**20  # bytes; of CometBFT, for 10,000 validators
_REQUEST_WITHIN = 5.0  # seconds, for a request's body
_ANSWER_WITHIN = 5.0  # seconds, for CometBFT's answer
_MOST_AN_ADDRESS = 400  # requests: what one who joins needs at once, several times over
_AGAIN_A_SECOND = 20.0  # requests
_ADDRESSES = 1024
_MOST_ON_A_PAGE = 100

_INVALID_REQUEST, _NO_SUCH_METHOD, _INVALID_PARAMS, _INTERNAL = -32600, -32601, -32602, -32603  # JSON-RPC 2.0, 5.1

_NUMBERS: Mapping[str, Mapping[str, int]] = {
    "status": {},
    "commit": {"height": 1 << 62},
    "validators": {"height": 1 << 62, "page": 1000, "per_page": _MOST_ON_A_PAGE},
    "consensus_params": {"height": 1 << 62},
}
"""The methods, and of each of their parameters, which are all positive numbers, how large it may be."""


async def serve(carrier: Carrier) -> None:
    """Decides how the node of `carrier` comes into step, and then tells others who join, until it is cancelled.

    Raises:
        QuorumkitError: members show two chains, or the port cannot be had.
    """
    from quorumkit.engines.bft.joining import prepare

    record = carrier.record()
    await prepare(carrier.directory, record, carrier.say)
    bind = Endpoint(record.endpoints.p2p_bind.host, record.endpoints.ports[LIGHT_PORT])
    await LightServer(carrier.directory / RPC_SOCKET).serve(bind, ready=carrier.ready)


class _Refused(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Allowance:
    """How many requests each address may still make: a bucket that fills again with time."""

    def __init__(
        self, most: int = _MOST_AN_ADDRESS, again: float = _AGAIN_A_SECOND, addresses: int = _ADDRESSES
    ) -> None:
        self._most, self._again, self._addresses = most, again, addresses
        self._left: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()
        """By address, the one that asked last at the end: what was left, and when that was."""

    def take(self, address: str, now: float) -> bool:
        """Whether one more may be made; it is counted if so."""
        left, since = self._left.pop(address, (float(self._most), now))
        left = min(float(self._most), left + (now - since) * self._again)
        granted = left >= 1
        self._left[address] = (left - granted, now)
        if len(self._left) > self._addresses:
            self._left.popitem(last=False)
        return granted


class LightServer:
    """Answers on behalf of one CometBFT, whose RPC socket is at `socket`."""

    def __init__(self, socket: Path, allowance: Allowance | None = None) -> None:
        self._socket = socket
        self._turn = asyncio.Lock()
        self._allowance = allowance or Allowance()
        self._session: aiohttp.ClientSession | None = None

    async def serve(self, bind: Endpoint, *, ready: Callable[[], None]) -> None:
        """Until it is cancelled; `ready` is called once it listens.

        Raises:
            PortError: the port cannot be had.
        """
        import aiohttp

        with short_socket_path(self._socket) as name:
            connector = aiohttp.UnixConnector(path=name, limit=1)
            async with aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=_ANSWER_WITHIN)
            ) as self._session:
                guard = Guard(self._handle, _BOUNDS)
                try:
                    async with guard.listening(host=bind.host, port=bind.port):
                        ready()
                        await asyncio.Event().wait()
                except OSError as error:
                    raise PortError(
                        f"port for those who join: {bind}: {error.strerror or error}", hint="stop what holds the port"
                    ) from None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        if request.method != "POST" or request.path != "/":
            return web.Response(status=404)
        if not self._allowance.take(request.remote or "", time.monotonic()):
            return web.Response(status=429, headers={"Retry-After": "1"})
        number: Any = None
        try:
            async with asyncio.timeout(_REQUEST_WITHIN):
                body = await request.content.read(_LARGEST_REQUEST + 1)
                while len(body) <= _LARGEST_REQUEST and (more := await request.content.read(_LARGEST_REQUEST)):
                    body += more
            if len(body) > _LARGEST_REQUEST:
                return web.Response(status=413)
            number, method, params = _understood(body)
            answer = {"result": await self._ask(method, params)}
        except TimeoutError:
            return web.Response(status=408)
        except _Refused as refusal:
            answer = {"error": {"code": refusal.code, "message": "refused", "data": str(refusal)}}
        return web.json_response({"jsonrpc": "2.0", "id": number, **answer})

    async def _ask(self, method: str, params: Mapping[str, str]) -> Any:
        import aiohttp

        assert self._session is not None
        question = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        try:
            async with self._turn, self._session.post("http://cometbft/", json=question) as response:
                text = await response.content.read(_LARGEST_ANSWER)
                while not response.content.at_eof() and len(text) < _LARGEST_ANSWER:
                    text += await response.content.read(_LARGEST_ANSWER)
            answer = json.loads(text)
            if error := answer.get("error"):
                # It tells a height that is too high, or gone, by the text.
                raise _Refused(_INTERNAL, one_line(error.get("data") or error.get("message")))
            return _status(answer["result"]) if method == "status" else answer["result"]
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError, AttributeError):
            raise _Refused(_INTERNAL, "consensus does not answer now") from None


def _understood(body: bytes) -> tuple[Any, str, dict[str, str]]:
    """Number, method and parameters of one JSON-RPC request."""
    try:
        asked = json.loads(body)
        number, method, params = asked.get("id"), asked["method"], asked.get("params") or {}
        bounds = _NUMBERS.get(method)
        if type(number) not in {int, str}:
            raise ValueError("a request is answered by its number")
        if bounds is None:
            raise _Refused(_NO_SUCH_METHOD, "this is not told here")
        known = {name: int(params[name]) for name in bounds if params.get(name) is not None}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise _Refused(_INVALID_REQUEST, "no request") from None
    if any(not 1 <= value <= bounds[name] for name, value in known.items()):
        raise _Refused(_INVALID_PARAMS, "a number that there cannot be")
    return number, method, {name: str(value) for name, value in known.items()}


def _status(status: Mapping[str, Any]) -> dict[str, Any]:
    """Of it, what one who joins must know."""
    names = ("latest_block_height", "earliest_block_height", "catching_up")
    return {
        "node_info": {"network": status["node_info"]["network"]},
        "sync_info": {name: status["sync_info"][name] for name in names},
    }
