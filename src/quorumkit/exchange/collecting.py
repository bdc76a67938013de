"""Before the lock: a node collects, reports and commits until all N have committed, or joins a set that is locked."""

from __future__ import annotations

import asyncio
import time

from quorumkit.errors import QuorumkitError
from quorumkit.exchange import waiting
from quorumkit.exchange.client import RefusedError, UnreachableError
from quorumkit.exchange.dissemination import Block, blocks
from quorumkit.exchange.local import LocalNode
from quorumkit.exchange.membership import Lock, check_revision
from quorumkit.exchange.names import listed
from quorumkit.exchange.protocol import Admission, Commitment, Proven, PullAnswer, Signed, Stage, check, sign
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.store import OwnCommitment
from quorumkit.exchange.trouble import contained
from quorumkit.plan import node_name


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
            collecting += [asyncio.create_task(self._resolve_disputes()), asyncio.create_task(self._report_missing())]
            try:
                while not agreement.locked and agreement.joins == joins:
                    change = local.change
                    await self._commit_when_due()
                    if agreement.locked:
                        break
                    changing = asyncio.create_task(change.wait())
                    try:
                        await asyncio.wait([changing, *collecting], return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        changing.cancel()
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
            tuple(agreement.gathered.documents[ordinal] for ordinal in agreement.ordinals),
            tuple(agreement.gathered.commitments_of(agreement.ordinals)),
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

    async def _commit_when_due(self) -> None:
        """Commits, where it is time to: on the disk first."""
        local, agreement = self._local, self._agreement
        before = agreement.version
        digest = agreement.may_commit(version=local.now())
        if digest is not None:
            commitment = Commitment(ordinal=local.ordinal, enode_key=local.own.document.enode_key, genesis=digest)
            signed = sign(commitment, local.nodekey())
            documents = tuple(agreement.gathered.documents[ordinal] for ordinal in agreement.ordinals)
            agreement.promise(digest)
            await asyncio.to_thread(local.store.write_commitment, OwnCommitment(digest, signed, documents))
            agreement.commit(commitment, signed)
        if agreement.version != before:
            local.notify()

    async def _collect(self, block: Block) -> None:
        """Keeps asking for what of the block is missing."""
        local, agreement = self._local, self._agreement
        attempt, back_off, holds = 0, waiting.BackOff(), iter(waiting.FIRST_HOLDS)
        stage: Stage = "documents"
        while True:
            change = local.change
            want = agreement.missing(block.ordinals)
            if not want:
                await change.wait()
                continue
            if agreement.stage != stage:
                stage, attempt, holds = agreement.stage, 0, iter(())
                back_off.reset()
            source = block.sources[attempt % len(block.sources)]
            heard = local.heard.setdefault(source, asyncio.Event())
            heard.clear()
            if await self._ask(source, stage, want, wait=next(holds, waiting.HOLD)) and (
                len(agreement.missing(want)) < len(want) or agreement.stage != stage
            ):
                back_off.reset()
                continue
            attempt += 1
            if await waiting.happens_within(heard, back_off.pause()) and source in block.ordinals:
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

    async def _resolve_disputes(self) -> None:
        """Asks at the name of every ordinal that two nodes claim."""
        local, agreement = self._local, self._agreement
        while True:
            change = local.change
            unresolved = False
            for ordinal in list(agreement.disputed):
                proven = None
                with contained(local.troubles, f"the exchange with {node_name(ordinal)}"):
                    try:
                        proven = self._holder_of(ordinal, await local.pull(ordinal, "documents", [ordinal]))
                    except QuorumkitError as error:
                        local.complaints[ordinal] = error.message
                if proven is None:
                    unresolved = True
                    continue
                agreement.resolve(ordinal, proven)
                local.say("WARN", f"{node_name(ordinal)}: {proven.document.enode_key[:16]}… answers at that name, "
                                  "so the other claim is refused")  # fmt: skip
                local.notify()
            if unresolved:
                await asyncio.sleep(waiting.ASK_AGAIN)
            else:
                await change.wait()

    def _holder_of(self, ordinal: int, answer: PullAnswer) -> Proven | None:
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
                    if not agreement.gathered.knows(signed):
                        agreement.commit(check(Commitment, signed, source=name), signed)
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
                self._agreement.resolve(source, sender)

    def _look_for_own(self, admissions: list[Signed], name: str) -> None:
        """Whether this node was admitted in the place of another."""
        own = self._local.own.document.enode_key
        for signed in admissions:
            if own in signed.text:
                with self._local.refusals_logged(name):
                    self._agreement.admit(check(Admission, signed, source=name))

    async def _report_missing(self) -> None:
        """Says what it waits for: at each change for /readyz, now and then in the log."""
        local = self._local
        said, when = "", 0.0
        while True:
            change = local.change
            text = self._missing()
            local.set_waiting(text)
            now = time.monotonic()
            if now - when > (1 if text != said else waiting.SAY_AGAIN):
                local.say("INFO", f"{local.name}: {text}")
                said, when = text, now
            await waiting.happens_within(change, 1)
            await asyncio.sleep(0.3)

    def _missing(self) -> str:
        local, agreement = self._local, self._agreement
        if agreement.contradicts_commitment:
            return (
                f"committed to another genesis than these identities give; if nobody has started yet, remove "
                f"{local.store.commitment_path} on all nodes and start them again"
            )
        missing = agreement.missing(agreement.ordinals)
        lacking = {"documents": "identity", "reports": "genesis", "commitments": "commitment", "members": ""}
        complaints = [
            f"{node_name(n)} ({local.complaints[n]})" if n in local.complaints else node_name(n) for n in missing
        ]
        more = f" and {len(complaints) - 10} more" if len(complaints) > 10 else ""
        text = f"waits for the {lacking[agreement.stage]} of {', '.join(complaints[:10])}{more}"
        if agreement.differences:
            text += f"; another genesis: {', '.join(map(str, agreement.differences[:5]))}"
        if agreement.disputed:
            text += f"; two nodes claim {listed(sorted(agreement.disputed))}"
        return f"{text}; {local.refusal}" if local.refusal else text
