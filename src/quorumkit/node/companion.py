"""What runs beside a client: its transaction manager. Started before it, restarted by itself, stopped after it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from quorumkit.errors import NodeError
from quorumkit.node.log import LogSink, own_line
from quorumkit.node.record import NodeRecord

START_PATIENCE = 30.0
STOP_PATIENCE = 15.0
"""Seconds."""

_POLL = 0.02
_FIRST_DELAY = 0.2
_LONGEST_DELAY = 10.0

TM_SOCKET = Path("tm/tm.ipc")
"""Appears when the manager is ready, and not before."""


class Companion:
    """A transaction manager that is kept running, or none."""

    def __init__(self) -> None:
        self.process: asyncio.subprocess.Process | None = None

    def files_changed(self) -> None:
        """Has it read again who else is in the network."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGHUP)


@contextlib.asynccontextmanager
async def transaction_manager(directory: Path, record: NodeRecord, log: LogSink) -> AsyncIterator[Companion]:
    """Runs the node's transaction manager for as long as the block does; nothing where it has none.

    Raises:
        NodeError: it ended, or was not ready in time.
    """
    companion = Companion()
    if record.tm is None:
        yield companion
        return
    (directory / TM_SOCKET).unlink(missing_ok=True)
    keeping = asyncio.create_task(_keep(companion, directory, log), name=f"transaction manager of {record.name}")
    try:
        try:
            async with asyncio.timeout(START_PATIENCE):
                while not (directory / TM_SOCKET).exists():
                    if keeping.done():
                        break
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            raise NodeError(
                f"the transaction manager was not ready in {START_PATIENCE:g} s", hint="its lines in the log say why"
            ) from None
        yield companion
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def _keep(companion: Companion, directory: Path, log: LogSink) -> None:
    """Starts it again whenever it ends; cancelled, it ends it."""
    delay = _FIRST_DELAY
    while True:
        began = asyncio.get_running_loop().time()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "quorumkit.tm", "tm/tm.conf"),
            cwd=directory,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        companion.process = process
        try:
            assert process.stdout is not None
            async for line in process.stdout:
                log.line("tm: " + line.decode("utf-8", "replace").rstrip())
            code = await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_PATIENCE):
                    await process.wait()
            if process.returncode is None:
                process.kill()
            raise
        if asyncio.get_running_loop().time() - began > _LONGEST_DELAY:
            delay = _FIRST_DELAY
        log.line(own_line("WARN", f"the transaction manager ended with {code}; next start in {delay:g} s"))
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY)
