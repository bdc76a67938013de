"""Transaction managers as real processes on loopback, and a client that calls them as GoQuorum does."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from quorumkit.tm.config_render import render_tm_conf
from quorumkit.tm.keys import KeyPair, generate_key_pair, write_key_files
from support.ports import free_ports


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float = 10) -> None:
        super().__init__("c", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass
class Answer:
    status: int
    body: bytes
    headers: http.client.HTTPMessage

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


@dataclass
class Manager:
    """One transaction manager: its directory, its process, and calls to it."""

    directory: Path
    port: int
    pair: KeyPair
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def key(self) -> str:
        return self.pair.public_base64

    @property
    def socket(self) -> Path:
        return self.directory / "tm.ipc"

    @property
    def log(self) -> str:
        return (self.directory / "tm.log").read_text()

    def start(self, *arguments: str, wait: bool = True) -> None:
        with (self.directory / "tm.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "quorumkit.tm", *arguments, str(self.directory / "tm.conf")],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )
        if wait:
            until(self.is_up, what=f"{self.directory} to answer")

    def is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            return self.call("GET", "/upcheck").status == 200
        except OSError:
            return False

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=15)
        self.process = None
        return code

    def call(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        """Over the unix socket."""
        with contextlib.closing(UnixConnection(self.socket)) as connection:
            return ask(connection, method, path, body, headers)

    def call_public(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            return ask(connection, method, path, body, headers)

    def call_json(self, path: str, document: object) -> Answer:
        return self.call("POST", path, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def send(self, payload: bytes, *parties: str) -> Answer:
        """As GoQuorum's client for Tessera does."""
        return self.call_json(
            "/send",
            {
                "payload": base64.b64encode(payload).decode(),
                "to": list(parties),
                "affectedContractTransactions": [],
                "privacyFlag": 0,
                "mandatoryRecipients": None,
            },
        )

    def transaction(self, key: str, what: str = "?isRaw=false") -> Answer:
        return self.call("GET", f"/transaction/{quote(key, safe='+=')}{what}")

    def reads(self, key: str) -> bytes | None:
        """The payload, or None where GoQuorum is told that this node is not a party to it."""
        answer = self.transaction(key)
        assert answer.status in (200, 404), answer
        return base64.b64decode(answer.json["payload"]) if answer.status == 200 else None

    def knows(self, *others: Manager) -> bool:
        peers = {peer["url"]: peer for peer in self.call("GET", "/parties").json["peers"]}
        return all(other.key in peers[other.url]["keys"] and peers[other.url]["answered"] for other in others)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: dict[str, str] | None
) -> Answer:
    connection.request(method, path, body=body or None, headers=headers or {})
    response = connection.getresponse()
    return Answer(response.status, response.read(), response.headers)


def until(condition: Callable[[], bool], *, what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


class Network:
    """Makes managers of one network; stops whatever still runs at the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.managers: list[Manager] = []

    def make(self, count: int, *, pinned: bool = True, **options: object) -> list[Manager]:
        made = []
        for number, port in enumerate(free_ports(count), start=1):
            directory = self.root / f"node{number}"
            directory.mkdir()
            pair = generate_key_pair()
            write_key_files(pair, directory)
            made.append(Manager(directory, port, pair))
        for manager in made:
            self.configure(manager, made, pinned=pinned, **options)
        self.managers += made
        return made

    def configure(self, manager: Manager, members: list[Manager], *, pinned: bool = True, **options: object) -> None:
        others = [other for other in members if other is not manager]
        settings: dict[str, Any] = {
            "url": manager.url,
            "port": manager.port,
            "interface": "127.0.0.1",
            "other_nodes": [other.url for other in others],
            "other_keys": [other.key for other in others] if pinned else [],
            "verbosity": 2,
            **options,
        }
        conf = render_tm_conf(**settings)
        (manager.directory / "tm.conf").write_bytes(conf)

    def start(self, count: int, *, pinned: bool = True, **options: object) -> list[Manager]:
        made = self.make(count, pinned=pinned, **options)
        for manager in made:
            manager.start(wait=False)
        for manager in made:
            until(manager.is_up, what="a manager to answer")
        for manager in made:
            others = [other for other in made if other is not manager]
            until(partial(manager.knows, *others), what="the managers to meet")
        return made

    def close(self) -> None:
        for manager in self.managers:
            if manager.process is not None:
                manager.kill()


def start_and_fail(manager: Manager) -> tuple[int, str]:
    """The exit code of a transaction manager that does not start, and what it says."""
    finished = subprocess.run(
        [sys.executable, "-m", "quorumkit.tm", str(manager.directory / "tm.conf")],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert finished.returncode != 0
    assert "Traceback" not in finished.stderr
    return finished.returncode, finished.stderr
