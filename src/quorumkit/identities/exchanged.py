"""Identities that the nodes make themselves: there is a network only once they run and have agreed on it.

How that comes about is the same wherever they run: what is there is checked, what they start from is written, they are
started, and looked at until all report who they are. What differs is the provider's (`ExchangeHost`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from quorumkit.directory import NetworkDirectory
from quorumkit.directory_lock import locked
from quorumkit.errors import WaitTimeoutError
from quorumkit.identities.agreed import UnknownNodesError, check_spec, raise_failed, raise_lost, write_down
from quorumkit.mark import ensure_mark
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network
from quorumkit.progress import Progress
from quorumkit.providers import Provider
from quorumkit.providers.base import ExchangeHost
from quorumkit.providers.disks import Disks
from quorumkit.spec import NetworkSpec
from quorumkit.spec_file import ensure_spec


class Exchanged:
    """See `Identities`."""

    exchanged = True

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, provider: Provider) -> None:
        self._directory = directory
        self._spec = spec
        self._provider = provider

    @property
    def _host(self) -> ExchangeHost:
        return self._provider.exchange_host()

    def init(self, progress: Progress) -> None:
        self._host.check_beforehand()
        self._write(None)

    def prepare(self, progress: Progress) -> None:
        check_spec(self._directory, self._spec)

    async def form(self, progress: Progress, timeout: float) -> Network:
        check_spec(self._directory, self._spec)
        host = self._host
        disks = Disks()
        has_begun = False
        try:
            async with host.alone():
                disks = await host.find_disks()
                await asyncio.to_thread(self._write, disks)
                has_begun = True
                await host.start_exchange(progress)
            raise_lost(disks.lost)
            network = await self._agreed(progress, timeout)
        except asyncio.CancelledError:  # Ctrl-C
            if has_begun and not disks.running:
                progress("interrupted: stopping what was started")
                await host.undo(progress)
            raise
        except UnknownNodesError:
            if not disks.running:
                await host.undo(progress)
            raise
        await host.adopt()
        return network

    async def learn(self) -> Network | None:
        statuses = await self._provider.look()
        return await self._written_down(statuses) if all(status.account for status in statuses) else None

    def _write(self, disks: Disks | None) -> None:
        """Writes what the nodes start from. Makes no keys."""
        with locked(self._directory):
            check_spec(self._directory, self._spec)
            ensure_spec(self._directory, self._spec)
            ensure_mark(self._directory.path)
            self._host.write(disks)

    async def _agreed(self, progress: Progress, timeout: float) -> Network:
        """The network, once every node reports an identity that is agreed on.

        Raises:
            NodeError: a node cannot run.
            WaitTimeoutError: see `form`.
        """
        host = self._host
        statuses: list[NodeStatus] = []
        try:
            async with asyncio.timeout(timeout):
                while True:
                    statuses = await host.reported()
                    await host.check_alive(statuses)
                    raise_failed(statuses)
                    if all(status.account for status in statuses):
                        return await self._written_down(statuses)
                    progress(*_stage(statuses, host.words.unit))
                    await asyncio.sleep(host.look_every)
        except TimeoutError:
            pass
        missing = [
            f"{status.name} is {status.state}{f' ({status.error})' if status.error else ''}"
            for status in statuses
            if not status.account
        ]
        none = all(status.state == "stopped" for status in statuses)
        raise WaitTimeoutError(
            f"not agreed after {timeout:g} s: {'; '.join(missing) or f'no {host.words.unit} answered'}"
            f"{await host.why_none() if none else ''}",
            hint=f"they go on trying: see `{host.words.see}`; `quorumkit down` stops them",
        )

    async def _written_down(self, statuses: Sequence[NodeStatus]) -> Network:
        endpoints = await self._host.agreed_endpoints()
        if endpoints is None:
            return self._directory.load()
        return await asyncio.to_thread(write_down, self._directory, self._spec, statuses, endpoints)


def _stage(statuses: Sequence[NodeStatus], unit: str) -> tuple[str, int, int]:
    """What is waited for, how many are through, of how many."""
    total = len(statuses)
    trouble = next((f": {status.name}: {status.error}" for status in statuses
                    if status.error and status.state in ("starting", "restarting")), "")  # fmt: skip
    up = sum(status.state not in ("stopped", "starting", "restarting") for status in statuses)
    if up < total:
        return f"starting {unit}s{trouble}", up, total
    return "exchanging identities", sum(bool(status.account) for status in statuses), total
