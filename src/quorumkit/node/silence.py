"""A client that lives and answers no more: how it differs from one that is only slow, or was stopped on purpose."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Self

import psutil

from quorumkit.errors import RpcError
from quorumkit.process_spec import SignOfLife
from quorumkit.rpc import IpcRpc, unix_http

SILENT_AFTER = 120.0
"""Seconds that one question may stay unanswered. It costs a client nothing (`SignOfLife`): with twenty busy
processes beside four nodes on two cores the slowest of 1482 answers took 0.3 s. So what takes this long is no load, but
a lock that nobody will open. GoQuorum's raft takes one for reading twice (raft/handler.go, NodeInfo), and stands still
for good where a writer comes in between."""

ASK_EVERY = 10.0
"""Seconds from one answer to the next question."""

LOOK_EVERY = 1.0
"""Seconds between two looks at a question that is not answered yet."""

MOST_LATE = 0.5
"""Seconds that a look may be late. Where more passed, the machine was busy or asleep, and the client may have been too:
that time counts for nothing."""

ENDS_WITHIN = 10.0
"""Seconds that a silent client gets to end after SIGTERM, before SIGKILL: what hangs in it mostly hangs its end too."""


class Waiting:
    """For one answer. Pure; times in seconds by any one clock."""

    def __init__(self, now: float) -> None:
        """The question was asked then."""
        self._last = now
        self._seconds = 0.0

    def look(self, now: float, *, stopped: bool) -> float:
        """The seconds that count, up to now. Where the process is stopped somebody did that on purpose, and it has all
        its time again once it goes on."""
        passed, self._last = now - self._last, now
        if stopped:
            self._seconds = 0.0
        elif passed <= LOOK_EVERY + MOST_LATE:
            self._seconds += passed
        return self._seconds


async def falls_silent(directory: Path, sign: SignOfLife, pid: int) -> None:
    """Returns once the client of that node directory has given that sign of life, and later has not for `SILENT_AFTER`;
    never else.

    An error is an answer. And where nobody listens nobody is silent: the client still starts, or ends already.
    """
    socket = directory / sign.socket
    has_answered = False
    while True:
        try:
            line = await (_HttpLine if sign.is_http else IpcRpc).connect(socket)
        except RpcError:
            await asyncio.sleep(LOOK_EVERY)
            continue
        async with line:
            while line.is_open:
                answered = await _is_answered(line, sign.method, pid)
                if has_answered and not answered:
                    return
                has_answered |= answered and line.is_open
                await asyncio.sleep(ASK_EVERY if line.is_open else LOOK_EVERY)


class _HttpLine:
    """To what is asked by HTTP: each question has a connection of its own."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.is_open = True

    @classmethod
    async def connect(cls, socket: Path) -> Self:
        return cls(socket)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def call(self, method: str, *params: Any, timeout: float) -> Any:
        try:
            return await unix_http.get(self._socket, f"/{method}", within=None)
        except RpcError:
            self.is_open = False
            raise


async def _is_answered(rpc: IpcRpc | _HttpLine, method: str, pid: int) -> bool:
    """Whether it is, or the connection ends, before it waited too long."""
    waiting = Waiting(time.monotonic())
    question = asyncio.create_task(rpc.call(method, timeout=float("inf")))
    try:
        while not (await asyncio.wait([question], timeout=LOOK_EVERY))[0]:
            if waiting.look(time.monotonic(), stopped=_is_stopped(pid)) >= SILENT_AFTER:
                return False
        return True
    finally:
        question.cancel()
        await asyncio.gather(question, return_exceptions=True)


def _is_stopped(pid: int) -> bool:
    """By SIGSTOP, or by a debugger."""
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False
