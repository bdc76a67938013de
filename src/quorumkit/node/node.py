"""One node: its group is prepared, started, watched, started again when it ends, and stopped cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from quorumkit.engines import driver_of
from quorumkit.errors import QuorumkitError
from quorumkit.foreign import one_line
from quorumkit.node.admission import Admission
from quorumkit.node.aim import Aim
from quorumkit.node.group import Ending, Group
from quorumkit.node.log import LogSink, own_line
from quorumkit.node.preparing import Preparation, Prepared
from quorumkit.node.restarts import Restarts
from quorumkit.node.room import with_room_named
from quorumkit.node.state import RunningState
from quorumkit.node.status import NodeStatus, State
from quorumkit.node.task import Ground, explained
from quorumkit.node.trouble import Troubles, kept_up
from quorumkit.node.watch import Watch
from quorumkit.record import NodeRecord, read_record


class Gate(Protocol):
    """What must have happened before the client can start: nodes that share nothing agree on the genesis first."""

    locked: asyncio.Event
    """Set once the node's files are there."""


class Node:
    """`run` lives as long as the node program; `start` and `stop` change what it aims at."""

    def __init__(
        self, directory: Path, *, override: Path | None, tm_override: Path | None = None, log: LogSink,
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        """`override` is a client binary to run instead of the one in the cache, `tm_override` a transaction manager."""
        self.directory = directory
        self.status = NodeStatus(name=directory.name)
        self.troubles = Troubles(log, self._set_trouble)
        self._override = override
        self._tm_override = tm_override
        self._log = log
        self._changed = changed
        self._aim = Aim()
        self._anew = asyncio.Event()
        self._restarts = Restarts()
        self._admission = Admission(directory)
        self._admitting = asyncio.Lock()
        self.gate: Gate | None = None
        """Where there is one, the client starts only when that is open."""
        self._preparation: Preparation | None = None
        self._group: Group | None = None
        self._watch: Watch | None = None
        self._state = RunningState(self.status, self._set_state, say=self._say)

    def set_waiting(self, text: str) -> None:
        """What the node waits for before its client can start."""
        if self._aim.is_to_run and self._group is None:
            self._set_state("exchanging", error=text)

    def reload(self) -> None:
        """The node's files were written again: the running client is given the peers that it should have now, and the
        transaction manager reads who else is in the network."""
        with contextlib.suppress(QuorumkitError, OSError):
            self.load()
            if self._group is not None:
                self._group.reload()
            self._changed()
        if self._watch is not None:
            self._watch.take(self.record)

    def needs_admission(self) -> bool:
        """Whether the client cannot start before the members have taken the node in."""
        return self.record.recipe.needs_admission(self.record) and self._admission.read() is None

    async def admit(self, enode: str, replaced: Collection[str] | None = None) -> str:
        """Has this node's client take in another node; what that one's client must be started with. `replaced`: see
        `Driver.admit`.

        Raises:
            NodeError: this node cannot do it, or not now; or another has that one's place.
            RpcError: its client cannot be asked.
        """
        driver = driver_of(self.record.engine.kind, self.record.consensus.kind)
        async with self._admitting, await driver.connect(self.directory, self.record) as rpc:
            return await driver.admit(rpc, enode, replaced)

    def admitted(self, admission: str) -> None:
        """The members have taken this node in: its client can start, now and for good."""
        self._admission.write(admission)

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
        """
        self._record = read_record(self.directory)
        self.status.describe(self._record)

    def start(self) -> None:
        """Makes the node run, now and whenever its client dies; one that waits for its next try is tried at once, and
        what it failed of before counts no more."""
        if self._aim.is_to_run and self.status.state in ("restarting", "failed"):
            self._restarts.forget()
            self._set_state("starting")
            self._anew.set()
        self._aim.start()

    async def stop(self) -> None:
        """Stops all processes and returns when they have ended, even if it is to start again by then."""
        if self._aim.stop():
            if self._preparation is not None:
                self._preparation.stop()
            if self._group is not None:
                self._group.stop()
            await self._aim.stopped()

    async def run(self) -> None:
        """Never returns; to be cancelled after `stop`."""
        self._restarts.forget()
        while True:
            await self._aim.started()
            began = time.monotonic()
            ending = await self._try()
            was_ready = self._state.was_ready
            self._group = self._watch = None
            self._state.forget()
            if ending.restarts_at_once and not self._aim.stop_asked and self._restarts.at_once():
                self._say("INFO", f"{self.status.name} starts again: {ending.reason}")
            elif not self._aim.stop_asked:
                # What fell silent ran for as long as it answered, and that once it was in step excuses nothing: on a
                # machine that is only too busy it is not to be ended again and again.
                ran_for = (ending.silent_since or time.monotonic()) - began
                pause = self._restarts.died(ran_for=ran_for, was_ready=was_ready and ending.silent_since is None)
                self.status.restarts += 1
                reason = with_room_named(ending.reason, self.directory, _free(self.directory))
                self._say("WARN", f"{self.status.name} ended: {reason}; next start in {pause:g} s")
                self._set_state("failed" if self._restarts.failed else "restarting", error=reason)
                await self._aim.comes(self._anew, within=pause)
                self._anew.clear()
            if self._aim.stop_asked:
                self._restarts.forget()
                self._set_state("stopped")
                self._aim.has_stopped()

    async def _try(self) -> Ending:
        """One start of the node, until all its processes have ended, whatever goes wrong."""
        try:
            # One that keeps dying is failed until its client is up.
            state: State = "failed" if self._restarts.failed else "starting"
            self._set_state(state, error=self.status.error if self._restarts.any else None)
            if not await self._may_start():
                return Ending("stopped before it started")
            self.load()
            prepared = await self._prepare()
            if prepared is None:
                return Ending("stopped before it started")
            ending = await self._run_group(prepared)
        except QuorumkitError as error:
            return Ending(explained(error))
        except OSError as error:
            return Ending(f"{error.filename or self.directory}: {error.strerror or error}")
        except Exception as error:
            self.troubles.report("the care of the node", error)
            return Ending(one_line(f"{type(error).__name__}: {error}"))
        self.troubles.note("the care of the node", None)
        return ending

    async def _may_start(self) -> bool:
        """Waits at the gate, if there is one, and for admission, where it takes that; False when the node is to stop
        by then."""
        if self.gate is not None and not self.gate.locked.is_set():
            if not await self._aim.comes(self.gate.locked):
                return False
            self._set_state("starting")
        self.load()
        if self.needs_admission():
            self._admission.came.clear()
            who = "it asks them" if self.gate else "`quorumkit up` asks them"
            self._set_state("admitting", error=f"waits until a member takes it in: {who}")
            if not await self._aim.comes(self._admission.came):
                return False
            self._set_state("starting")
        return not self._aim.stop_asked

    async def _prepare(self) -> Prepared | None:
        """Raises what `Preparation.run` does."""
        self._preparation = Preparation(self.directory, self.record, self._log, self.troubles)
        try:
            return await self._preparation.run(
                admission=self._admission.read(), override=self._override, tm_override=self._tm_override
            )
        finally:
            self._preparation = None

    async def _run_group(self, prepared: Prepared) -> Ending:
        """Runs the node's parts until one ends that the others need, or they are to stop."""
        client = prepared.client
        group = Group(
            prepared.parts, self.directory, self._log, self.troubles, main=client, changed=self._update_pids,
            ground=Ground(record=lambda: self.record, publish=self._state.publish),
        )  # fmt: skip
        watch = Watch(self.directory, self.record, prepared.genesis, self._state)
        self._client, self._group, self._watch = client, group, watch
        if self._aim.stop_asked:  # in the moment of the start
            group.stop()
        self._state.begin(self.record, group.refuse)
        work = functools.partial(watch.run, group[client].ready)
        watching = asyncio.create_task(
            kept_up(work, "the watch over its client", self.troubles), name=f"watch {self.record.name}"
        )
        try:
            return await group.run()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _update_pids(self) -> None:
        if self._group is not None:
            self.status.processes = self._group.pids
            self.status.pid = self._group.pids.get(self._client)
            self._changed()

    def _set_state(self, state: State, error: str | None = None) -> None:
        self.status.state = state
        self.status.error = error
        self._changed()

    def _set_trouble(self, text: str | None) -> None:
        self.status.trouble = text
        self._changed()

    def _say(self, level: str, text: str) -> None:
        self._log.line(own_line(level, text))


def _free(directory: Path) -> int:
    """Bytes of disk that are free there."""
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return sys.maxsize
