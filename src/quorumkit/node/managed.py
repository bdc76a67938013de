"""One node: its client is prepared, started, watched, started again when it dies, and stopped cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import signal
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from quorumkit.engines import Binary, engine_of
from quorumkit.errors import EngineError, GenesisMismatchError, NodeError, QuorumkitError, RpcError
from quorumkit.files import write_atomic
from quorumkit.foreign import one_line
from quorumkit.identity import check_identity
from quorumkit.identity.store import PASSWORD
from quorumkit.node import silence
from quorumkit.node.chain import GENESIS_MARKER, check_first_block, is_to_be_made, read_genesis
from quorumkit.node.companion import Companion, transaction_manager
from quorumkit.node.following import Following
from quorumkit.node.lines import lines_of
from quorumkit.node.log import LogSink, own_line
from quorumkit.node.noise import Noise
from quorumkit.node.peering import Peering
from quorumkit.node.restarts import Restarts
from quorumkit.node.room import told_of_room
from quorumkit.node.sealing import Sealing
from quorumkit.node.status import NodeStatus, State
from quorumkit.node.trouble import Troubles, kept_up
from quorumkit.record import NodeRecord, read_record
from quorumkit.rpc import IpcRpc

ADMISSION = Path("admission")
"""What the members answered when they took this node in, where it had to be admitted. It holds for good."""

STOP_GRACE = 60.0
"""Seconds a client gets to write out its state after SIGTERM, before SIGKILL."""


class Gate(Protocol):
    """What must have happened before the client can start: nodes that share nothing agree on the genesis first."""

    locked: asyncio.Event
    """Set once the node's files are there."""


