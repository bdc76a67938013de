"""A provider whose nodes are yet to agree on who they are; when they do is written in a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from quorumkit.errors import UsageError
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, NodeEndpoints
from quorumkit.progress import Progress
from quorumkit.providers.base import ExchangeHost, ExchangeWords
from quorumkit.providers.disks import Disks
from quorumkit.providers.statuses import of_spec
from support.fake_provider import FakeProvider


class ExchangingProvider(FakeProvider):
    """See `ExchangeHost`. `network` is what they are to agree on; of it only endpoints and names are used here."""

    words = ExchangeWords(unit="fake", see="quorumkit logs NODE")
    look_every = 0.001

    def __init__(self, network: Network) -> None:
        super().__init__(network)
        self.statuses: dict[str, NodeStatus] = {}
        """What the nodes report now, by name; a node that is not there is stopped."""
        self.runs = False
        self.lost: list[str] = []
        """The nodes whose disks are gone."""
        self.on_start: Callable[[], object] = lambda: None
        self.on_look: Callable[[int], object] = lambda count: None
        """Called before each look with how many there were; may change `statuses`, or raise."""
        self.looks = 0
        self.nothing_beforehand = False
        self.keeps_records = False
        """Whether the nodes' own directories are those of the network directory."""

    def exchange_host(self) -> ExchangeHost:
        return self

    async def is_running(self) -> bool:
        return self.runs

    async def stop(self, progress: Progress) -> bool:
        was_running, self.runs = self.runs, False
        self.statuses.clear()
        self.calls.append("stop")
        return was_running

    async def look(self) -> list[NodeStatus]:
        self.on_look(self.looks)
        self.looks += 1
        return of_spec(self.network.spec, self.statuses)

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        self.calls.append("alone")
        yield
        self.calls.append("not alone")

    async def find_disks(self) -> Disks:
        self.calls.append("find disks")
        return Disks(self.lost, running=self.runs)

    def check_beforehand(self) -> None:
        if self.nothing_beforehand:
            raise UsageError("there is nothing to make beforehand")

    def write(self, disks: Disks | None) -> None:
        self.calls.append("write" if disks else "write beforehand")

    async def start_exchange(self, progress: Progress) -> None:
        self.runs = True
        self.calls.append("start")
        self.on_start()
        await asyncio.sleep(0)

    async def reported(self) -> list[NodeStatus]:
        return await self.look()

    async def check_alive(self, statuses: Sequence[NodeStatus]) -> None:
        """They live."""

    async def why_none(self) -> str:
        return "; the fake forbids it"

    async def agreed_endpoints(self) -> list[NodeEndpoints] | None:
        return None if self.keeps_records else [node.endpoints for node in self.network.nodes]

    async def adopt(self) -> None:
        self.calls.append("adopt")

    async def undo(self, progress: Progress) -> None:
        self.runs = False
        self.calls.append("undo")
