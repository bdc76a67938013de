"""A transaction manager that runs takes over who is in the network when its tm.conf is written again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from quorumkit.files import write_atomic
from quorumkit.tm import server
from quorumkit.tm.config import read_config, render_tm_conf
from quorumkit.tm.keys import format_public_key

URLS = [f"http://127.0.0.1:{port}/" for port in (9101, 9102)]
KEYS = [format_public_key(bytes([number]) * 32) for number in (1, 2)]


def conf(others: int) -> bytes:
    return render_tm_conf(
        url="http://127.0.0.1:9100/", port=9100, interface="127.0.0.1", socket="tm.ipc",
        other_nodes=URLS[:others], other_keys=KEYS[:others],
    )  # fmt: skip


class Manager:
    """What `list_again` was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []

    def list_again(self, other_nodes: tuple[str, ...], other_keys: object) -> None:
        self.told.append(tuple(other_nodes))


def follow(path: Path, monkeypatch: pytest.MonkeyPatch, *changes: Callable[[], None]) -> Manager:
    monkeypatch.setattr(server, "_LOOK_EVERY", 0.01)
    manager = Manager()

    async def run() -> None:
        task = asyncio.create_task(server._follow(read_config(path), manager))
        for change in changes:
            await asyncio.sleep(0.05)
            change()
        await asyncio.sleep(0.1)
        assert not task.done()
        task.cancel()

    asyncio.run(run())
    return manager


def test_a_new_list_is_taken_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tm.conf"
    path.write_bytes(conf(1))
    assert follow(path, monkeypatch, lambda: write_atomic(path, conf(2))).told == [tuple(URLS)]


def test_a_file_that_is_wrong_or_gone_changes_nothing_until_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tm.conf"
    path.write_bytes(conf(2))
    wrong: list[Callable[[], None]] = [lambda: write_atomic(path, b"url = 5"), path.unlink]
    assert follow(path, monkeypatch, *wrong).told == []
    path.write_bytes(conf(2))
    mended = follow(path, monkeypatch, *wrong, lambda: write_atomic(path, conf(1)))
    assert mended.told == [(URLS[0],)]