class ManagedNode:
    """One node and its client. `run` lives as long as the node program; `start` and `stop` change what it aims at."""

    def __init__(
        self, directory: Path, *, override: Path | None, tm_override: Path | None = None, log: LogSink,
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        """`override` is a client binary to run instead of the one in the cache, `tm_override` a transaction manager."""
        self.directory = directory
        self.status = NodeStatus(name=directory.name)
        self._override = override
        self._tm_override = tm_override
        self._log = log
        self._changed = changed
        self.troubles = Troubles(log, self._tell_trouble)
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._unwanted.set()
        self._stopped = asyncio.Event()
        self._stopped.set()
        self._process: asyncio.subprocess.Process | None = None
        self._stop_asked = False
        self._anew = asyncio.Event()
        self._restarts = Restarts()
        self._admitted = asyncio.Event()
        self._admitting = asyncio.Lock()
        self._refusal: str | None = None
        self._silent_since: float | None = None
        self._following = Following(self.status, self._set_state)
        self._peering: Peering | None = None
        self._gate: Gate | None = None
        self._companion = Companion()

    def wait_for(self, gate: Gate) -> None:
        """Has the client start only when that is open."""
        self._gate = gate

    def tell(self, text: str) -> None:
        """What the node waits for before its client can start."""
        if self._wanted.is_set() and self._process is None:
            self._set_state("exchanging", error=text)

    def reload(self) -> None:
        """The node's files were written again: the running client is given the peers that it should have now, and the
        transaction manager reads who else is in the network."""
        with contextlib.suppress(QuorumkitError, OSError):
            self.load()
            self._companion.files_changed()
            self._changed()
        if self._peering is not None:
            self._peering.take(self.record)

    def needs_admission(self) -> bool:
        """Whether the client cannot start before the members have taken the node in."""
        return self._engine.needs_admission(self.record) and self._admission() is None

    async def admit(self, enode: str, replaced: Collection[str] | None = None) -> str:
        """Has this node's client take in another node; what that one must be told of it. `replaced`: see
        `Engine.admit`.

        Raises:
            NodeError: this node cannot do it, or not now; or another has that one's place.
            RpcError: its client cannot be asked.
        """
        async with (
            self._admitting,
            await IpcRpc.connect(self.directory / self._engine.ipc, where=self.status.name) as rpc,
        ):
            return await self._engine.admit(rpc, enode, replaced)

    def admitted(self, admission: str) -> None:
        """The members have taken this node in: its client can start, now and for good."""
        write_atomic(self.directory / ADMISSION, (admission + "\n").encode())
        self._admitted.set()

    @property
    def record(self) -> NodeRecord:
        """The node's record, as it was read for the present start."""
        return self._record

    @property
    def host_names(self) -> frozenset[str]:
        """What its host is known by, as far as its record could be read."""
        record = getattr(self, "_record", None)
        return frozenset([record.endpoints.p2p.host, *record.endpoints.rpc_names]) if record else frozenset()

    def load(self) -> None:
        """Reads what the node is, anew for each start: its files may have been rendered again, or put back.

        Raises:
            CorruptFileError: the record is missing or wrong.
            EngineError: the client binary is not what it should be.
        """
        self._record = read_record(self.directory)
        self.status.describe(self._record)
        self._engine = engine_of(self._record.engine.kind)

    def start(self) -> None:
        """Makes the node run, now and whenever its client dies; one that waits for its next try is tried at once, and
        what it failed of before counts no more."""
        if self._wanted.is_set() and self.status.state in ("restarting", "failed"):
            self._restarts.forget()
            self._set_state("starting")
            self._anew.set()
        self._unwanted.clear()
        self._stopped.clear()
        self._wanted.set()

    async def stop(self) -> None:
        """Stops the client and returns when it has ended, even if it was told to start again meanwhile."""
        self._wanted.clear()
        self._unwanted.set()
        if self._stopped.is_set():
            return
        self._stop_asked = True
        if self._process is not None:
            await self._end(self._process)
        await self._stopped.wait()

    async def run(self) -> None:
        """Never returns; to be cancelled after `stop`."""
        self._restarts.forget()
        while True:
            if not self._stop_asked:
                await self._wanted.wait()
            began = time.monotonic()
            try:
                # One that keeps dying is failed until its client is up.
                state: State = "failed" if self._restarts.failed else "starting"
                self._set_state(state, error=self.status.error if self._restarts.any else None)
                if await self._may_start():
                    await self._prepare()
                    async with transaction_manager(
                        self.directory,
                        self.record,
                        self._log,
                        override=self._tm_override,
                        unwanted=self._unwanted,
                        troubles=self.troubles,
                    ) as self._companion:
                        reason = await self._run_client()
                else:
                    reason = "stopped before it started"
            except QuorumkitError as error:
                reason = error.message + (f" ({error.hint})" if error.hint else "")
            except OSError as error:
                reason = f"{error.filename or self.directory}: {error.strerror or error}"
            except Exception as error:
                self.troubles.report("the care of the node", error)
                reason = one_line(f"{type(error).__name__}: {error}")
            else:
                self.troubles.note("the care of the node", None)
            was_ready, silent_since = self._following.was_ready, self._silent_since
            self._forget_client()
            if self._stop_asked:
                self._restarts.forget()
                self._now_stopped()
                continue
            # One that fell silent ran for as long as it answered, and that once it was in step excuses nothing: on a
            # machine that is only too busy it is not to be ended again and again.
            ran_for = (silent_since or time.monotonic()) - began
            pause = self._restarts.died(ran_for=ran_for, was_ready=was_ready and silent_since is None)
            self.status.restarts += 1
            reason = told_of_room(reason, self.directory, _free(self.directory))
            self._say("WARN", f"{self.status.name} ended: {reason}; next start in {pause:g} s")
            self._set_state("failed" if self._restarts.failed else "restarting", error=reason)
            await self._comes(self._anew, within=pause)
            self._anew.clear()
            if self._stop_asked:
                self._restarts.forget()
                self._now_stopped()

    def _now_stopped(self) -> None:
        """Lets everybody go on who waits in `stop`. Somebody may have asked for a start since."""
        self._stop_asked = False
        self._set_state("stopped")
        self._stopped.set()
        if self._wanted.is_set():
            self._stopped.clear()

    async def _may_start(self) -> bool:
        """Waits at the gate, if there is one, and for admission, where it takes that; False when the node was told to
        stop meanwhile."""
        if self._gate is not None and not self._gate.locked.is_set():
            if not await self._comes(self._gate.locked):
                return False
            self._set_state("starting")
        self.load()
        if self.needs_admission():
            self._admitted.clear()
            who = "it asks them" if self._gate else "`quorumkit up` asks them"
            self._set_state("admitting", error=f"waits until a member takes it in: {who}")
            if not await self._comes(self._admitted):
                return False
            self._set_state("starting")
        return not self._stop_asked

    async def _comes(self, event: asyncio.Event, *, within: float | None = None) -> bool:
        """Waits for the event; False when the node was told to stop before, or the time (seconds) was over."""
        either = [asyncio.create_task(event.wait()), asyncio.create_task(self._unwanted.wait())]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED, timeout=within)
        finally:
            for task in either:
                task.cancel()
        return event.is_set()

    def _admission(self) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            return (self.directory / ADMISSION).read_text(encoding="ascii").strip()
        return None

    async def _prepare(self) -> None:
        """Checks keys and genesis, and makes the chain where there is none yet.

        Raises:
            CorruptFileError: a key or the genesis is not what it should be.
            GenesisMismatchError: the chain was made from another genesis.
            NodeError: the client refused the genesis.
        """
        self.load()
        self._binary = await asyncio.to_thread(self._find_binary)
        await asyncio.to_thread(self._check_identity)
        await asyncio.to_thread(self._engine.clear_unfinished, self.directory)
        self._genesis = await asyncio.to_thread(read_genesis, self.directory)
        if not is_to_be_made(self.directory, self._engine, self.record, self._genesis):
            return
        marker = self.directory / GENESIS_MARKER
        if marker.exists():
            self._say(
                "WARN", "the chain is gone: it is made again from the genesis, and its blocks come from the peers"
            )
            marker.unlink()  # until it is whole
        for each in self._engine.setup_commands(self._binary.path, self.record, str(self._genesis.path)):
            failure = await self._run_to_end(each)
            if failure is not None:
                raise NodeError(f"the client refused {self._genesis.path.name}: {failure}")
        write_atomic(marker, (self._genesis.digest + "\n").encode())

    def _find_binary(self) -> Binary:
        wanted = self._record.engine
        binary = self._engine.find(wanted.version, override=self._override, image=wanted.image)
        if binary is None:
            raise EngineError(
                f"{wanted.kind} {wanted.version} is not there yet",
                hint="`quorumkit up` builds it, or name one with --engine-binary",
            )
        return binary

    def _check_identity(self) -> None:
        check_identity(self.directory, self.record.identity)

    async def _run_to_end(self, command: list[str]) -> str | None:
        """Runs a client command that ends by itself; why it failed, if it did."""
        process = await self._spawn(command)
        failure = await self._pump(process, asyncio.Event())
        code = await process.wait()
        return None if code == 0 else failure or f"exit code {code}"

    async def _run_client(self) -> str:
        """Runs the client until it ends; why it ended."""
        listening = asyncio.Event()
        command = self._engine.run_command(self._binary.path, self.record, admission=self._admission())
        self._peering = Peering(self._engine, self.record, self._say)
        self._following.begin(self.record)
        process = await self._spawn(command)
        self._process = process
        self._refusal = None
        self.status.pid = process.pid
        self._changed()
        if self._stop_asked:  # in the moment of the start
            await self._end(process)
        works = {
            "the watch over its client": functools.partial(self._watch, listening),
            "the watch over its answers": functools.partial(self._end_if_silent, process, listening),
        }
        watches = [
            asyncio.create_task(kept_up(work, about, self.troubles), name=f"{self.record.name}: {about}")
            for about, work in works.items()
        ]
        try:
            failure = await self._pump(process, listening)
            code = await process.wait()
        finally:
            if process.returncode is None:
                await self._end(process)
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        if failure or self._refusal:
            return failure or str(self._refusal)
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    async def _spawn(self, command: list[str]) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C at the terminal reaches the node program alone, which then stops its clients in order.
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"{command[0]}: cannot be run ({error.strerror or error})") from None

    async def _pump(self, process: asyncio.subprocess.Process, listening: asyncio.Event) -> str | None:
        """Copies the client's lines to the log until it closes them; the last that tells why it ends."""
        assert process.stdout is not None
        failure = None
        noise = Noise(self._engine.noise)
        async for line in lines_of(process.stdout):
            if not listening.is_set() and self._engine.can_be_asked(line, self.record):
                listening.set()
            if not noise.is_one(line):
                self._log.line(line)
            failure = self._engine.failure_in(line) or failure
        if noise.left_out:
            self._say("INFO", f"{noise.left_out} lines of the client were left out: {self._engine.noise_is}")
        return failure

    async def _watch(self, listening: asyncio.Event) -> None:
        """Follows the client's blocks and peers over its socket for as long as it runs."""
        await listening.wait()
        while True:
            with contextlib.suppress(RpcError):
                socket = self.directory / self._engine.ipc
                async with await IpcRpc.connect(socket, where=self.record.name) as rpc:
                    if not await self._is_on_our_chain(rpc):
                        return
                    await self._attend(rpc)
            # Only a client that closes a connection, or is too slow to answer, and lives comes here.
            await asyncio.sleep(1)

    async def _end_if_silent(self, process: asyncio.subprocess.Process, listening: asyncio.Event) -> None:
        """Ends a client that lives and answers no more, so that it is started again."""
        await listening.wait()
        await silence.falls_silent(
            self.directory / self._engine.ipc, self._engine.sign_of_life(self.record), process.pid
        )
        if self._stop_asked:
            return
        self._silent_since = time.monotonic() - silence.SILENT_AFTER
        self._refusal = f"its client had not answered for {silence.SILENT_AFTER:g} s"
        self._say("WARN", f"{self._refusal}: it is ended")
        await self._end(process, grace=silence.ENDS_WITHIN)

    async def _is_on_our_chain(self, rpc: IpcRpc) -> bool:
        """Ends a client that is on another chain, before it seals or sends anything."""
        try:
            await check_first_block(rpc, self._genesis, self.record.name)
        except GenesisMismatchError as error:
            self._refusal = f"{error.message} ({error.hint})"
            if self._process is not None:
                await self._end(self._process)
            return False
        return True

    async def _attend(self, rpc: IpcRpc) -> None:
        """Until that connection to the client ends."""
        assert self._peering is not None
        sealing = Sealing(
            rpc, self._engine, self.record, self.directory, self.status, self._following,
            open_account=self._open_account, say=self._say,
        )  # fmt: skip
        tasks = [
            asyncio.create_task(self._following.follow_heads(rpc)),
            asyncio.create_task(self._following.follow_peers(rpc)),
            asyncio.create_task(sealing.run()),
            asyncio.create_task(self._peering.keep(rpc, sealing.may_have_peers)),
        ]
        try:
            # One that ends, because an answer took too long, is taken up again with the others.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _open_account(self, rpc: IpcRpc) -> None:
        """Opens the node's account; a client that refuses is ended, and the reason told."""
        while rpc.is_open:
            try:
                password = (self.directory / PASSWORD).read_text(encoding="utf-8").strip()
                await self._engine.open_account(rpc, self.record.identity.account, password)
            except RpcError:  # it is slow, or gone
                await asyncio.sleep(1)
            except (EngineError, OSError, ValueError) as error:
                self._refusal = str(error)
                if self._process is not None:
                    await self._end(self._process)
                return
            else:
                self._following.account_opened()
                return

    def _forget_client(self) -> None:
        self._process = self._peering = self._silent_since = None
        self._following.forget()

    def _set_state(self, state: State, error: str | None = None) -> None:
        self.status.state = state
        self.status.error = error
        self._changed()

    def _tell_trouble(self, text: str | None) -> None:
        self.status.trouble = text
        self._changed()

    def _say(self, level: str, text: str) -> None:
        self._log.line(own_line(level, text))

    async def _end(self, process: asyncio.subprocess.Process, *, grace: float = STOP_GRACE) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            self._say("WARN", f"{self.status.name} did not end in {grace:g} s and is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def _free(directory: Path) -> int:
    """Bytes of disk that are free there."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return sys.maxsize
