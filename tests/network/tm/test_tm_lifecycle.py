"""Start, signals, sockets, memory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import threading
import time
import tomllib

import psutil
import pytest
import tomli_w
from tm_processes import start_and_fail, until

from support.ports import free_ports

pytestmark = pytest.mark.network


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(network, number):
    one, two = network.start(2)
    key = one.send(b"payload", two.key).json["key"]
    assert stat.S_IMODE(one.socket.stat().st_mode) == 0o600
    assert one.stop(number) == 0
    assert not one.socket.exists()
    assert not (one.directory / "payloads.sqlite-wal").exists()  # all of it is in the database
    assert "Traceback" not in one.log
    one.start()
    assert one.reads(key) == b"payload"


def test_it_ends_although_clients_stay_connected(network):
    (one,) = network.start(1)
    with socket.socket(socket.AF_UNIX) as idle, socket.socket() as public:
        idle.connect(str(one.socket))
        idle.sendall(b"GET /upcheck HTTP/1.1\r\nHost: c\r\n\r\n")
        public.connect(("127.0.0.1", one.port))
        start = time.monotonic()
        assert one.stop() == 0
        assert time.monotonic() - start < 4


def test_a_socket_left_behind_is_replaced(network):
    (one,) = network.start(1)
    one.kill()
    assert one.socket.exists()
    one.start()
    assert one.call("GET", "/upcheck").status == 200


def test_a_socket_in_use_is_left_alone(network):
    (one,) = network.start(1)
    (first,) = free_ports(1)
    text = (one.directory / "tm.conf").read_text().replace(f"port = {one.port}", f"port = {first}")
    (one.directory / "tm.conf").write_text(text)
    code, error = start_and_fail(one)
    assert code == 1
    assert f"another transaction manager listens on {one.socket}" in error
    assert one.call("GET", "/upcheck").status == 200


def test_a_file_in_the_sockets_place_is_left_alone(network):
    (one,) = network.make(1)
    one.socket.write_text("precious")
    _, error = start_and_fail(one)
    assert "is not a socket" in error
    assert one.socket.read_text() == "precious"


def test_a_taken_port_is_told(network):
    (one,) = network.make(1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", one.port))
        taken.listen()
        code, error = start_and_fail(one)
    assert code == 1
    assert f"cannot listen on 127.0.0.1 port {one.port}" in error
    assert not one.socket.exists()


def test_a_name_too_long_for_a_socket_is_told(network):
    (one,) = network.make(1)
    network.configure(one, [one], socket="s" * 120)
    code, error = start_and_fail(one)
    assert code == 2
    assert "tm.conf: socket: " in error
    assert "may have 80" in error


def test_a_locked_key_needs_its_password(network):
    from quorumkit.tm.keys import write_key_files

    one, two = network.make(2)
    write_key_files(one.pair, one.directory, password=b"correct horse")
    _, error = start_and_fail(one)
    assert "tm.key: the private key is locked" in error
    (one.directory / "passwords").write_text("correct horse\n")
    network.configure(one, [one, two], passwords="passwords")
    one.start()
    two.start()
    assert two.reads(one.send(b"payload", two.key).json["key"]) == b"payload"


def test_memory_stays_under_60_mb(network):
    managers = one, two, three = network.start(3)

    def load() -> None:
        for _ in range(60):
            assert one.send(os.urandom(20_000), two.key, three.key).status == 200

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for manager in managers:
        assert manager.process is not None
        assert psutil.Process(manager.process.pid).memory_info().rss < 60e6


@pytest.mark.parametrize(("whitelist", "status"), [(["127.0.0.1"], 200), (["10.0.0.1"], 403)])
def test_the_ip_whitelist_is_for_the_public_api(network, whitelist, status):
    (one,) = network.make(1)
    network.configure(one, [one], ip_whitelist=whitelist)
    one.start()
    assert one.call("GET", "/upcheck").status == 200
    assert one.call_public("GET", "/upcheck").status == status


def test_private_keys_show_nowhere(network):
    import base64

    one, two = network.start(2, verbosity=3)
    key = one.send(b"very secret payload", two.key).json["key"]
    two.reads(key)
    one.call_public("POST", "/push", b"junk")
    answers = [one.call("GET", "/parties").body, one.call_public("GET", "/version").body, one.transaction(key).body]
    private = one.pair.private
    for shown in (*answers, one.log.encode(), two.log.encode()):
        assert private not in shown
        assert base64.b64encode(private) not in shown
        assert private.hex().encode() not in shown
    for log in (one.log, two.log):
        assert "very secret payload" not in log
        assert base64.b64encode(b"very secret payload").decode() not in log
    with contextlib.suppress(FileNotFoundError):
        database = (two.directory / "payloads.sqlite-wal").read_bytes()
        assert b"very secret payload" not in database


def test_at_a_hangup_it_reads_the_networks_list_again(network):
    one, two, three = network.make(3)
    for manager in (one, two, three):
        manager.start()
    conf = one.directory / "tm.conf"
    whole = conf.read_text()
    document = tomllib.loads(whole)
    for name in ("othernodes", "otherkeys"):
        document[name] = document[name][:1]
    conf.write_bytes(tomli_w.dumps(document).encode())
    one.process.send_signal(signal.SIGHUP)
    until(lambda: one.send(b"x", three.key).status != 200, what="the third to be nobody any more")
    assert one.send(b"x", two.key).status == 200
    conf.write_text("no TOML at all")
    one.process.send_signal(signal.SIGHUP)
    until(lambda: "stays as it was" in one.log, what="the complaint")
    assert one.send(b"y", two.key).status == 200
    conf.write_text(whole)
    one.process.send_signal(signal.SIGHUP)
    until(lambda: one.send(b"z", three.key).status == 200, what="the third to be back")
    assert one.stop() == 0
