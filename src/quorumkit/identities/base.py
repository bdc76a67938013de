"""What every source of nodes' identities can do."""

from __future__ import annotations

from typing import Protocol

from quorumkit.plan import Network
from quorumkit.progress import Progress


class Identities(Protocol):
    """Where one network's nodes get their identities from. `up` calls `prepare`, then has the provider acquire what
    the nodes run, then calls `form`."""

    @property
    def exchanged(self) -> bool:
        """Whether the nodes made them themselves and agreed on them: then they can agree on a new one too."""
        ...

    def init(self, progress: Progress) -> Network | None:
        """Writes all that can be made without starting anything. The network; None where its nodes are yet to make
        their identities.

        Raises:
            UsageError: there is nothing to be made beforehand.
            QuorumkitError: what is there already is wrong, or the spec has drifted from it.
        """
        ...

    def prepare(self, progress: Progress) -> None:
        """Before anything is acquired: makes what is made by a command, and checks the spec against what is there.

        Raises:
            QuorumkitError: see `init`.
        """
        ...

    async def form(self, progress: Progress, timeout: float) -> Network:
        """Returns the network once it is known who all nodes are; starts what must run for that.

        Raises:
            NodeError: a node cannot run; the message says why.
            WaitTimeoutError: they did not agree in `timeout` seconds; the message says who waits for whom.
        """
        ...

    async def learn(self) -> Network | None:
        """Writes down who the nodes are, as they report it now; None where not all of them do.

        So a network that was started otherwise, by `docker compose up -d` say, is known here too.
        """
        ...
