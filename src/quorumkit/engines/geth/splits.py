"""Finds that validators stand still on branches that keep each other from going on, and has the node leave a branch
that loses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from quorumkit.engines.base import Report
from quorumkit.engines.geth.branches import BranchSearch

TURN = 5.0
"""Seconds from one validator's look at a peer's branch to the next validator's."""

REDIALLED_AFTER = 36.0
"""Seconds in which a client dials no peer again (p2p/dial.go, dialHistoryExpiration), and one more."""

LONGEST_PAUSE = 600.0
"""Seconds between two looks of one validator, at most."""


class SplitWatch:
    """Of one connection to a validator's client. `look` is called again and again while the node seals."""

    def __init__(
        self, search: BranchSearch, report: Report, *, stop_sealing: Callable[[], Awaitable[None]],
        seal: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._search = search
        self._report = report
        self._stop_sealing = stop_sealing
        self._seal = seal
        self._due: float | None = None
        self._looks = 0

    async def finish(self) -> None:
        """Makes good what an interrupted search left.

        Raises:
            RpcError: the client is slow, or gone.
        """
        if self._search.is_unfinished:
            await self._search.finish()

    async def look(self, validators: int, enough_peers: int) -> None:
        """Where the chain stands still although enough validators are connected, looks at a peer's branch when it is
        the node's turn: at one after the other, and ever more seldom once it has looked at all.

        Raises:
            RpcError: the client is slow, or gone.
        """
        now = asyncio.get_running_loop().time()
        if not self._report.is_stalled:
            self._due, self._looks = None, 0
            return
        if self._due is None:
            self._due = now + TURN * await self._search.turn()
        if now < self._due:
            return
        peers = await self._search.peers()
        count = max(1, len(peers))
        pause = max(TURN * validators, REDIALLED_AFTER / count) * 2 ** (self._looks // count)
        self._due = now + min(LONGEST_PAUSE, pause)
        if not peers or len(peers) < enough_peers:
            return
        self._looks += 1
        if await self._search.must_wait_for_others():
            await self._leave_if_lost(peers[self._looks % count])
        else:
            await self._seal()  # it could go on by itself, and does not: begun anew

    async def _leave_if_lost(self, peer: str) -> None:
        self._report.say("WARN", "the chain stands still: it looks whether a peer is on another branch")
        with self._report.standing_still():
            await self._stop_sealing()
            try:
                found = await self._search.search(peer)
            finally:
                await self._search.finish()
        if found is None:
            self._report.say("INFO", "that peer has no branch that wins over its own")
        else:
            self._report.say("WARN", f"it went over to its peers' branch: block {found.number}, {found.hash}")
        await self._seal()
