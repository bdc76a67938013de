"""What runs beside a client: its transaction manager. Started before it, restarted by itself, stopped after it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from quorumkit.errors import NodeError
from quorumkit.foreign import one_line
from quorumkit.managers import TM_SOCKET, Manager, manager_of
from quorumkit.node.lines import lines_of
from quorumkit.node.log import LogSink, own_line
from quorumkit.node.trouble import Troubles, kept_up
from quorumkit.record import NodeRecord
from quorumkit.rpc.sockets import short_socket_path

STOP_PATIENCE = 15.0
"""Seconds."""

_FAILURE = re.compile(r"(?:^Error:|\bERROR\b|^Exception\b.*?:|^Caused by:)\s*(\S.*)")
"""How a line begins that says why it ends: ours, and Tessera's."""

_POLL = 0.02
_ANSWER_WITHIN = 5.0
_DEATHS = 3
"""Ends before it was ever ready, after which it is given up for this start of the node."""

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 10.0


class Companion:
    """A transaction manager that is kept running, or none."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None
        self.deaths = 0
        self.last_words = ""
        """What it said of why it ended, as far as it did."""

    def files_changed(self) -> None:
        """Has it read again who else is in the network."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGHUP)


@contextlib.asynccontextmanager
async def transaction_manager(
    directory: Path, record: NodeRecord, log: LogSink, *, override: Path | None = None, unwanted: asyncio.Event,
    troubles: Troubles | None = None,
) -> AsyncIterator[Companion]:  # fmt: skip
    """Runs the node's transaction manager for as long as the block does; nothing where it has none. One that has a
    container of its own is only waited for.

    `override` is the program to run instead of the one that is found. Once `unwanted` is set, nothing is waited for.

    Raises:
        EngineError: its program is not here.
        NodeError: it cannot run in that directory, or was not ready in time.
    """
    companion = Companion()
    if record.tm is None:
        yield companion
        return
    manager = manager_of(record.tm.kind)
    if record.tm.apart:
        await _ready(directory, manager, unwanted, companion, hint="its container's log says why")
        yield companion
        return
    manager.check_place(directory)
    command = manager.run_command(manager.find(override=override))
    keep = functools.partial(_keep, companion, directory, command, manager.environment(), log)
    about = "the care of its transaction manager"
    keeping = asyncio.create_task(
        kept_up(keep, about, troubles or Troubles(log, lambda _: None)), name=f"transaction manager of {record.name}"
    )
    try:
        await _ready(directory, manager, unwanted, companion, hint="its lines in the log say why")
        yield companion
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def _ready(
    directory: Path, manager: Manager, unwanted: asyncio.Event, companion: Companion, *, hint: str
) -> None:
    """Returns when the manager answers.

    Raises:
        NodeError: it does not, or need not any more.
    """
    try:
        async with asyncio.timeout(manager.start_patience):
            while not await _answers(directory / TM_SOCKET):
                if unwanted.is_set():
                    raise NodeError("stopped before its transaction manager was ready")
                if companion.deaths >= _DEATHS:
                    said = f": {companion.last_words}" if companion.last_words else ""
                    raise NodeError(f"the transaction manager ends before it is ready{said}", hint=hint)
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise NodeError(f"the transaction manager was not ready in {manager.start_patience:g} s", hint=hint) from None


async def _answers(socket: Path) -> bool:
    """Whether a manager on that socket says that it is up, as Constellation, Tessera and ours all do."""
    writer = None
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            with short_socket_path(socket) as name:
                reader, writer = await asyncio.open_unix_connection(name)
            writer.write(b"GET /upcheck HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b"up!" in await reader.read()
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()


async def _keep(
    companion: Companion, directory: Path, command: list[str], environment: dict[str, str], log: LogSink
) -> None:
    """Starts it again whenever it ends; cancelled, it ends it."""
    delay = _FIRST_DELAY
    while True:
        began = asyncio.get_running_loop().time()
        code = await _run_once(companion, directory, command, environment, log)
        if asyncio.get_running_loop().time() - began > _LONGEST_DELAY:
            delay = _FIRST_DELAY
        companion.deaths += 1
        log.line(own_line("WARN", f"the transaction manager ended with {code}; next start in {delay:g} s"))
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY)


async def _run_once(
    companion: Companion, directory: Path, command: list[str], environment: dict[str, str], log: LogSink
) -> int:
    """Its exit code; whatever happens here, it does not outlive this."""
    # One that a killed manager left would keep Tessera from listening.
    (directory / TM_SOCKET).unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env=os.environ | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    companion.process = process
    try:
        assert process.stdout is not None
        async for line in lines_of(process.stdout):
            log.line("tm: " + line)
            if (told := _FAILURE.search(line)) is not None:
                companion.last_words = one_line(told[1])
        return await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_PATIENCE):
                    await process.wait()
            if process.returncode is None:
                process.kill()
