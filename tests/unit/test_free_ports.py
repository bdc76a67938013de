"""Ports that tests draw: different ones, free ones, and never another worker's."""

from __future__ import annotations

import socket

import pytest

from support.ports import free_ports


def test_ports_are_different_and_free() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    for port in ports:
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))


def test_workers_side_by_side_draw_from_shares_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for worker in ("gw0", "gw1"):
        monkeypatch.setenv("PYTEST_XDIST_WORKER", worker)
        drawn.append(set(free_ports(1000)))
    assert drawn[0].isdisjoint(drawn[1])


def test_more_ports_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw2")
    with pytest.raises(RuntimeError, match="ports are free, not 1300"):
        free_ports(1300)
