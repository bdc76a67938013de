"""The guard of an HTTP server: how long a connection may take, how many there may be, and for whom a request is meant.

aiohttp waits for the first request of a connection as long as for a later one, takes any number of connections, and
answers whatever the `Host` header says. A web page can have its own name point at this machine ("DNS rebinding") and
then read what a server answers: the name in `Host` gives it away, for the browser writes it. An address cannot be
rebound, so an address is always taken; that is how probes and Prometheus come.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Connection = web.RequestHandler

_BACKLOG = 512


class _NoNonsense(logging.Filter):
    """A stranger's bytes that are no HTTP are no news: with a traceback for each he could fill the disk."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log = logging.getLogger(__name__)
_log.addFilter(_NoNonsense())


@dataclass(frozen=True)
class Bounds:
    """What one server puts up with. Times in seconds, sizes in bytes."""

    first_request: float
    """From a connection to the end of its first request's header, TLS included."""
    resting: float
    """Between two requests of a connection, the later one's header included."""
    field: int
    """Of the request line, and of one header field."""
    connections: int
    """At once, of those that are not trusted (`Guard.trust`). Beyond it the oldest ends: of those that have sent no
    request yet, if there is one."""
    lingering: float = 0.0
    """For what is still sent when the answer is out already."""
    shutdown: float = 1.0
    """For the requests that are under way at the end."""


class _Http(web.Server):
    """aiohttp's server, which at its end forgets connections that were accepted and are not up yet (with TLS, that have
    not shaken hands): they would come up afterwards, and a server that has ended would answer on them."""

    ended = False

    def connection_made(self, handler: Connection, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        if self.ended:
            # Not before the handler's task has begun, which cannot bear to find its connection gone.
            asyncio.get_running_loop().call_soon(transport.abort)


class Guard:
    """Serves HTTP on one address or socket, within bounds."""

    def __init__(self, handle: Handler, bounds: Bounds, names: Callable[[], Collection[str]] | None = None) -> None:
        """`names` are the host names that requests may be for (see `is_for_us`); without it the name does not count,
        as where each request proves who sends it."""
        self._handle = handle
        self._bounds = bounds
        self._names = names
        self._counted: dict[Connection, asyncio.TimerHandle | None] = {}
        """Those that are not trusted, by age; with a timer until their first request is there."""
        self._http: _Http | None = None

    @contextlib.asynccontextmanager
    async def listening(
        self, *, host: str | None = None, port: int | None = None, sock: socket.socket | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> AsyncIterator[int]:  # fmt: skip
        """Answers inside the block, at `host` and `port` or on a bound socket; gives the port (0 for a unix socket).

        Raises:
            OSError: the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        bounds = self._bounds
        http = self._http = _Http(
            self._answer,
            access_log=None,
            logger=_log,
            auto_decompress=False,
            keepalive_timeout=bounds.resting,
            lingering_time=bounds.lingering,
            max_line_size=bounds.field,
            max_field_size=bounds.field,
        )
        connected = functools.partial(self._connected, http)
        patience = bounds.first_request if tls else None
        # Without serving: that takes a turn of the loop, and one who is cancelled in it would leave the port taken.
        if sock is None:
            server = await loop.create_server(
                connected, host, port or 0, ssl=tls, backlog=_BACKLOG, ssl_handshake_timeout=patience,
                start_serving=False,
            )  # fmt: skip
        elif sock.family == socket.AF_UNIX:
            server = await loop.create_unix_server(connected, sock=sock, backlog=_BACKLOG, start_serving=False)
        else:
            server = await loop.create_server(
                connected, sock=sock, ssl=tls, backlog=_BACKLOG, ssl_handshake_timeout=patience,
                start_serving=False,
            )  # fmt: skip
        try:
            await server.start_serving()
            name = server.sockets[0].getsockname()
            yield int(name[1]) if isinstance(name, tuple) else 0
        finally:
            http.ended = True
            server.close()
            for connection, timer in list(self._counted.items()):
                if timer is not None:
                    self.drop(connection)
            http.pre_shutdown()
            await http.shutdown(bounds.shutdown)

    def trust(self, connection: Connection) -> None:
        """Counts it no more: whoever sent this has shown that he belongs here."""
        self._heard(connection)
        self._counted.pop(connection, None)

    def drop(self, connection: Connection) -> None:
        """Ends it at once, without an answer."""
        self._heard(connection)
        self._counted.pop(connection, None)
        if connection.transport is not None:
            connection.transport.abort()

    def _connected(self, http: _Http) -> Connection:
        if http.ended:
            # Accepted just before the end. asyncio closes what has no protocol; with one, it forgets to (Python 3.11).
            raise ConnectionAbortedError("the server has ended")
        connection = http()
        timer = asyncio.get_running_loop().call_later(self._bounds.first_request, self.drop, connection)
        self._counted[connection] = timer
        if len(self._counted) > self._bounds.connections:
            self._make_room()
        return connection

    def _make_room(self) -> None:
        assert self._http is not None
        open_ones = set(self._http.connections)
        for connection, timer in list(self._counted.items()):
            if timer is None and connection not in open_ones:
                del self._counted[connection]
        if len(self._counted) > self._bounds.connections:
            older = list(self._counted)[:-1]  # the last is the one that has just come
            silent = [connection for connection in older if self._counted[connection] is not None]
            self.drop((silent or older)[0])

    def _heard(self, connection: Connection) -> None:
        if timer := self._counted.get(connection):
            timer.cancel()
            self._counted[connection] = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._heard(request.protocol)
        if self._names is not None and not is_for_us(request.headers.get("Host"), self._names()):
            return web.Response(status=421, text="this host name is not one of this server's\n")
        return await self._handle(request)


def is_for_us(host: str | None, names: Collection[str]) -> bool:
    """Whether a request with that `Host` header (RFC 9110, 7.2) is meant for a server of those names: `localhost`, any
    literal address and the names are; `*` among the names stands for all. So is a request without the header, which no
    browser sends."""
    if not host:
        return True
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    name = name.lower().removesuffix(".")
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(name)
        return True
    return name == "localhost" or "*" in names or name in {known.lower().removesuffix(".") for known in names}
