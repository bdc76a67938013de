"""A node program in the background: found, spoken to, started and ended by the state directory it keeps."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from quorumkit.errors import NodeError, NotRunningError, RpcError
from quorumkit.files import SECRET_MODE, private_directory
from quorumkit.managers import managers
from quorumkit.node.control import SOCKET_NAME
from quorumkit.node.info import INFO_NAME, read_info
from quorumkit.process_spec import MARK, STOP_WITHIN
from quorumkit.providers.running import process_writing
from quorumkit.providers.timing import CONTROL_POLL
from quorumkit.rpc import IpcRpc

PROGRAM_LOG = "supervisor.log"
CONTROL_TIMEOUT = 2 * STOP_WITHIN

_STATE = "--state"
_WORDS = ["node", "run", _STATE]

_OURS = {"--datadir", *(manager.config for manager in managers())}
"""What is on the command line of a client or a transaction manager that an earlier version started, without a mark."""


class NodeProgram:
    """One, whether it runs or not."""

    def __init__(self, state: Path, nodes: Sequence[Path], *, network: Path, former: Sequence[Path] = ()) -> None:
        """`nodes` are the directories of the nodes it carries, `former` of those that it carried once; `network` is
        what a person calls it all by."""
        self.state = state
        self._nodes = nodes
        self._former = former
        self._network = network

    @property
    def log_path(self) -> Path:
        return self.state / PROGRAM_LOG

    def process(self) -> psutil.Process | None:
        """The process, if there is one: a pid alone could be somebody else's by now. One whose note of itself is lost,
        or an old one's again (a backup was put back over its directory), is found by the log that it writes."""
        info = read_info(self.state)
        if info is not None:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(info["pid"])
                alive = abs(process.create_time() - info["created"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
                if alive and not self._is_of_another(process):
                    return process
        # Without a socket nothing could be said to it, and it may be that of a directory which was here before.
        return process_writing(self.log_path, _WORDS) if self._control_socket.exists() else None

    def _is_of_another(self, process: psutil.Process) -> bool:
        """Whether it keeps another state directory than this one, which is then a copy of that. One that was moved
        while it ran keeps one that is not there any more."""
        words = process.cmdline()
        if _STATE not in words[:-1]:
            return False
        kept = Path(words[words.index(_STATE) + 1])
        return kept.exists() and not (self.state.exists() and kept.samefile(self.state))

    async def connect(self, *, patient: bool = False) -> IpcRpc:
        """A connection to its control socket; with `patient`, to one that is only just starting too.

        Raises:
            NotRunningError: it does not run.
            RpcError: it cannot be reached.
        """
        deadline = time.monotonic() + (CONTROL_TIMEOUT if patient else 0)
        while True:
            if self.process() is None:
                raise NotRunningError(f"{self._network}: not running", hint=f"start it: quorumkit up {self._network}")
            try:
                return await IpcRpc.connect(self._control_socket, where="the node program")
            except RpcError:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(CONTROL_POLL)

    async def call(self, method: str, *params: Any) -> Any:
        """Raises what `connect` does, and RpcError when it refuses."""
        async with await self.connect() as control:
            return await control.call(method, *params, timeout=CONTROL_TIMEOUT)

    @contextlib.contextmanager
    def starting_or_stopping(self) -> Iterator[None]:
        """Keeps two commands from starting and stopping it at once.

        Raises:
            NodeError: another command does so, for longer than it should take.
        """
        private_directory(self.state)
        try:
            with FileLock(self.state / "start.lock", mode=SECRET_MODE, timeout=2 * CONTROL_TIMEOUT):
                yield
        except Timeout:
            raise NodeError(
                f"{self._network}: another quorumkit command is starting or stopping it",
                hint="wait for it, or end it",
            ) from None

    def spawn(self, arguments: Sequence[str]) -> None:
        """Starts it and returns when its control socket listens; `arguments` are those of `node run` beyond the state
        directory and the nodes.

        Raises:
            NodeError: it ended instead; the message is its own.
        """
        private_directory(self.state)
        reader, writer = os.pipe()
        # -P: a folder named like one of our modules, where the person stands, is not to be imported.
        command = [sys.executable, "-P", "-m", "quorumkit", *_WORDS, str(self.state.absolute())]
        command += ["--ready-descriptor", str(writer), *arguments]
        try:
            with self.log_path.open("ab") as log:
                start = log.tell()
                process = subprocess.Popen(
                    [*command, *(str(node.absolute()) for node in self._nodes)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[writer],
                    start_new_session=True,
                )
            os.close(writer)
            writer = -1
            with os.fdopen(reader, "rb") as pipe:
                reader = -1
                if pipe.readline():
                    return
            process.wait()
        finally:
            for descriptor in (reader, writer):
                if descriptor >= 0:
                    os.close(descriptor)
        with self.log_path.open("rb") as log:
            log.seek(start)
            said = log.read().decode("utf-8", "replace").strip()
        if not said and shutil.disk_usage(self.log_path.parent).free == 0:  # nor could it say so
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.log_path.parent))
        reason = said.removeprefix("error: ").splitlines()[0] if said else f"exit code {process.returncode}"
        raise NodeError(f"the node program did not start: {reason}", hint=f"see {self.log_path}")

    async def end(self, report: Callable[[list[dict[str, Any]]], None]) -> bool:
        """Ends it and all it runs; `report` gets its nodes' statuses meanwhile. Whether anything ran."""
        process = self.process()
        if process is None:
            return bool(await asyncio.to_thread(self.end_orphans))
        with contextlib.suppress(RpcError, psutil.Error, NotRunningError):
            # A signal is heard even where the control socket does not listen yet.
            process.terminate()
            async with (
                await self.connect() as control,
                contextlib.aclosing(control.subscribe(namespace="status")) as statuses,
            ):
                async for nodes in statuses:
                    report(nodes)
        try:
            await asyncio.to_thread(process.wait, CONTROL_TIMEOUT)
        except psutil.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)
        await asyncio.to_thread(self.end_orphans)
        return True

    def end_orphans(self) -> int:
        """Ends clients that outlived a node program which was killed; how many there were."""
        orphans = self.orphans()
        for process in orphans:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(orphans, STOP_WITHIN)
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(alive)
        (self.state / INFO_NAME).unlink(missing_ok=True)
        self._control_socket.unlink(missing_ok=True)
        return len(orphans)

    def orphans(self) -> list[psutil.Process]:
        """Clients and transaction managers that run although their node program does not: their working directory is
        their node's."""
        if read_info(self.state) is None or self.process():
            return []
        nodes = {node.resolve() for node in (*self._nodes, *self._former)}
        orphans = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if Path(process.cwd()) in nodes and _is_of_a_node(process):
                    orphans.append(process)
        return orphans

    @property
    def _control_socket(self) -> Path:
        return self.state.absolute() / SOCKET_NAME


def _is_of_a_node(process: psutil.Process) -> bool:
    """Whether a node program started it."""
    return MARK in process.environ() or not _OURS.isdisjoint(process.cmdline())
