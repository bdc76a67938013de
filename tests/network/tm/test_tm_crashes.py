"""Processes killed at every step of a send. What was acknowledged is there afterwards; what was not, went nowhere."""

from __future__ import annotations

import http.client
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tm_processes import until

pytestmark = pytest.mark.network


def start_to_crash(manager, step: str) -> None:
    manager.stop()
    script = Path(__file__).with_name("tm_crash_at.py")
    with (manager.directory / "tm.log").open("ab") as log:
        manager.process = subprocess.Popen(
            [sys.executable, str(script), step, str(manager.directory / "tm.conf")], stdout=log, stderr=log
        )
    until(manager.is_up, what="the manager to answer")


def crashed(manager) -> bool:
    assert manager.process is not None
    code = manager.process.wait(timeout=10)
    manager.process = None
    return bool(code == -signal.SIGKILL)


def payloads(manager) -> int:
    with sqlite3.connect(manager.directory / "payloads.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(connection.execute("SELECT count(*) FROM payload").fetchone()[0])


@pytest.mark.parametrize(
    ("step", "at_sender", "at_party"),
    [
        ("sender-before-push", 0, 0),
        ("sender-after-push", 0, 1),
        ("before-commit", 0, 1),
        ("after-commit", 1, 1),
        ("sender-before-answer", 1, 1),
    ],
)
def test_the_sender_is_killed(network, step, at_sender, at_party):
    one, two = network.start(2)
    before = one.send(b"before", two.key).json["key"]
    start_to_crash(one, step)
    with pytest.raises((http.client.HTTPException, ConnectionError)):  # GoQuorum gets no hash for its chain
        one.send(b"payload", two.key)
    assert crashed(one)
    assert (payloads(one), payloads(two)) == (1 + at_sender, 1 + at_party)
    assert one.socket.exists()  # left behind, and in nobody's way
    one.start()
    assert one.reads(before) == two.reads(before) == b"before"
    after = one.send(b"after", two.key).json["key"]
    assert one.reads(after) == two.reads(after) == b"after"


@pytest.mark.parametrize(("step", "at_party"), [("before-commit", 0), ("after-commit", 1)])
def test_a_party_is_killed(network, step, at_party):
    one, two, three = network.start(3)
    start_to_crash(two, step)
    answer = one.send(b"payload", two.key, three.key)
    assert answer.status == 503
    assert two.key in answer.text
    assert crashed(two)
    assert (payloads(one), payloads(two)) == (0, at_party)
    two.start()
    key = one.send(b"payload", two.key, three.key).json["key"]
    assert [manager.reads(key) for manager in (one, two, three)] == [b"payload"] * 3


def test_a_party_killed_and_back_within_the_send_has_it(network):
    one, two = network.start(2)
    start_to_crash(two, "after-commit")

    def revive() -> None:
        assert crashed(two)
        two.start()

    reviver = threading.Thread(target=revive)
    reviver.start()
    answer = one.send(b"payload", two.key)
    reviver.join()
    assert answer.status == 200, answer.text
    assert two.reads(answer.json["key"]) == b"payload"
    assert payloads(two) == 1


def test_all_killed_at_once_under_load_keep_what_was_acknowledged(network):
    managers = one, two, three = network.start(3)
    acknowledged: list[str] = []

    def load(number: int) -> None:
        try:
            for count in range(1000):
                answer = one.send(b"%d of %d" % (count, number), two.key, three.key)
                if answer.status == 200:
                    acknowledged.append(answer.json["key"])
        except (OSError, http.client.HTTPException):
            return

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(acknowledged) > 100, what="100 payloads")
    for manager in managers:
        manager.kill()
    for thread in threads:
        thread.join()
    for manager in managers:
        manager.start()
    lost = [key for key in acknowledged if any(manager.reads(key) is None for manager in managers)]
    assert lost == []
