"""Identities that the nodes make themselves: there is a network only once they run and have agreed on it."""

from __future__ import annotations

from typing import Protocol, cast

from quorumkit.directory import NetworkDirectory
from quorumkit.plan import Network, NodeEndpoints
from quorumkit.progress import Progress
from quorumkit.providers import Provider
from quorumkit.providers.forming import check_spec
from quorumkit.spec import NetworkSpec


class _Forming(Protocol):
    """What a provider of such nodes does beyond `Provider`."""

    def prepare(self) -> list[NodeEndpoints]: ...

    async def form(self, progress: Progress, timeout: float) -> Network: ...

    async def learn(self) -> Network | None: ...


class Exchanged:
    """See `Identities`."""

    exchanged = True

    def __init__(self, directory: NetworkDirectory, spec: NetworkSpec, provider: Provider) -> None:
        self._directory = directory
        self._spec = spec
        self._forming = cast(_Forming, provider)

    def init(self, progress: Progress) -> None:
        self._forming.prepare()

    def prepare(self, progress: Progress) -> None:
        check_spec(self._directory, self._spec)

    async def form(self, progress: Progress, timeout: float) -> Network:
        return await self._forming.form(progress, timeout)

    async def learn(self) -> Network | None:
        return await self._forming.learn()
