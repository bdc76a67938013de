"""The running transaction manager: its sockets, its life from start to signal."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import signal
import socket
import ssl
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from aiohttp import web

from quorumkit.errors import NodeError, PortError
from quorumkit.foreign import one_line
from quorumkit.rpc.sockets import short_socket_path
from quorumkit.serving.guard import Bounds, Guard
from quorumkit.tm.api import Api, private_api, public_api
from quorumkit.tm.config import IpAddress, TlsConfig, TmConfig, read_config
from quorumkit.tm.enclave import Enclave
from quorumkit.tm.errors import TmConfigError
from quorumkit.tm.limits import FIRST_REQUEST_TIMEOUT, KEEPALIVE, MAX_CONNECTIONS, MAX_HEADER
from quorumkit.tm.manager import TransactionManager
from quorumkit.tm.parties import Parties
from quorumkit.tm.peers import PeerClient
from quorumkit.tm.store import Store

SOCKET_MODE = 0o600

_SHUTDOWN_TIMEOUT = 5.0
_LONGEST_LINE = 4000
_LOG_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)

log = logging.getLogger("quorumkit.tm")


def run(config: TmConfig, *, recover: bool = False) -> None:
    """Runs the transaction manager until SIGTERM or SIGINT. With `recover` all peers resend what they have for it.

    At SIGHUP it reads its tm.conf again and takes over `othernodes` and `otherkeys`; all else is for the next start.

    Raises TmConfigError, TmKeyError, PortError, NodeError (the socket is in use), StoreError.
    """
    level = _LOG_LEVELS[min(config.verbosity, len(_LOG_LEVELS) - 1)]
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableLines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    # Its messages quote what strangers send.
    for name in ("aiohttp.server", "quorumkit.serving.guard"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    asyncio.run(_run_until_signal(config, recover))


@contextlib.asynccontextmanager
async def serving(config: TmConfig, *, recover: bool = False) -> AsyncIterator[TransactionManager]:
    """A transaction manager that answers on its sockets inside the block. Raises what `run` does."""
    key_pairs = config.load_keys()
    always_send_to = config.load_always_send_to()
    tls_server = _tls_server(config.tls) if config.tls else None
    tls_client = _tls_client(config.tls) if config.tls else None
    async with contextlib.AsyncExitStack() as stack:
        public_socket = stack.enter_context(_bind(config.interface, config.port, "port"))
        store = Store(config.database)
        stack.push_async_callback(store.close)
        enclave = Enclave(key_pairs)
        parties = Parties(config.url, enclave.keys, config.other_nodes, config.other_keys)
        peers = PeerClient(parties, tls_client)
        stack.push_async_callback(peers.close)
        manager = TransactionManager(enclave, store, parties, peers, always_send_to, config.classic_resend)
        stack.push_async_callback(manager.close)
        if recover:
            await manager.forget_recovery()
        await stack.enter_async_context(
            _listening(public_api(manager, _refuse_unlisted(config.ip_whitelist)), public_socket, tls_server)
        )
        asking = asyncio.create_task(manager.run())
        stack.push_async_callback(_cancelled, asking)
        private = private_api(manager)
        if config.private_port is not None:
            private_socket = stack.enter_context(_bind("127.0.0.1", config.private_port, "privateport"))
            # A web page can reach loopback too, under a name of its own.
            await stack.enter_async_context(_listening(private, private_socket, None, names=frozenset))
        if config.socket is not None:
            # Last: GoQuorum and whoever started this process wait for the socket to appear.
            unix_socket = stack.enter_context(_bind_unix(config.socket))
            await stack.enter_async_context(_listening(private, unix_socket, None))
        yield manager


class PrintableLines(logging.Formatter):
    """Whatever a message or a traceback quotes, the log holds nothing that a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(self._printable, super().format(record).split("\n")))

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = one_line(record.message, longest=_LONGEST_LINE)
        return super().formatMessage(record)

    @staticmethod
    def _printable(line: str) -> str:
        content = line.lstrip(" ")
        return line[: min(len(line) - len(content), 20)] + one_line(content, longest=_LONGEST_LINE)


async def _run_until_signal(config: TmConfig, recover: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    early = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, early.set)
    async with serving(config, recover=recover) as manager:
        loop.add_signal_handler(signal.SIGHUP, _relist, config.source, manager)
        if early.is_set():
            _relist(config.source, manager)
        log.info("%s serves %d keys", manager.parties.own_url, len(manager.enclave.keys))
        await stop.wait()
        log.info("stopping")


def _relist(source: Path, manager: TransactionManager) -> None:
    try:
        config = read_config(source)
    except TmConfigError as error:
        log.error("tm.conf is not what it should be, so the network's list stays as it was: %s", error.message)
        return
    manager.relist(config.other_nodes, config.other_keys)
    log.warning("read again: %d other transaction managers", len(config.other_nodes))


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def _listening(
    api: Api, listener: socket.socket, tls: ssl.SSLContext | None, names: Callable[[], frozenset[str]] | None = None
) -> AsyncIterator[None]:
    bounds = Bounds(
        first_request=FIRST_REQUEST_TIMEOUT, resting=KEEPALIVE, field=MAX_HEADER, connections=MAX_CONNECTIONS,
        lingering=1.0, shutdown=_SHUTDOWN_TIMEOUT,
    )  # fmt: skip
    async with Guard(api.handle, bounds, names).listening(sock=listener, tls=tls):
        yield


@contextlib.contextmanager
def _bind(interface: str, port: int, field: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((interface, port))
        except OSError as error:
            raise PortError(
                f"the transaction manager cannot listen on {interface} {field} {port}: {error.strerror}",
                hint="another process has it" if error.errno == errno.EADDRINUSE else None,
            ) from error
        yield listener


@contextlib.contextmanager
def _bind_unix(path: Path) -> Iterator[socket.socket]:
    """A socket at `path` that only the owner can use from its first moment; removed at the end if it is still this."""
    _remove_stale(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        before = os.umask(0o777 & ~SOCKET_MODE)
        try:
            with short_socket_path(path) as name:
                listener.bind(name)
        except OSError as error:
            raise NodeError(f"no socket can be made at {path}: {error.strerror}") from error
        finally:
            os.umask(before)
        made = path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == made:
                    path.unlink()


def _remove_stale(path: Path) -> None:
    """Removes what a killed process left behind. Raises NodeError if it is in use, or is not a socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise NodeError(f"{path} is there and is not a socket", hint="name another path in tm.conf: socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            with short_socket_path(path) as name:
                probe.connect(name)
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise NodeError(f"{path} cannot be tried: {error.strerror}") from error
    raise NodeError(f"another transaction manager listens on {path}")


def _refuse_unlisted(whitelist: frozenset[IpAddress]) -> Callable[[web.BaseRequest], str | None]:
    def refusal(request: web.BaseRequest) -> str | None:
        address = ipaddress.ip_address((request.remote or "").partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return None if (mapped or address) in whitelist else "this address may not connect"

    return refusal if whitelist else lambda _: None


def _tls_server(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return _with_certificate(context, tls.server_cert, tls.server_key, "tlsservercert")


def _tls_client(tls: TlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca)
    return _with_certificate(context, tls.client_cert, tls.client_key, "tlsclientcert")


def _with_certificate(context: ssl.SSLContext, cert: Path, key: Path, field: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise TmConfigError(f"{field}: {cert} and {key} are not a certificate and its key: {error}") from error
    return context
