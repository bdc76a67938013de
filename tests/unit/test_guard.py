"""What every HTTP server of the project keeps to: time, number, and the host name that a request is for."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from quorumkit.node import health
from quorumkit.node.health import HealthServer
from quorumkit.serving.guard import Bounds, Guard, is_for_us

BOUNDS = Bounds(first_request=0.3, resting=0.3, field=4096, connections=8)
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def hello(_: web.BaseRequest) -> web.Response:
    return web.Response(text="hello")


def guarded(test: Callable[[Guard, int], Awaitable[None]], bounds: Bounds = BOUNDS) -> None:
    async def run() -> None:
        guard = Guard(hello, bounds)
        async with guard.listening(host="127.0.0.1", port=0) as port:
            await test(guard, port)

    asyncio.run(run())


async def said(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """All that comes back until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(reader.read())
    with contextlib.suppress(ConnectionError):
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
    try:
        async with asyncio.timeout(5):
            return await answer
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("parts", [[], [b"G"], [b"GET / HTTP/1.1\r\n"], [b"G", b"E", b"T", b" ", b"/", b" ", b"H"]])
def test_a_connection_that_sends_no_request_is_cut_off(parts: list[bytes]) -> None:
    async def test(guard: Guard, port: int) -> None:
        assert await said(port, *parts, pause=0.1) == b""

    guarded(test)


def test_a_connection_may_rest_so_long_and_no_more_even_with_half_a_header() -> None:
    async def test(guard: Guard, port: int) -> None:
        began = time.monotonic()
        for later in (b"", b"GET / HTTP/1.1\r\nX-"):
            assert (await said(port, REQUEST, later)).count(b"hello") == 1
        assert time.monotonic() - began < 4

    guarded(test)


def test_many_connections_keep_nobody_out() -> None:
    """Neither those that say nothing, nor those that asked once and stay."""
    patient = replace(BOUNDS, first_request=60, resting=60)

    async def test(guard: Guard, port: int) -> None:
        held = []
        for place in range(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            held.append((reader, writer))
            if place % 2:
                writer.write(REQUEST)
                await reader.readuntil(b"hello")
        reader, writer = held[-1]
        writer.write(REQUEST)
        assert b" 200 " in await reader.readuntil(b"hello")
        alive = [reader for reader, _ in held if not reader.at_eof() and reader.exception() is None]
        assert len(alive) <= BOUNDS.connections
        for _, writer in held:
            writer.close()

    guarded(test, patient)


def test_who_has_closed_his_connection_is_counted_no_more() -> None:
    patient = replace(BOUNDS, resting=60)

    async def test(guard: Guard, port: int) -> None:
        stays, its = await asyncio.open_connection("127.0.0.1", port)
        its.write(REQUEST)
        await stays.readuntil(b"hello")
        for _ in range(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            await reader.readuntil(b"hello")
            writer.close()
            await writer.wait_closed()
        its.write(REQUEST)
        assert b" 200 " in await stays.readuntil(b"hello")
        its.close()

    guarded(test, patient)


def test_a_trusted_connection_gives_way_to_nobody() -> None:
    async def trusting() -> None:
        async def trust(request: web.BaseRequest) -> web.Response:
            if request.path == "/member":
                guard.trust(request.protocol)
            return web.Response(text="hello")

        guard = Guard(trust, replace(BOUNDS, resting=60))
        async with guard.listening(host="127.0.0.1", port=0) as port:
            member, its = await asyncio.open_connection("127.0.0.1", port)
            its.write(REQUEST.replace(b"GET /", b"GET /member"))
            await member.readuntil(b"hello")
            held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
            its.write(REQUEST)
            assert b" 200 " in await member.readuntil(b"hello")
            for _, writer in [*held, (member, its)]:
                writer.close()

    asyncio.run(trusting())


def test_rubbish_is_answered_and_fills_no_log(capfd: pytest.CaptureFixture[str]) -> None:
    async def test(guard: Guard, port: int) -> None:
        for rubbish in (b"\xff\x00", b"GET / HTTP/9.9", b"GET / HTTP/1.1\r\nContent-Length: -1"):
            assert b" 200 " not in await said(port, rubbish + b"\r\n\r\n")

    guarded(test)
    captured = capfd.readouterr()
    assert "Traceback" not in captured.out + captured.err


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        (None, True),
        ("", True),
        ("localhost", True),
        ("LocalHost:9545", True),
        ("localhost.", True),
        ("127.0.0.1:9545", True),
        ("10.244.3.7:9545", True),  # how a kubelet and Prometheus come
        ("[::1]:9545", True),
        ("[fd00::7]", True),
        ("node1:9545", True),
        ("NODE1", True),
        ("node2:9545", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:9545", False),
        ("node1.evil.example", False),
        ("[evil", False),
        (":", False),
        ("*", False),
    ],
)
def test_a_request_must_be_meant_for_this_server(host: str | None, ours: bool) -> None:
    assert is_for_us(host, {"node1"}) is ours
    assert is_for_us(host, {"*"})


async def health_says(host: str, server: HealthServer) -> bytes:
    port = await server.listen("127.0.0.1", 0)
    try:
        return await said(port, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    finally:
        await server.close()


@pytest.mark.parametrize(("host", "status"), [("10.1.2.3:9545", 200), ("bank-0.peers", 200), ("evil.example", 421)])
def test_health_is_told_under_its_own_names_alone(host: str, status: int) -> None:
    answer = asyncio.run(health_says(host, HealthServer("bank", list, lambda: {"bank-0.peers"})))
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_the_health_server_keeps_no_connection_that_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "BOUNDS", replace(health.BOUNDS, first_request=0.2))

    async def run() -> bytes:
        server = HealthServer("bank", list)
        port = await server.listen("127.0.0.1", 0)
        try:
            return await said(port)
        finally:
            await server.close()

    assert asyncio.run(run()) == b""


@pytest.fixture(params=["http", "https"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext] | None:
    """The server's and the client's side of TLS."""
    if request.param == "http":
        return None
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem")
    made = ("openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=localhost", "-out", "cert.pem")
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return server, client


@pytest.mark.parametrize("turns", range(8))
def test_a_connection_that_comes_up_as_the_server_ends_is_not_answered(
    ends: tuple[ssl.SSLContext, ssl.SSLContext] | None, turns: int
) -> None:
    """It was accepted, so many turns of the loop ago, and with TLS has not shaken hands. A client that were answered
    would keep it, and never learn that another server has the port now."""
    asked = False

    async def late(_: web.BaseRequest) -> web.Response:
        nonlocal asked
        asked = True
        return web.Response()

    def ask(comer: socket.socket) -> bytes:
        comer.settimeout(5)
        with ends[1].wrap_socket(comer) if ends else comer as stream:
            stream.sendall(REQUEST)
            return stream.recv(100)

    async def run() -> None:
        guard = Guard(late, replace(BOUNDS, first_request=60))
        async with guard.listening(host="127.0.0.1", port=0, tls=ends[0] if ends else None) as port:
            comer = socket.create_connection(("127.0.0.1", port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with comer, contextlib.suppress(ConnectionError, ssl.SSLEOFError):
            assert await asyncio.to_thread(ask, comer) == b""
        assert not asked

    asyncio.run(run())
