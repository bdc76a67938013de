"""Before the lock: a node collects, reports and commits until all N have given their word, or joins a set that is."""

from __future__ import annotations

import asyncio
import random
import time

from quorumkit.errors import QuorumkitError
from quorumkit.exchange.agreement import Block, blocks
from quorumkit.exchange.client import RefusedError, UnreachableError
from quorumkit.exchange.heal import happens
from quorumkit.exchange.local import LocalNode
from quorumkit.exchange.membership import Lock, check_revision
from quorumkit.exchange.names import told
from quorumkit.exchange.protocol import (
    Commitment,
    Proven,
    PullAnswer,
    Signed,
    Stage,
    check_admission,
    check_commitment,
    sign,
)
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.store import Word
from quorumkit.exchange.trouble import contained
from quorumkit.plan import node_name

FIRST_WAITS = (1.0, 2.0, 5.0)
WAIT = 10.0
"""Seconds that others are asked to hold an answer back until it is whole; the first ones, for identities, are shorter,
so that who is missing is soon known."""

FIRST_BACK_OFF = 0.05
LONGEST_BACK_OFF = 3.0
TELL_EVERY = 15.0
"""Seconds between two log lines that say the same."""


class Collecting:
    """One node's way to the lock."""

    def __init__(self, local: LocalNode) -> None:
        self._local = local
        self._agreement = local.agreement

    async def until_locked(self) -> Lock:
        """Returns once there is a lock; it is not written down yet."""
        local, agreement = self._local, self._agreement
        while not agreement.locked:
            joins = agreement.joins
            collecting = [
                asyncio.create_task(self._collect(block), name=f"collect from node{block.sources[0]}")
                for block in blocks(local.ordinal, agreement.total, joins=joins)
                if block.sources
            ]
            collecting += [asyncio.create_task(self._settle_disputes()), asyncio.create_task(self._tell_missing())]
            try:
                while not agreement.locked and agreement.joins == joins:
                    change = local.change
                    await self._give_word()
                    if agreement.locked:
                        break
                    waiting = asyncio.create_task(change.wait())
                    try:
                        await asyncio.wait([waiting, *collecting], return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        waiting.cancel()
                    for task in collecting:
                        if task.done():
                            task.result()
            finally:
                for task in collecting:
                    task.cancel()
                await asyncio.gather(*collecting, return_exceptions=True)
        assert agreement.genesis is not None
        return Lock(
            agreement.genesis.digest,
            tuple(agreement.documents[ordinal] for ordinal in agreement.ordinals),
            tuple(agreement.commitments_of(agreement.ordinals)),
        )

    def take_document(self, proven: Proven, *, source: str, terms: dict[str, int | str] | None) -> None:
        """What another node says of itself. One who joins hears it of those that are locked only (see `merge`).

        Raises:
            Refusal: see `Agreement.offer`.
        """
        before = self._agreement.version
        try:
            if not self._agreement.joins:
                check_revision(proven.document.revision, self._local.latest, source)
                self._agreement.offer(proven, source=source, terms=terms)
        finally:
            if self._agreement.version != before:
                self._local.notify()

    async def _give_word(self) -> None:
        """Commits, where it is time to: on the disk first."""
        local, agreement = self._local, self._agreement
        before = agreement.version
        digest = agreement.may_commit(version=local.now())
        if digest is not None:
            commitment = Commitment(ordinal=local.ordinal, enode_key=local.own.document.enode_key, genesis=digest)
            signed = sign(commitment, local.nodekey())
            documents = tuple(agreement.documents[ordinal] for ordinal in agreement.ordinals)
            agreement.promise(digest)
            await asyncio.to_thread(local.store.write_word, Word(digest, signed, documents))
            agreement.commit(commitment, signed)
        if agreement.version != before:
            local.notify()

    async def _collect(self, block: Block) -> None:
        """Keeps asking for what of the block is missing."""
        local, agreement = self._local, self._agreement
        attempt, back_off, waits = 0, FIRST_BACK_OFF, iter(FIRST_WAITS)
        stage: Stage = "documents"
        while True:
            change = local.change
            want = agreement.missing(block.ordinals)
            if not want:
                await change.wait()
                continue
            if agreement.stage != stage:
                stage, attempt, back_off, waits = agreement.stage, 0, FIRST_BACK_OFF, iter(())
            source = block.sources[attempt % len(block.sources)]
            heard = local.heard.setdefault(source, asyncio.Event())
            heard.clear()
            if await self._ask(source, stage, want, wait=next(waits, WAIT)) and (
                len(agreement.missing(want)) < len(want) or agreement.stage != stage
            ):
                back_off = FIRST_BACK_OFF
                continue
            attempt += 1
            pause = back_off * random.uniform(0.5, 1.5)  # noqa: S311
            back_off = min(back_off * 2, LONGEST_BACK_OFF)
            if await happens(heard, pause) and source in block.ordinals:
                attempt = 0

    async def _ask(self, source: int, stage: Stage, want: list[int], *, wait: float) -> bool:
        """Whether there was an answer; what it brought is taken."""
        local, name = self._local, node_name(source)
        with contained(local.troubles, f"the exchange with {name}"):
            try:
                self.merge(source, await local.pull(source, stage, want, wait=wait))
            except UnreachableError as error:
                local.complaints[source] = error.message
            except RefusedError as error:
                local.note_refused(source, error)
            except Refusal as refusal:
                local.complaints[source] = refusal.message
                local.log_refusal(refusal, name)
            else:
                local.complaints.pop(source, None)
                return True
            return False
        local.complaints[source] = "what it sent could not be worked with"
        return False

    async def _settle_disputes(self) -> None:
        """Asks at the name of every ordinal that two nodes claim."""
        local, agreement = self._local, self._agreement
        while True:
            change = local.change
            unsettled = False
            for ordinal in list(agreement.disputed):
                proven = None
                with contained(local.troubles, f"the exchange with {node_name(ordinal)}"):
                    try:
                        proven = self._stands(ordinal, await local.pull(ordinal, "documents", [ordinal]))
                    except QuorumkitError as error:
                        local.complaints[ordinal] = error.message
                if proven is None:
                    unsettled = True
                    continue
                agreement.settle(ordinal, proven)
                local.say("WARN", f"{node_name(ordinal)}: {proven.document.enode_key[:16]}… answers at that name, "
                                  "so the other claim is refused")  # fmt: skip
                local.notify()
            if unsettled:
                await asyncio.sleep(1)
            else:
                await change.wait()

    def _stands(self, ordinal: int, answer: PullAnswer) -> Proven | None:
        """Who stands at an ordinal by what was answered at its name. A node that was replaced since the lock answers as
        who it is now, and tells who stands there in the lock: for one who joins, that counts."""
        name = node_name(ordinal)
        if not self._agreement.joins:
            return self._local.proven(answer.sender, name)
        handed = (self._local.proven(signed, name) for signed in answer.documents)
        return (
            next((proven for proven in handed if proven.document.ordinal == ordinal), None) if answer.locked else None
        )

    def merge(self, source: int, answer: PullAnswer) -> None:
        """Takes what an answer brought, each part for itself.

        Raises:
            Refusal: misdirected: another node answers at that name.
        """
        local, agreement, name = self._local, self._agreement, node_name(source)
        before = agreement.version
        try:
            sender = None
            with local.refusals_logged(name):
                sender = local.proven(answer.sender, name)
            if sender is not None and sender.document.ordinal != source:
                raise Refusal("misdirected", f"{name}: its name leads to {node_name(sender.document.ordinal)}")
            if agreement.joins and not answer.locked:
                return  # it may have another identity by now than the set that is locked
            if sender is not None and not agreement.joins:
                self._take_by_name(source, sender)
            for signed in answer.documents:
                with local.refusals_logged(name):
                    handed = local.proven(signed, name)
                    # What is locked was dated by the clocks of then, and is not judged by that any more.
                    check_revision(handed.document.revision, None if answer.locked else local.latest, name)
                    agreement.offer(handed, source=name)
            for report in answer.reports:
                if report.version <= local.latest:
                    agreement.report(report)
            for signed in answer.commitments:
                with local.refusals_logged(name):
                    if not agreement.knows(signed):
                        agreement.commit(check_commitment(signed, source=name), signed)
            if answer.locked and not agreement.joins:
                self._look_for_own(answer.admissions, name)
        finally:
            if agreement.version != before:
                local.notify()

    def _take_by_name(self, source: int, sender: Proven) -> None:
        name = node_name(source)
        with self._local.refusals_logged(name):
            check_revision(sender.document.revision, self._local.latest, name)
            try:
                self._agreement.offer(sender, source=name)
            except Refusal as refusal:
                if refusal.code != "ordinal_taken":
                    raise
                # It was asked by its name, and that decides.
                self._agreement.settle(source, sender)

    def _look_for_own(self, admissions: list[Signed], name: str) -> None:
        """Whether this node was admitted in the place of another."""
        own = self._local.own.document.enode_key
        for signed in admissions:
            if own in signed.text:
                with self._local.refusals_logged(name):
                    self._agreement.admit(check_admission(signed, source=name))

    async def _tell_missing(self) -> None:
        """Says what it waits for: at each change for /readyz, now and then in the log."""
        local = self._local
        said, when = "", 0.0
        while True:
            change = local.change
            text = self._missing()
            local.tell(text)
            now = time.monotonic()
            if now - when > (1 if text != said else TELL_EVERY):
                local.say("INFO", f"{local.name}: {text}")
                said, when = text, now
            await happens(change, 1)
            await asyncio.sleep(0.3)

    def _missing(self) -> str:
        local, agreement = self._local, self._agreement
        if agreement.broken_word:
            return (
                f"gave its word for another genesis than these identities give; if nobody has started yet, remove "
                f"{local.store.word_path} on all nodes and start them again"
            )
        missing = agreement.missing(agreement.ordinals)
        stage = {"documents": "identity", "reports": "genesis", "commitments": "word", "members": ""}[agreement.stage]
        complaints = [
            f"{node_name(n)} ({local.complaints[n]})" if n in local.complaints else node_name(n) for n in missing
        ]
        more = f" and {len(complaints) - 10} more" if len(complaints) > 10 else ""
        text = f"waits for the {stage} of {', '.join(complaints[:10])}{more}"
        if agreement.differences:
            text += f"; another genesis: {', '.join(map(str, agreement.differences[:5]))}"
        if agreement.disputed:
            text += f"; two nodes claim {told(sorted(agreement.disputed))}"
        return f"{text}; {local.refusal}" if local.refusal else text
