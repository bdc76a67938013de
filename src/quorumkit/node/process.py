"""One process of a node's group: started, read, waited for until it is ready, told to read its files again, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from quorumkit.errors import EngineError, NodeError
from quorumkit.node import restarts, silence
from quorumkit.node.backoff import Backoff
from quorumkit.node.lines import lines_of
from quorumkit.node.log import LogSink, own_line
from quorumkit.node.noise import NoiseFilter
from quorumkit.node.output import output_pipe
from quorumkit.node.trouble import Troubles, kept_up
from quorumkit.process_spec import MARK, LoggedLine, ProcessSpec, Upcheck
from quorumkit.rpc.unix_http import is_answered

_POLL = 0.02

_OUTPUT_WITHIN = 3.0
"""Seconds after its end in which its output must end too; else a child of it has outlived it, and is ended."""

_LOG_SAYS = "its lines in the log say why"


class Process:
    """One run of it, or several where it is started again by itself. `live` is the whole of its life."""

    def __init__(
        self, spec: ProcessSpec, directory: Path, log: LogSink, troubles: Troubles,
        *, changed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`changed` is called when it has another pid, or none any more."""
        self.spec = spec
        self.ready = asyncio.Event()
        """Set once it was ready; one that is started again by itself stays so."""
        self.failure: NodeError | None = None
        """Why it was given up, if it was."""
        self.last_words: str | None = None
        """What it said of why it ended, as far as it did."""
        self.silent_since: float | None = None
        """When it answered no more (`time.monotonic`), where it was ended for that."""
        self._directory = directory
        self._log = log
        self._troubles = troubles
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._stop_asked = asyncio.Event()
        self._stop_within = spec.stop_within
        self._most_to_end = float("inf")
        self._ending: asyncio.Timeout | None = None
        self._has_ended = False
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def returncode(self) -> int | None:
        """Of its last run; negative for a signal."""
        return self._process.returncode if self._process is not None else None

    @property
    def has_ended(self) -> bool:
        """Whether it was started, has ended and is not started again: as soon as that is seen, whoever wanted it."""
        return self._has_ended or (self._process is not None and self.pid is None and not self.spec.starts_alone)

    @property
    def restarts_at_once(self) -> bool:
        """A process cannot ask for that."""
        return False

    @property
    def reason(self) -> str:
        """Why it ended."""
        code = self.returncode
        if self.last_words or code is None:
            return self.last_words or "stopped"
        return f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"

    async def live(self) -> str:
        """Runs it until it is stopped or, where it does not start again by itself, until it ends; why it ended. It has
        ended when this returns, cancelled or not.

        Raises:
            EngineError: it cannot be run.
            NodeError: it was not ready in time, or ends again and again before it ever is.
            OSError: what a killed one left cannot be removed.
        """
        with self._ready_within():
            if self._stop_asked.is_set():
                pass
            elif self.spec.is_elsewhere:
                await self._wait_elsewhere()
            elif self.spec.starts_alone:
                about = f"the care of its {self.spec.words}"
                await kept_up(self._keep, about, self._troubles, until=self._stop_asked)
            else:
                await self._run_once()
        self._has_ended = True
        if self.failure is not None:
            raise self.failure
        return self.reason

    def stop(self, within: float = float("inf")) -> None:
        """Has `live` end it and return, whatever it is about to do; within so many seconds, where its spec gives it
        longer."""
        self._stop_asked.set()
        self._most_to_end = min(self._most_to_end, within)
        if self._ending is not None and (until := self._ending.when()) is not None:
            self._ending.reschedule(min(until, asyncio.get_running_loop().time() + within))

    def reload(self) -> None:
        """Has it read its files again, where it does so while it runs."""
        if self.spec.reload is not None and self._process is not None:
            _send(self._process, self.spec.reload)

    async def run_to_end(self) -> str | None:
        """Runs one that ends by itself; why it failed, if it did.

        Raises:
            EngineError: it cannot be run.
        """
        await self._run_once()
        return None if self.returncode == 0 else self.reason

    async def _wait_elsewhere(self) -> None:
        """What runs it may start it later than this, and starts it again by itself."""
        looking = asyncio.create_task(self._look_until_up())
        try:
            await self._stop_asked.wait()
        finally:
            await _cancelled(looking)

    async def _keep(self) -> None:
        """Starts it again whenever it ends."""
        backoff = Backoff(restarts.ALONE_FIRST_DELAY, restarts.ALONE_LONGEST_DELAY)
        while not self._stop_asked.is_set():
            began = time.monotonic()
            try:
                await self._run_once()
                how = f"ended with {self.returncode}"
            except EngineError as error:
                self.last_words = how = error.message
            if self._stop_asked.is_set():
                return
            if time.monotonic() - began > restarts.ALONE_LONGEST_DELAY:
                backoff.start_over()
            self._deaths += 1
            if self._deaths >= restarts.ALONE_DEATHS and not self.ready.is_set():
                self._give_up(f"the {self.spec.words} ends before it is ready: {self.reason}", hint=_LOG_SAYS)
                return
            pause = backoff.next()
            self._say("WARN", f"the {self.spec.words} {how}; next start in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop_asked.wait()

    async def _run_once(self) -> None:
        """From one start to its end. Whatever happens here, it does not outlive this."""
        self.last_words, self._stop_within = None, self.spec.stop_within
        for path in self.spec.unlink_first:
            (self._directory / path).unlink(missing_ok=True)
        async with output_pipe() as (write_end, output):
            try:
                process = self._process = await self._spawn(write_end)
            finally:
                os.close(write_end)
            self._changed()
            if self.spec.ready is None:
                self.ready.set()
            # The lines are the same after a failure: none is lost but the one that it failed of.
            take = functools.partial(self._take, lines_of(output))
            read = kept_up(take, f"the log of its {self.spec.words}", self._troubles)
            reading = asyncio.create_task(read, name=f"log of {self.spec.name}")
            silent = asyncio.Event()
            watches = [asyncio.create_task(watch) for watch in self._watches(process.pid, silent)]
            ends = [asyncio.create_task(end) for end in (process.wait(), self._stop_asked.wait(), silent.wait())]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _cancelled(*watches, *ends)
                await self._end(process, reading)
                self._changed()

    async def _spawn(self, output: int) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self.spec.argv,
                cwd=self._directory,
                env=os.environ | {MARK: self.spec.name} | dict(self.spec.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                # Ctrl-C at the terminal reaches the node program alone, which then stops its processes in order.
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"{self.spec.argv[0]}: cannot be run ({error.strerror or error})") from None

    async def _take(self, lines: AsyncIterator[str]) -> None:
        """Copies its lines to the log until it closes them, and learns from them that it is ready and why it ends."""
        spec = self.spec
        noise = NoiseFilter(spec.noise)
        async for line in lines:
            if isinstance(spec.ready, LoggedLine) and not self.ready.is_set() and spec.ready.is_one(line):
                self.ready.set()
            if not noise.is_one(line):
                self._log.line(spec.log_prefix + line)
            self.last_words = spec.why_it_ends(line) or self.last_words
        if noise.left_out and spec.noise is not None:
            self._say("INFO", f"{noise.left_out} lines of the {spec.words} were left out: {spec.noise.what}")

    def _watches(self, pid: int, silent: asyncio.Event) -> Iterator[Coroutine[Any, Any, None]]:
        """What is looked at while it runs."""
        if isinstance(self.spec.ready, Upcheck):
            yield self._look_until_up()
        if self.spec.sign_of_life is not None:
            watch = functools.partial(self._end_if_silent, pid, silent)
            yield kept_up(watch, "the watch over its answers", self._troubles)

    async def _look_until_up(self) -> None:
        if isinstance(check := self.spec.ready, Upcheck):
            while not await is_answered(self._directory / check.socket, check.path, check.word):  # noqa: ASYNC110
                await asyncio.sleep(_POLL)
        self.ready.set()

    async def _end_if_silent(self, pid: int, silent: asyncio.Event) -> None:
        """Has one that lives and answers no more ended: this run of it, where it is started again by itself."""
        sign = self.spec.sign_of_life
        assert sign is not None
        await self.ready.wait()
        await silence.falls_silent(self._directory, sign, pid)
        if self._stop_asked.is_set():
            return
        self._stop_within = silence.ENDS_WITHIN
        reason = f"its {self.spec.words} had not answered for {silence.SILENT_AFTER:g} s"
        self._say("WARN", f"{reason}: it is ended")
        if not self.spec.starts_alone:
            self.silent_since = time.monotonic() - silence.SILENT_AFTER
            self._give_up(reason)
        silent.set()

    @contextlib.contextmanager
    def _ready_within(self) -> Iterator[None]:
        """Gives it up where it is not ready in time."""
        within = self.spec.ready_within
        if within is None:
            yield
            return

        def look() -> None:
            if not self.ready.is_set():
                where = "its container's log says why" if self.spec.is_elsewhere else _LOG_SAYS
                self._give_up(f"the {self.spec.words} was not ready in {within:g} s", hint=where)

        timer = asyncio.get_running_loop().call_later(within, look)
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self, reason: str, hint: str | None = None) -> None:
        if not self._stop_asked.is_set():
            self.failure = NodeError(reason, hint=hint)
            self.stop()

    async def _end(self, process: asyncio.subprocess.Process, reading: asyncio.Task[None]) -> None:
        """Ends it, where it has not ended, and returns when its output has ended too."""
        spec = self.spec
        if process.returncode is None:
            began = time.monotonic()
            _send(process, spec.stop)
            try:
                async with asyncio.timeout(min(self._stop_within, self._most_to_end)) as self._ending:
                    await process.wait()
            except TimeoutError:
                took = time.monotonic() - began
                self._say("WARN", f"the {spec.words} did not end in {round(took, 1):g} s and is killed")
                _send(process, signal.SIGKILL)
                await process.wait()
            finally:
                self._ending = None
        for number in (spec.stop, signal.SIGKILL):
            if (await asyncio.wait([reading], timeout=_OUTPUT_WITHIN))[0]:
                break
            # Such as the program that a script ran without `exec`: it still holds the output, files and ports.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
                self._say("WARN", f"the {spec.words} left a process behind, which is ended")
        await _cancelled(reading)

    def _say(self, level: str, text: str) -> None:
        self._log.line(own_line(level, text))


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Returns when they have ended; an error of one is nobody's any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
