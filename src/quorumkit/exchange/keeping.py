"""After the lock: a node keeps the members and their addresses true, in the files of its next start and in the client
that runs, for as long as the program does."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection
from typing import Protocol

from quorumkit.errors import QuorumkitError
from quorumkit.exchange import waiting
from quorumkit.exchange.client import RefusedError, UnreachableError
from quorumkit.exchange.dissemination import blocks
from quorumkit.exchange.heal import Healer
from quorumkit.exchange.local import LocalNode
from quorumkit.exchange.membership import Membership, late_peer_ordinals
from quorumkit.exchange.protocol import PullAnswer
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.trouble import contained
from quorumkit.plan import node_name


class ClientRunner(Protocol):
    """Who runs the node's client."""

    def needs_admission(self) -> bool:
        """Whether it cannot start before a member's client has taken it in."""
        ...

    async def admit(self, enode: str, replaced: Collection[str]) -> str:
        """Takes in the node of that enode URL; what that one's client must know. Whose place it takes must be one of
        the `replaced` (enode keys).

        Raises:
            NodeError, RpcError: it cannot, or not now.
        """
        ...

    def admitted(self, admission: str) -> None:
        """A member's client has taken this node in."""
        ...


class Keeping:
    """One node's care of a locked set."""

    def __init__(self, local: LocalNode, membership: Membership, healer: Healer, runner: ClientRunner | None) -> None:
        self.membership = membership
        self._local = local
        self._healer = healer
        self._runner = runner
        self._unsynced: set[int] = set()
        self._synced: dict[int, float] = {}

    async def keep(self, locked: asyncio.Event) -> None:
        """Never returns. `locked` is set once the node's files are there to start from."""
        membership, local = self.membership, self._local
        self._healer.own_key = local.own.document.enode_key
        await self._healer.render(membership, first=not locked.is_set())
        locked.set()
        if membership.changed:
            # Others may have been away when this became known, or this node when something changed.
            self.members_changed()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._healer.heal(membership))
            group.create_task(self._sync())
            group.create_task(self._until_taken_in())

    async def until_admitted(self) -> None:
        """One who joins learns who else is there now, and becomes known to whom it will have as peers."""
        local, membership = self._local, self.membership
        back_off = waiting.BackOff()
        while True:
            for ordinal in self._others_at_random():
                with contained(local.troubles, f"the exchange with {node_name(ordinal)}"):
                    try:
                        await self.sync_with(ordinal)
                        membership.offer(local.own, source=local.name)
                    except UnreachableError:
                        continue
                    except RefusedError as error:
                        local.note_refused(ordinal, error)
                        continue
                    except Refusal:
                        continue
                    return
            local.set_waiting(f"waits to be admitted by the network{f'; {local.refusal}' if local.refusal else ''}")
            await asyncio.sleep(back_off.pause())

    async def take_in(self, ordinal: int) -> str | None:
        """What a node's client must know that this one's has taken in; None where it cannot."""
        if self._runner is None:
            return None
        name = node_name(ordinal)
        try:
            enode = str(self._healer.network(self.membership).node(ordinal).enode)
            return await self._runner.admit(enode, self.membership.admissions.retired)
        except QuorumkitError as error:
            self._local.log("cannot take in", name, f"cannot take in {name}: {error.message}")
            return None

    async def _until_taken_in(self) -> None:
        """Asks the others in turn, where this node's client can only start when one of theirs has taken it in."""
        local = self._local
        back_off = waiting.BackOff()
        while self._runner is not None and self._runner.needs_admission():
            for ordinal in self._others_at_random():
                with contained(local.troubles, f"the exchange with {node_name(ordinal)}"):
                    try:
                        answer = await local.pull(ordinal, "members", membership=self.membership.digest, take_in=True)
                    except (UnreachableError, RefusedError, Refusal):
                        continue
                    if answer.taken_in is not None:
                        self._runner.admitted(answer.taken_in)
                        local.say("INFO", f"{node_name(ordinal)} has taken {local.name} in")
                        return
            await asyncio.sleep(back_off.pause())

    def members_changed(self, heard_from: int | None = None) -> None:
        """Writes the members down, and has files, peers and the other nodes follow."""
        local, membership = self._local, self.membership
        local.store.write_members(membership)
        if membership.holder(local.ordinal) not in (None, local.own.document.enode_key):
            text = "the validators gave this node's place to another identity"
            local.troubles.note("membership", text)
            local.log("replaced", local.name, f"{text}: it is refused from now on")
        self._healer.members_changed()
        if local.ordinal > membership.total:
            others = late_peer_ordinals(local.ordinal, membership.total)
        else:
            others = [block.sources[0] for block in blocks(local.ordinal, membership.total)]
        self._unsynced |= {ordinal for ordinal in others if ordinal != heard_from}
        local.notify()

    def sync_soon(self, ordinal: int) -> None:
        """Not at once: two nodes that cannot come to the same members must not ask each other without end."""
        rest = self._synced.get(ordinal, -waiting.SYNC_PAUSE) + waiting.SYNC_PAUSE - time.monotonic()

        def add() -> None:
            self._unsynced.add(ordinal)
            self._local.notify()

        asyncio.get_running_loop().call_later(max(0.0, rest), add)

    async def _sync(self) -> None:
        """Hands changed members on at once to those next in the ring, who do so too; looks at anyone's now and then."""
        local = self._local
        while True:
            change = local.change
            while self._unsynced:
                ordinal = min(self._unsynced)  # those of the genesis before whoever came later
                self._unsynced.discard(ordinal)
                await self._try_to_sync(ordinal)
            if not await waiting.happens_within(change, waiting.SYNC_EVERY * random.uniform(0.7, 1.3)):  # noqa: S311
                self._unsynced |= set(self._others_at_random()[:1])

    async def _try_to_sync(self, ordinal: int) -> None:
        local, name = self._local, node_name(ordinal)
        with contained(local.troubles, f"the exchange with {name}"):
            try:
                await self.sync_with(ordinal)
            except UnreachableError:
                pass
            except RefusedError as error:
                local.note_refused(ordinal, error)
            except Refusal as refusal:
                local.log_refusal(refusal, name)

    async def sync_all(self, at_once: int = 16) -> None:
        """Hears of the members from everybody of the genesis who answers: they know all that was signed."""
        places = asyncio.Semaphore(at_once)

        async def one(ordinal: int) -> None:
            async with places:
                await self._try_to_sync(ordinal)

        genesis = [ordinal for ordinal in self._others_at_random() if ordinal <= self.membership.total]
        await asyncio.gather(*(one(ordinal) for ordinal in genesis))

    async def sync_with(self, ordinal: int) -> None:
        """Takes over what another node knows of the members.

        Raises:
            UnreachableError, RefusedError, Refusal: see `ExchangeClient.pull`.
        """
        local, membership = self._local, self.membership
        self._synced[ordinal] = time.monotonic()
        if self._merge(node_name(ordinal), await local.pull(ordinal, "members", membership=membership.digest)):
            self.members_changed(ordinal)

    def _merge(self, name: str, answer: PullAnswer) -> bool:
        """Takes what an answer brought, each part for itself; whether anything changed."""
        local, membership, latest = self._local, self.membership, self._local.latest
        changed = False
        for signed in answer.admissions:
            with local.refusals_logged(name):
                changed |= membership.admit(signed, source=name, latest=latest)
        for signed in (answer.sender, *answer.documents):
            with local.refusals_logged(name):
                changed |= membership.offer(local.proven(signed, name), source=name, latest=latest)
        present = membership.current.get(local.ordinal)
        if present is not None and present != local.own:
            mine, other = local.own.document, present.document
            if mine.same_identity(other):
                # What it said of itself once, by a clock that was ahead, must not hold against where it is now.
                local.redate(other.revision)
                membership.offer(local.own, source=local.name, latest=latest)
                changed = True
        return changed

    def _others_at_random(self) -> list[int]:
        """Those of the genesis first. Latecomers tell by themselves what is new with them, and whoever has the join
        secret can be a hundred of them that answer slowly."""
        others = [ordinal for ordinal in self.membership.current if ordinal != self._local.ordinal]
        random.shuffle(others)
        return sorted(others, key=lambda ordinal: ordinal > self.membership.total)
