"""Ports that tests draw: different ones, free ones, and never another process's."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from support import ports
from support.ports import free_ports

DRAWS = """
import sys
from support import ports
ports._PORTS = [int(port) for port in sys.argv[1:]]
try:
    print(*ports.free_ports(1))
except RuntimeError:
    print("none is left")
"""


def test_ports_are_different_and_free() -> None:
    drawn = free_ports(50)
    assert len(set(drawn)) == 50
    for port in drawn:
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))


def test_a_port_is_drawn_once() -> None:
    assert set(free_ports(50)).isdisjoint(free_ports(50))


def test_no_other_process_draws_what_this_one_drew() -> None:
    command = [sys.executable, "-c", DRAWS, *map(str, free_ports(20))]
    environment = os.environ | {"PYTHONPATH": str(Path(ports.__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "none is left\n"


def test_more_ports_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_PORTS", range(29_990, 30_000))
    with pytest.raises(RuntimeError, match="ports are free, not 11"):
        free_ports(11)
