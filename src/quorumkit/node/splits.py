"""Finds that validators stand still on branches that keep each other from going on, and has the node leave a branch
that loses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from quorumkit.engines.branches import BranchSearch
from quorumkit.errors import RpcError
from quorumkit.node.following import Following

TURN = 10.0
"""Seconds from one validator's look at the others' branches to the next one's."""

REDIALLED_AFTER = 36.0
"""Seconds in which a client dials no peer again (p2p/dial.go, dialHistoryExpiration), and one more."""

LONGEST_PAUSE = 600.0
"""Seconds between two looks of one validator, at most."""


class SplitWatch:
    """Of one connection to a validator's client. `look` is called again and again while the node seals."""

    def __init__(
        self, search: BranchSearch, following: Following, *, stop_sealing: Callable[[], Awaitable[None]],
        seal: Callable[[], Awaitable[None]], say: Callable[[str, str], None],
    ) -> None:  # fmt: skip
        self._search = search
        self._following = following
        self._stop_sealing = stop_sealing
        self._seal = seal
        self._say = say
        self._due: float | None = None
        self._rounds = 0

    async def finish(self) -> None:
        """Makes good what an interrupted search left.

        Raises:
            RpcError: the client is slow, or gone.
        """
        if self._search.is_unfinished:
            await self._search.finish()

    async def look(self, validators: int, enough_peers: int) -> None:
        """Where the chain stands still although enough validators are connected, looks at the peers' branches when it
        is the node's turn.

        Raises:
            RpcError: the client is slow, or gone.
        """
        now = asyncio.get_running_loop().time()
        if not self._following.is_stalled:
            self._due, self._rounds = None, 0
            return
        if self._due is None:
            self._due = now + TURN * await self._search.turn()
        if now < max(self._due, self._following.peers_came + REDIALLED_AFTER):
            return
        self._due = now + min(LONGEST_PAUSE, TURN * validators * 2**self._rounds)
        self._rounds += 1
        if not self._following.has_peers(enough_peers):
            return
        if await self._search.must_wait_for_others():
            await self._leave_if_lost()
        else:
            await self._seal()  # it could go on by itself, and does not: begun anew

    async def _leave_if_lost(self) -> None:
        self._say("WARN", "the chain stands still: it looks whether its peers are on another branch")
        await self._stop_sealing()
        try:
            found = await self._search.search()
        finally:
            with contextlib.suppress(RpcError):  # told below, if it lasts
                await self._search.finish()
        if found is None:
            self._say("INFO", "no peer has a branch that wins over its own")
        else:
            self._say("WARN", f"it went over to its peers' branch: block {found.number}, {found.hash}")
        await self._seal()
