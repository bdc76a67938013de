"""One node: its client is prepared, started, watched, started again when it dies, and stopped cleanly."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from quorumkit.engines import Binary, engine_of
from quorumkit.errors import EngineError, GenesisMismatchError, NodeError, QuorumkitError, RpcError
from quorumkit.files import write_atomic
from quorumkit.foreign import one_line
from quorumkit.identity import PublicIdentity, check_identity
from quorumkit.identity.keys import enode_key_in
from quorumkit.identity.store import PASSWORD
from quorumkit.node.chain import GENESIS_MARKER, check_first_block, is_to_be_made, read_genesis
from quorumkit.node.companion import Companion, transaction_manager
from quorumkit.node.lines import lines_of
from quorumkit.node.log import LogSink, own_line
from quorumkit.node.record import NodeRecord, read_record
from quorumkit.node.status import NodeStatus, State
from quorumkit.node.trouble import Troubles, kept_up
from quorumkit.rpc import IpcRpc

ADMISSION = Path("admission")
"""What the members answered when they took this node in, where it had to be admitted. It holds for good."""

FIRST_DELAY = 0.1
LONGEST_DELAY = 30.0
HEALTHY_AFTER = 60.0
"""Seconds: a client that dies waits 0.1 s for its next start, then twice as long each time, up to 30 s; one that ran
for a minute starts over."""

STOP_GRACE = 60.0
"""Seconds a client gets to write out its state after SIGTERM, before SIGKILL."""

FAILED_AFTER = 3
"""Deaths in a row before a node that is still being restarted is called failed."""

SEAL_ANYWAY_AFTER = 3.0
"""Seconds after which a validator seals with a quorum of its peers, where not all have come."""

ACCOUNT_OPEN_WITHIN = 10.0
"""Seconds that a validator waits for its account before it seals all the same."""

OLD_ADDRESS_LOOK = 3.0
"""Seconds between two looks at a peer that is connected although the client knows it by an old address."""

SHORTEST_PEER_PAUSE = 0.2
LONGEST_PEER_PAUSE = 15.0
"""Seconds between two counts of the peers without an event."""


def stall_after(period: int) -> float:
    """Seconds without a block before a node counts as stalled: validators that are down cost some periods each."""
    return 10.0 + 5.0 * period


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
        self._admitted = asyncio.Event()
        self._admitting = asyncio.Lock()
        self._reloaded = asyncio.Event()
        self._given: dict[str, str] = {}
        """The static peers that the running client has been given: enode URLs by enode key."""
        self._refusal: str | None = None
        self._first_block: int | None = None
        self._peers_changed = asyncio.Event()
        self._account_open = False
        self._is_stalled = False
        self._stall: asyncio.TimerHandle | None = None
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
        self._reloaded.set()

    def needs_admission(self) -> bool:
        """Whether the client cannot start before the members have taken the node in."""
        return self._engine.needs_admission(self.record) and self._admission() is None

    async def admit(self, enode: str) -> str:
        """Has this node's client take in another node; what that one must be told of it.

        Raises:
            NodeError: this node cannot do it, or not now.
            RpcError: its client cannot be asked.
        """
        async with (
            self._admitting,
            await IpcRpc.connect(self.directory / self._engine.ipc, where=self.status.name) as rpc,
        ):
            return await self._engine.admit(rpc, enode)

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
        return frozenset([record.p2p.host, *record.rpc_names]) if record else frozenset()

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
        """Makes the node run, now and whenever its client dies."""
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
        delay = FIRST_DELAY
        deaths = 0
        while True:
            if not self._stop_asked:
                await self._wanted.wait()
            began = time.monotonic()
            try:
                # One that keeps dying is failed until its client is up.
                state: State = "failed" if deaths >= FAILED_AFTER else "starting"
                self._set_state(state, error=self.status.error if deaths else None)
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
            self._forget_client()
            if self._stop_asked:
                deaths, delay = 0, FIRST_DELAY
                self._now_stopped()
                continue
            if time.monotonic() - began > HEALTHY_AFTER:
                deaths, delay = 0, FIRST_DELAY
            deaths += 1
            self.status.restarts += 1
            self._say("WARN", f"{self.status.name} ended: {reason}; next start in {delay:g} s")
            self._set_state("failed" if deaths >= FAILED_AFTER else "restarting", error=reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._unwanted.wait()
            delay = min(delay * 2, LONGEST_DELAY)
            if self._stop_asked:
                deaths, delay = 0, FIRST_DELAY
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

    async def _comes(self, event: asyncio.Event) -> bool:
        """Waits for the event; False when the node was told to stop before."""
        either = [asyncio.create_task(event.wait()), asyncio.create_task(self._unwanted.wait())]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
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
        self._genesis = await asyncio.to_thread(read_genesis, self.directory)
        if not is_to_be_made(self.directory, self._engine, self.record, self._genesis):
            return
        marker = self.directory / GENESIS_MARKER
        if marker.exists():
            self._say(
                "WARN", "the chain is gone: it is made again from the genesis, and its blocks come from the peers"
            )
        command = self._engine.init_command(self._binary.path, str(self._genesis.path))
        failure = await self._run_to_end(command)
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
        check_identity(self.directory, PublicIdentity(self.record.enode_key, self.record.account))

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
        known = () if self._engine.seals_before_peers(self.record) else self.record.peers
        self._given = {enode_key_in(peer.enode): peer.enode for peer in known}
        process = await self._spawn(command)
        self._process = process
        self._refusal = None
        self.status.pid = process.pid
        self._changed()
        if self._stop_asked:  # in the moment of the start
            await self._end(process)
        watching = kept_up(functools.partial(self._watch, listening), "the watch over its client", self.troubles)
        watch = asyncio.create_task(watching, name=f"watch {self.record.name}")
        try:
            failure = await self._pump(process, listening)
            code = await process.wait()
        finally:
            if process.returncode is None:
                await self._end(process)
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
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
        async for line in lines_of(process.stdout):
            if not listening.is_set() and self._engine.ipc_ready in line:
                listening.set()
            self._log.line(line)
            failure = self._engine.failure_in(line) or failure
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
                    following = [
                        asyncio.create_task(self._follow_heads(rpc)),
                        asyncio.create_task(self._follow_peers(rpc)),
                    ]
                    others = [asyncio.create_task(self._seal(rpc)), asyncio.create_task(self._keep_peers(rpc))]
                    try:
                        # One that ends, because an answer took too long, is taken up again with the others.
                        await asyncio.wait(following, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for task in (*following, *others):
                            task.cancel()
                        await asyncio.gather(*following, *others, return_exceptions=True)
            # Only a client that closes a connection, or is too slow to answer, and lives comes here.
            await asyncio.sleep(1)

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

    async def _follow_heads(self, rpc: IpcRpc) -> None:
        with contextlib.suppress(RpcError, ValueError, KeyError, TypeError):
            async with contextlib.aclosing(rpc.subscribe("newHeads")) as heads:
                latest = await rpc.call("eth_getBlockByNumber", "latest", False)
                self._first_block = int(latest["number"], 16)
                self._see_head(latest)
                async for head in heads:
                    self._see_head(head)

    async def _follow_peers(self, rpc: IpcRpc) -> None:
        """Counts peers at each event, and now and then without one.

        geth answers a subscription a moment before it takes effect (node/api.go, PeerEvents), and the first peers come
        in that moment.
        """
        news = asyncio.Event()
        listener = asyncio.create_task(self._listen_for_peers(rpc, news))
        pause = SHORTEST_PEER_PAUSE
        try:
            while not listener.done():
                news.clear()
                self._see_peers(await rpc.call("net_peerCount"))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await news.wait()
                pause = min(pause * 2, LONGEST_PEER_PAUSE)
        except (RpcError, ValueError, TypeError):
            pass  # the connection is gone, or will be
        finally:
            listener.cancel()

    async def _listen_for_peers(self, rpc: IpcRpc, news: asyncio.Event) -> None:
        try:
            async with contextlib.aclosing(rpc.subscribe("peerEvents", namespace="admin")) as events:
                async for _ in events:
                    news.set()
        except RpcError:
            news.set()

    async def _seal(self, rpc: IpcRpc) -> None:
        """Makes a validator seal once it is connected: to all its peers, or after a while to enough for a quorum.

        With some consensus kinds it is the other way about, and it is connected once it seals (`_keep_peers`).

        One that seals alone makes a chain of its own, which costs it 10 s and more to leave for the others'. Before it
        seals it takes the others' blocks, and its account stays closed.
        """
        await self._set_up(rpc)
        method = self._engine.seal_method(self.record) if self.record.role == "validator" else None
        if method is None or self._engine.seals_before_peers(self.record):
            await self._open_account(rpc)
            return
        with contextlib.suppress(RpcError):
            await self._engine.accept_blocks(rpc)
        everyone = self.status.expected_peers
        enough = min(self.record.consensus.quorum - 1, (everyone + 1) // 2)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEAL_ANYWAY_AFTER):
                await self._peers_reach(everyone)
        await self._peers_reach(enough)
        await self._open_account(rpc)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACCOUNT_OPEN_WITHIN):
                await self._account_opens(rpc)
        with contextlib.suppress(RpcError):
            await self._engine.seal(rpc)

    async def _set_up(self, rpc: IpcRpc) -> None:
        while rpc.is_open:
            try:
                await self._engine.set_up(rpc, self.record)
            except RpcError:  # it is slow, or gone
                await asyncio.sleep(1)
            else:
                return

    async def _keep_peers(self, rpc: IpcRpc) -> None:
        """Gives the client the peers that it should have: those it was not to know before it seals, and those that its
        files, written again, have since."""
        while rpc.is_open:
            try:
                method = self._engine.seal_method(self.record) if self.record.role == "validator" else None
                if method is not None and self._engine.seals_before_peers(self.record):
                    await rpc.call(method)
                anew = bool(self._given)
                while True:
                    self._reloaded.clear()
                    wanted = {enode_key_in(peer.enode): peer.enode for peer in self.record.peers}
                    await self._give_peers(rpc, wanted, anew=anew)
                    # One that is connected from an old address, and then is not any more, must be told of.
                    pause = None if self._given == wanted else OLD_ADDRESS_LOOK
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._reloaded.wait()
                    anew = True
            except RpcError:  # it is slow, or gone
                await asyncio.sleep(1)

    async def _give_peers(self, rpc: IpcRpc, wanted: Mapping[str, str], *, anew: bool) -> None:
        """A peer that is connected is left alone even where it is known by an old address, for as long as it is: it
        found its way by itself, and taking it off the client's list to put it on again would cut the connection."""
        if self._given == wanted:
            return
        for key in self._given.keys() - wanted.keys():
            await self._engine.drop_peer(rpc, self._given[key])
            del self._given[key]
        connected = await self._engine.connected_keys(rpc)
        told: list[str] = []
        for key, enode in wanted.items():
            present = self._given.get(key)
            if present == enode or (present is not None and key in connected):
                continue
            if present is not None:
                await self._engine.drop_peer(rpc, present)
            await self._engine.add_peer(rpc, enode)
            self._given[key] = enode
            told.append(enode.rpartition("@")[2].partition("?")[0])
        if told and anew:
            self._say("INFO", f"the running client was told where {', '.join(told)} is")

    async def _open_account(self, rpc: IpcRpc) -> None:
        """Opens the node's account; a client that refuses is ended, and the reason told."""
        while rpc.is_open:
            try:
                password = (self.directory / PASSWORD).read_text(encoding="utf-8").strip()
                await self._engine.open_account(rpc, self.record.account, password)
            except RpcError:  # it is slow, or gone
                await asyncio.sleep(1)
            except (EngineError, OSError, ValueError) as error:
                self._refusal = str(error)
                if self._process is not None:
                    await self._end(self._process)
                return
            else:
                self._account_open = True
                self._reckon()
                return

    async def _account_opens(self, rpc: IpcRpc) -> None:
        """Returns when the client can sign with its account, which it opens a moment after its socket.

        A validator that seals before fails at its first block and waits for another's to try again: for ever, where it
        is the only one.
        """
        while True:
            try:
                await rpc.call("eth_sign", self.record.account, "0x00")
            except RpcError as error:
                if "authentication needed" not in error.message:
                    return
            else:
                return
            await asyncio.sleep(0.02)

    async def _peers_reach(self, count: int) -> None:
        while (self.status.peers or 0) < count:
            change = self._peers_changed
            await change.wait()

    def _see_head(self, head: dict[str, str]) -> None:
        self.status.block = int(head["number"], 16)
        self.status.block_hash = head["hash"]
        self._is_stalled = False
        if self._stall is not None:
            self._stall.cancel()
        if not self.record.consensus.blocks_on_demand:
            loop = asyncio.get_running_loop()
            self._stall = loop.call_later(stall_after(self.record.consensus.period), self._stalled)
        self._reckon()

    def _see_peers(self, count: str) -> None:
        self.status.peers = int(count, 16)
        self._peers_changed.set()
        self._peers_changed = asyncio.Event()
        self._reckon()

    def _reckon(self) -> None:
        """The state that block and peers amount to."""
        alone = bool(self.status.expected_peers) and not self.status.peers
        advanced = self.status.block is not None and self.status.block != self._first_block
        on_demand = self.record.consensus.blocks_on_demand and self.status.block is not None and not alone
        if self._is_stalled:
            self._set_state("stalled")
        elif (advanced or on_demand) and self._account_open:  # without that it could seal and send nothing
            self._set_state("running")
        elif alone:
            self._set_state("waiting")
        else:
            self._set_state("syncing")

    def _stalled(self) -> None:
        if self._process is not None:
            self._is_stalled = True
            self._reckon()

    def _forget_client(self) -> None:
        self._process = None
        self._first_block = None
        self._account_open = False
        self._is_stalled = False
        if self._stall is not None:
            self._stall.cancel()
        self.status.pid = self.status.peers = self.status.block = self.status.block_hash = None

    def _set_state(self, state: State, error: str | None = None) -> None:
        self.status.state = state
        self.status.error = error
        self._changed()

    def _tell_trouble(self, text: str | None) -> None:
        self.status.trouble = text
        self._changed()

    def _say(self, level: str, text: str) -> None:
        self._log.line(own_line(level, text))

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_GRACE):
                await process.wait()
        except TimeoutError:
            self._say("WARN", f"{self.status.name} did not end in {STOP_GRACE:g} s and is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
