"""Other directories that hold the same network: copies with the same keys.

Two nodes with one key are two voices of one validator, and a node that both talk to cannot tell them apart. So of a
network and its copies only one may run; and what they share outside their directories (volumes, claims) is not removed
with one of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import psutil

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, QuorumkitError
from quorumkit.mark import read_mark
from quorumkit.plan import node_name
from quorumkit.providers.register import open_register
from quorumkit.record import RECORD_NAME, read_record


def claim_start(directory: NetworkDirectory) -> None:
    """Notes that this process is about to start the network, after which no copy of it starts until the process is
    gone; what was started is found by itself from then on.

    Raises:
        NodeError: a copy of the network runs, or another process is about to start one.
    """
    with open_register(directory.path) as register:
        register.mine.starting = _own_stamp()
        starting = dict(register.starting)
    for twin in _twins(directory, list(starting)):
        if _is_alive(starting[twin]) or asyncio.run(_is_running(twin)):
            raise NodeError(
                f"{directory.path}: holds the same keys as {twin}, which runs",
                hint=f"`quorumkit down {twin}` first; or make a network of its own: quorumkit init ANOTHER_DIR",
            )


def twins_of(directory: NetworkDirectory) -> list[Path]:
    """The directories with the same network that this user's commands have seen and that are still there."""
    with open_register(directory.path) as register:
        others = list(register.starting)
    return _twins(directory, others)


def check_no_twin_needs_them(directory: NetworkDirectory, what: str, names: Sequence[str]) -> None:
    """Before something outside the directory is removed for good; `what` it is called, and its names.

    Raises:
        NodeError: a copy of the directory is there, which stands on the same.
    """
    if twins := twins_of(directory):
        raise NodeError(
            f"{directory.path}: {twins[0]} holds the same network, whose keys are on the {what} {', '.join(names)}",
            hint=f"remove this directory alone: rm -r {directory.path}; or {twins[0]} first, if all is to go",
        )


def _twins(directory: NetworkDirectory, others: list[Path]) -> list[Path]:
    marks = _marks(directory.path)
    own = directory.path.resolve()
    return [other for other in others if other.resolve() != own and not marks.isdisjoint(_marks(other))]


def _marks(path: Path) -> set[str]:
    """What tells the network in a directory from others: its mark, and its first node's keys where those are known."""
    marks = set()
    directory = NetworkDirectory(path)
    with contextlib.suppress(QuorumkitError, OSError):
        marks |= {mark for mark in [read_mark(path)] if mark}
    with contextlib.suppress(QuorumkitError, OSError):
        first = directory.node(node_name(1))
        if (first / RECORD_NAME).exists():
            identity = read_record(first).identity
            marks |= {identity.enode_key, *identity.further_keys.values()}
    return marks


async def _is_running(path: Path) -> bool:
    from quorumkit.providers import provider_of

    directory = NetworkDirectory(path)
    # One that cannot be asked (its Docker is gone, say) does not hinder this one.
    with contextlib.suppress(QuorumkitError, OSError):
        return await provider_of(directory, directory.read_spec()).is_running()
    return False


def _own_stamp() -> tuple[int, float]:
    return os.getpid(), psutil.Process().create_time()


def _is_alive(stamp: tuple[int, float] | None) -> bool:
    """Whether the process that left this stamp is still there; it may be this one."""
    if stamp is None or stamp == _own_stamp():
        return False
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(stamp[0])
        return abs(process.create_time() - stamp[1]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    return False
