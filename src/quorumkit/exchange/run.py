"""A node's part in the exchange, from its first start to the end of the program: the loop around the pure rules.

Before the lock it collects, reports and commits; after it, it keeps the members and their addresses true, in the files
of the next start and in the client that runs. All the while it answers the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from quorumkit.errors import CorruptFileError, NodeError, QuorumkitError
from quorumkit.exchange.agreement import Agreement, Block, Genesis, blocks
from quorumkit.exchange.authentication import read_join_secret
from quorumkit.exchange.client import ExchangeClient, RefusedError, UnreachableError
from quorumkit.exchange.heal import Healer, happens
from quorumkit.exchange.membership import NOWHERE, Lock, Membership, late_peer_ordinals
from quorumkit.exchange.names import Resolver, told
from quorumkit.exchange.other_genesis import other_genesis
from quorumkit.exchange.protocol import (
    MOST_NODES,
    Admission,
    Commitment,
    Document,
    Proven,
    PullAnswer,
    PullRequest,
    Signed,
    Stage,
    check_admission,
    check_commitment,
    digest_of,
    prove,
    sign,
    terms_of,
)
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.server import ExchangeServer
from quorumkit.exchange.settings import ExchangeSettings
from quorumkit.exchange.store import ExchangeStore, Word
from quorumkit.identity import PublicIdentity, generate_secrets, load_identity, write_secrets
from quorumkit.identity.store import KEYSTORE, NODEKEY, PASSWORD, TM_KEY
from quorumkit.managers import tm_url
from quorumkit.plan import Endpoint, Network, NodeEndpoints, node_name, plan
from quorumkit.render import render_genesis
from quorumkit.spec import NetworkSpec

FIRST_WAITS = (1.0, 2.0, 5.0)
WAIT = 10.0
"""Seconds that others are asked to hold an answer back until it is whole; the first ones, for identities, are shorter,
so that who is missing is soon known."""

FIRST_BACK_OFF = 0.05
LONGEST_BACK_OFF = 3.0
TELL_EVERY = 15.0
"""Seconds between two log lines that say the same."""

SYNC_EVERY = 30.0
"""Seconds between two looks at another node's members; a change is told at once."""

SYNC_PAUSE = 1.0
"""Seconds between two looks at the same node's members when it says that they differ."""

Say = Callable[[str, str], None]
"""Writes a line of the node's log: a level and a text."""


class Client(Protocol):
    """Who runs the node's client."""

    def needs_admission(self) -> bool:
        """Whether it cannot start before a member's client has taken it in."""
        ...

    async def admit(self, enode: str) -> str:
        """Takes in the node of that enode URL; what that one must be told.

        Raises:
            NodeError, RpcError: it cannot, or not now.
        """
        ...

    def admitted(self, admission: str) -> None:
        """A member's client has taken this node in."""
        ...


class Exchange:
    """One node's. `run` lives as long as the program; `locked` is set once the node's files are there to start from."""

    def __init__(
        self,
        settings: ExchangeSettings,
        directory: Path,
        *,
        say: Say,
        tell: Callable[[str], None],
        rendered: Callable[[], None],
        client: Client | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`tell` takes what the node waits for; `rendered` is called when its files were written again; `client` is
        None where there is none (in measurements).

        Raises:
            UsageError: a setting is wrong.
        """
        settings.names.check(settings.spec.nodes.total)
        self.locked = asyncio.Event()
        self.port: int | None = None
        self._settings = settings
        self._directory = directory
        self._runs = client
        self._say = say
        self._tell = tell
        self._clock = clock
        self._store = ExchangeStore(directory)
        self._terms = terms_of(settings.spec)
        keys = read_join_secret(settings.secret)
        resolver = Resolver(settings.hosts_file)
        self._server_tls = settings.tls.server() if settings.tls else None
        client_tls = settings.tls.client() if settings.tls else None
        self.client = ExchangeClient(keys, resolver, tls=client_tls, clock=clock)
        self._server = ExchangeServer(keys, self, clock=clock)
        self._healer = Healer(settings, directory, self._store, resolver, say=say, rendered=rendered)
        self._change = asyncio.Event()
        self._heard: dict[int, asyncio.Event] = {}
        self._troubles: dict[int, str] = {}
        self._refusal: str | None = None
        self._told: dict[tuple[str, str], tuple[float, int]] = {}
        self._membership: Membership | None = None
        self._unsynced: set[int] = set()
        self._synced: dict[int, float] = {}
        self._seen: dict[tuple[str, str], Proven] = {}
        """Documents whose signatures were checked, by text and signature."""

    async def run(self) -> None:
        """Never returns; to be cancelled.

        Raises:
            CorruptFileError: the node's keys, or what the exchange keeps, are damaged.
            NodeError: the node's own word stands against what the network is.
            PortError: the exchange's address cannot be had.
        """
        identity = own_identity(
            self._directory,
            locked=self._store.lock_path.exists(),
            transaction_manager=self._settings.spec.transaction_manager is not None,
        )
        self._start_from_disk(identity)
        try:
            async with self._server.listening(self._settings.bind, self._server_tls) as self.port:
                self._say("INFO", f"exchange of {self._name} served at {self._settings.bind.host}:{self.port}")
                if self._membership is None:
                    await self._until_locked()
                await self._keep()
        finally:
            await self.client.close()

    async def replace(self, name: str) -> PublicIdentity:
        """Admits the identity that now answers at a node's name, in place of the one that was agreed on.

        Raises:
            NodeError: there is no such node, it has not changed, or it does not answer.
        """
        membership = self._membership
        ordinal = next((n for n in membership.current if node_name(n) == name), None) if membership else None
        if membership is None or ordinal is None:
            raise NodeError(f"{name}: not a member of the locked set", hint="see `quorumkit status` for their names")
        if ordinal == self._ordinal:
            raise NodeError(f"{name}: it is the node you are asking", hint="ask through another node")
        try:
            answer = await self._pull(ordinal, "documents")
            proven = prove(answer.sender, source=name)
        except QuorumkitError as error:
            raise NodeError(
                f"{name}: does not answer with its new identity: {error.message}", hint="start it first, then try again"
            ) from None
        if proven.document.same_identity(membership.current[ordinal].document):
            raise NodeError(f"{name}: has the identity that is agreed on", hint="there is nothing to replace")
        admission = Admission(
            ordinal=ordinal, revision=self._now(), enode_key=proven.document.enode_key, by=self._own.document.enode_key
        )
        membership.admit(sign(admission, self._nodekey()), source=name)
        membership.offer(proven, source=name)
        self._say("WARN", f"{name} was replaced: its identity is now {proven.document.enode_key[:16]}…")
        self._members_changed()
        return proven.document.identity

    # What the server asks (see `server.Answering`).

    async def answer(self, request: PullRequest, *, source: str) -> PullAnswer:
        proven = prove(request.sender, source=source)
        sender = proven.document.ordinal
        source = f"{node_name(sender)} at {source}"
        if request.to != self._ordinal:
            raise Refusal("misdirected", f"{source}: asks for {node_name(request.to)}, and this is {self._name}")
        if self._membership is None:
            self._take_document(proven, source=source, terms=request.terms)
        elif self._membership.offer(proven, source=source):
            self._members_changed(sender)
        self._heard.setdefault(sender, asyncio.Event()).set()
        if request.wait:
            await self._until_has(request)
        agreement = self._agreement
        answer: dict[str, list[Signed]] = {"documents": [], "commitments": [], "admissions": []}
        reports = []
        if request.stage == "documents":
            answer["documents"] = agreement.documents_of(request.want)
        else:
            reports = agreement.reports_of(request.want, genesis=request.genesis)
            answer["commitments"] = agreement.commitments_of(request.want)
            # Whoever derives another genesis from as many documents holds another document.
            if agreement.genesis and request.genesis and request.genesis != agreement.genesis.digest:
                answer["documents"] = agreement.documents_of(agreement.ordinals)
        membership = self._membership
        if membership is not None:
            answer["admissions"] = membership.admissions
            if request.stage == "members" and request.membership != membership.digest:
                answer["documents"] = membership.documents
                self._sync_with(sender)
        return PullAnswer(
            sender=self._own.signed,
            documents=answer["documents"],
            reports=reports,
            commitments=answer["commitments"],
            admissions=answer["admissions"],
            locked=membership is not None,
            membership=membership.digest if membership else "",
            taken_in=await self._take_in(membership, sender) if request.take_in and membership else None,
        )

    async def _take_in(self, membership: Membership, ordinal: int) -> str | None:
        """What a node must be told that this one's client has taken in; None where it cannot."""
        if self._runs is None:
            return None
        try:
            return await self._runs.admit(self._healer.network(membership).node(ordinal).enode)
        except QuorumkitError as error:
            self._log("cannot take in", node_name(ordinal), f"cannot take in {node_name(ordinal)}: {error.message}")
            return None

    def refused(self, refusal: Refusal, *, source: str) -> None:
        self._log_refusal(refusal, source)

    # Before the lock.

    def _start_from_disk(self, identity: PublicIdentity) -> None:
        settings = self._settings
        self._own = self._sign_document(identity)
        word = self._store.read_word()
        self._membership = self._store.read_membership()
        documents: Sequence[Proven] = word.documents if word else ()
        if self._membership:
            documents = self._membership.lock.documents
        self._agreement = Agreement(
            self._own,
            total=settings.spec.nodes.total,
            terms=self._terms,
            spec=digest_of(self._terms),
            derive=lambda identities: derive_genesis(settings.spec, identities),
            committed=word.genesis if word else None,
            documents=documents,
            joins=bool(self._membership and self._membership.is_replaced(settings.ordinal)),
        )
        if word:
            self._agreement.commit(check_commitment(word.signed, source="own commitment"), word.signed)
        if self._membership:
            self._resume()

    def _resume(self) -> None:
        """Goes on from a lock that is on the disk: nobody else is needed."""
        membership = self._membership
        assert membership is not None
        for signed in membership.lock.commitments:
            self._agreement.commit(check_commitment(signed, source="lock"), signed)
        if self._agreement.genesis is None or self._agreement.genesis.digest != membership.lock.genesis:
            raise other_genesis(self._settings.spec, self._directory, nodes=len(membership.lock.documents))
        present = membership.current.get(self._ordinal)
        if present is None or not present.document.same_identity(self._own.document):
            raise NodeError(
                f"{self._name}: its keys are not those of the identity that is locked",
                hint="put the keys back from a backup, or empty the node's directory and admit it anew",
            )
        if present.document.place == self._own.document.place:
            self._own = present
        else:
            membership.offer(self._own, source=self._name)
            self._store.write_members(membership)

    async def _until_locked(self) -> None:
        """Returns once there is a lock, and it is on the disk."""
        agreement = self._agreement
        while not agreement.locked:
            joins = agreement.joins
            collecting = [
                asyncio.create_task(self._collect(block), name=f"collect from node{block.sources[0]}")
                for block in blocks(self._ordinal, agreement.total, joins=joins)
                if block.sources
            ]
            collecting += [asyncio.create_task(self._settle_disputes()), asyncio.create_task(self._tell_missing())]
            try:
                while not agreement.locked and agreement.joins == joins:
                    change = self._change
                    await self._give_word()
                    if agreement.locked:
                        break
                    waiting = asyncio.create_task(change.wait())
                    await asyncio.wait([waiting, *collecting], return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
                    for task in collecting:
                        if task.done():
                            task.result()
            finally:
                for task in collecting:
                    task.cancel()
                await asyncio.gather(*collecting, return_exceptions=True)
        assert agreement.genesis is not None
        lock = Lock(
            agreement.genesis.digest,
            tuple(agreement.documents[ordinal] for ordinal in agreement.ordinals),
            tuple(agreement.commitments_of(agreement.ordinals)),
        )
        await asyncio.to_thread(self._store.write_lock, lock)
        self._membership = Membership(lock)
        how = "joins" if agreement.joins else "agreed"
        self._say("INFO", f"{self._name} {how}: {agreement.total} nodes, genesis {lock.genesis[:16]}…")
        self._notify()

    async def _give_word(self) -> None:
        """Commits, where it is time to: on the disk first."""
        before = self._agreement.version
        digest = self._agreement.may_commit(version=self._now())
        if digest is not None:
            commitment = Commitment(ordinal=self._ordinal, enode_key=self._own.document.enode_key, genesis=digest)
            signed = sign(commitment, self._nodekey())
            documents = tuple(self._agreement.documents[ordinal] for ordinal in self._agreement.ordinals)
            self._agreement.promise(digest)
            await asyncio.to_thread(self._store.write_word, Word(digest, signed, documents))
            self._agreement.commit(commitment, signed)
        if self._agreement.version != before:
            self._notify()

    async def _collect(self, block: Block) -> None:
        """Keeps asking for what of the block is missing."""
        attempt, back_off, waits = 0, FIRST_BACK_OFF, iter(FIRST_WAITS)
        stage: Stage = "documents"
        while True:
            change = self._change
            want = self._agreement.missing(block.ordinals)
            if not want:
                await change.wait()
                continue
            if self._agreement.stage != stage:
                stage, attempt, back_off, waits = self._agreement.stage, 0, FIRST_BACK_OFF, iter(())
            source = block.sources[attempt % len(block.sources)]
            heard = self._heard.setdefault(source, asyncio.Event())
            heard.clear()
            try:
                answer = await self._pull(source, stage, want, wait=next(waits, WAIT))
                self._troubles.pop(source, None)
                self._merge(source, answer)
                if len(self._agreement.missing(want)) < len(want) or self._agreement.stage != stage:
                    back_off = FIRST_BACK_OFF
                    continue
            except UnreachableError as error:
                self._troubles[source] = error.message
            except RefusedError as error:
                self._note_refused(source, error)
            except Refusal as refusal:
                self._troubles[source] = refusal.message
                self._log_refusal(refusal, node_name(source))
            attempt += 1
            pause = back_off * random.uniform(0.5, 1.5)  # noqa: S311
            back_off = min(back_off * 2, LONGEST_BACK_OFF)
            if await happens(heard, pause) and source in block.ordinals:
                attempt = 0

    async def _settle_disputes(self) -> None:
        """Asks at the name of every ordinal that two nodes claim."""
        while True:
            change = self._change
            unsettled = False
            for ordinal in list(self._agreement.disputed):
                try:
                    answer = await self._pull(ordinal, "documents")
                    proven = prove(answer.sender, source=node_name(ordinal))
                except QuorumkitError as error:
                    self._troubles[ordinal] = error.message
                    unsettled = True
                    continue
                self._agreement.settle(ordinal, proven)
                self._say("WARN", f"{node_name(ordinal)}: {proven.document.enode_key[:16]}… answers at that name, "
                                  "so the other claim is refused")  # fmt: skip
                self._notify()
            if unsettled:
                await asyncio.sleep(1)
            else:
                await change.wait()

    def _merge(self, source: int, answer: PullAnswer) -> None:
        """Takes what an answer brought, each part for itself."""
        name = node_name(source)
        before = self._agreement.version
        proven = self._proven(answer.sender, name)
        if proven is not None and proven.document.ordinal != source:
            raise Refusal("misdirected", f"{name}: its name leads to {node_name(proven.document.ordinal)}")
        if proven is not None:
            with self._refusals_logged(name):
                try:
                    self._agreement.offer(proven, source=name)
                except Refusal as refusal:
                    if refusal.code != "ordinal_taken":
                        raise
                    # It was asked by its name, and that decides.
                    self._agreement.settle(source, proven)
        for signed in answer.documents:
            if (handed := self._proven(signed, name)) is not None:
                with self._refusals_logged(name):
                    self._agreement.offer(handed, source=name)
        for report in answer.reports:
            self._agreement.report(report)
        for signed in answer.commitments:
            with self._refusals_logged(name):
                if not self._agreement.knows(signed):
                    self._agreement.commit(check_commitment(signed, source=name), signed)
        for signed in answer.admissions:
            with self._refusals_logged(name):
                self._agreement.admit(check_admission(signed, source=name), source=name)
        if self._agreement.version != before:
            self._notify()

    def _take_document(self, proven: Proven, *, source: str, terms: dict[str, int | str] | None) -> None:
        before = self._agreement.version
        try:
            self._agreement.offer(proven, source=source, terms=terms)
        finally:
            if self._agreement.version != before:
                self._notify()

    def _proven(self, signed: Signed, source: str) -> Proven | None:
        """The document, checked; the ones that are known need no second check."""
        key = (signed.text, signed.signature)
        if key not in self._seen:
            with self._refusals_logged(source):
                if len(self._seen) > 2 * MOST_NODES:
                    self._seen.clear()
                self._seen[key] = prove(signed, source=source)
        return self._seen.get(key)

    async def _until_has(self, request: PullRequest) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(request.wait):
                while not self._agreement.has(request.stage, request.want):
                    await self._change.wait()

    async def _tell_missing(self) -> None:
        """Says what it waits for: at each change for /readyz, now and then in the log."""
        said, when = "", 0.0
        while True:
            change = self._change
            text = self._missing()
            self._tell(text)
            now = time.monotonic()
            if now - when > (1 if text != said else TELL_EVERY):
                self._say("INFO", f"{self._name}: {text}")
                said, when = text, now
            await happens(change, 1)
            await asyncio.sleep(0.3)

    def _missing(self) -> str:
        agreement = self._agreement
        if agreement.broken_word:
            return (
                f"gave its word for another genesis than these identities give; if nobody has started yet, remove "
                f"{self._store.word_path} on all nodes and start them again"
            )
        missing = agreement.missing(agreement.ordinals)
        stage = {"documents": "identity", "reports": "genesis", "commitments": "word", "members": ""}[agreement.stage]
        troubles = [f"{node_name(n)} ({self._troubles[n]})" if n in self._troubles else node_name(n) for n in missing]
        more = f" and {len(troubles) - 10} more" if len(troubles) > 10 else ""
        text = f"waits for the {stage} of {', '.join(troubles[:10])}{more}"
        if agreement.differences:
            text += f"; another genesis: {', '.join(map(str, agreement.differences[:5]))}"
        if agreement.disputed:
            text += f"; two nodes claim {told(sorted(agreement.disputed))}"
        return f"{text}; {self._refusal}" if self._refusal else text

    # After the lock.

    async def _keep(self) -> None:
        """Files, client, members and addresses, for as long as the program runs."""
        membership = self._membership
        assert membership is not None
        present = membership.current.get(self._ordinal)
        if present is None or not present.document.same_identity(self._own.document):
            await self._until_admitted(membership)
        await self._healer.render(membership, first=not self.locked.is_set(), tell=self._tell)
        self.locked.set()
        if membership.digest != Membership(membership.lock).digest:
            # Others may have been away when this became known, or this node when something changed.
            self._members_changed()
        await asyncio.gather(self._healer.heal(membership), self._sync(), self._until_taken_in(membership))

    async def _until_admitted(self, membership: Membership) -> None:
        """One who joins learns who else is there now, and becomes known to whom it will have as peers."""
        back_off = FIRST_BACK_OFF
        while True:
            for ordinal in sorted(membership.current, key=lambda _: random.random()):  # noqa: S311
                if ordinal == self._ordinal and ordinal <= membership.total:
                    continue
                with contextlib.suppress(UnreachableError, RefusedError, Refusal):
                    await self._sync_now(ordinal)
                    membership.offer(self._own, source=self._name)
                    self._store.write_members(membership)
                    return
            self._tell("waits to be admitted by any node of the network")
            await asyncio.sleep(back_off)
            back_off = min(back_off * 2, LONGEST_BACK_OFF)

    async def _until_taken_in(self, membership: Membership) -> None:
        """Asks the others in turn, where this node's client can only start when one of theirs has taken it in."""
        back_off = FIRST_BACK_OFF
        while self._runs is not None and self._runs.needs_admission():
            for ordinal in sorted(membership.current, key=lambda _: random.random()):  # noqa: S311
                if ordinal == self._ordinal:
                    continue
                with contextlib.suppress(UnreachableError, RefusedError, Refusal):
                    answer = await self._pull(ordinal, "members", membership=membership.digest, take_in=True)
                    if answer.taken_in is not None:
                        self._runs.admitted(answer.taken_in)
                        self._say("INFO", f"{node_name(ordinal)} has taken {self._name} in")
                        return
            await asyncio.sleep(back_off)
            back_off = min(back_off * 2, LONGEST_BACK_OFF)

    def _members_changed(self, heard_from: int | None = None) -> None:
        """Writes the members down, and has peers and files mended and the others told."""
        membership = self._membership
        assert membership is not None
        self._store.write_members(membership)
        self._healer.members_changed()
        if self._ordinal > membership.total:
            others = late_peer_ordinals(self._ordinal, membership.total)
        else:
            others = [block.sources[0] for block in blocks(self._ordinal, membership.total)]
        self._unsynced |= {ordinal for ordinal in others if ordinal != heard_from}
        self._notify()

    def _sync_with(self, ordinal: int) -> None:
        """Soon: two nodes that cannot come to the same members must not ask each other without end."""
        rest = self._synced.get(ordinal, -SYNC_PAUSE) + SYNC_PAUSE - time.monotonic()

        def add() -> None:
            self._unsynced.add(ordinal)
            self._notify()

        asyncio.get_running_loop().call_later(max(0.0, rest), add)

    async def _sync(self) -> None:
        """Tells changed members at once to those next in the ring, who tell theirs; looks at anyone's now and then."""
        membership = self._membership
        assert membership is not None
        while True:
            change = self._change
            while self._unsynced:
                ordinal = self._unsynced.pop()
                with contextlib.suppress(UnreachableError):
                    try:
                        await self._sync_now(ordinal)
                    except RefusedError as error:
                        self._note_refused(ordinal, error)
                    except Refusal as refusal:
                        self._log_refusal(refusal, node_name(ordinal))
            if not await happens(change, SYNC_EVERY * random.uniform(0.7, 1.3)):  # noqa: S311
                others = [ordinal for ordinal in membership.current if ordinal != self._ordinal]
                if others:
                    self._unsynced.add(random.choice(others))  # noqa: S311

    async def _sync_now(self, ordinal: int) -> None:
        membership = self._membership
        assert membership is not None
        name = node_name(ordinal)
        self._synced[ordinal] = time.monotonic()
        answer = await self._pull(ordinal, "members", membership=membership.digest)
        changed = False
        for signed in answer.admissions:
            with self._refusals_logged(name):
                changed |= membership.admit(signed, source=name)
        for signed in (answer.sender, *answer.documents):
            if (proven := self._proven(signed, name)) is not None:
                with self._refusals_logged(name):
                    changed |= membership.offer(proven, source=name)
        if changed:
            self._members_changed(ordinal)

    # Both.

    @property
    def _ordinal(self) -> int:
        return self._settings.ordinal

    @property
    def _name(self) -> str:
        return node_name(self._ordinal)

    async def _pull(
        self,
        ordinal: int,
        stage: Stage,
        want: Sequence[int] = (),
        *,
        wait: float = 0.0,
        membership: str = "",
        take_in: bool = False,
    ) -> PullAnswer:
        genesis = self._agreement.genesis
        request = PullRequest(
            sender=self._own.signed,
            to=ordinal,
            terms=self._terms,
            stage=stage,
            want=list(want),
            genesis=genesis.digest if genesis else None,
            wait=wait,
            membership=membership,
            take_in=take_in,
        )
        return await self.client.pull(self._endpoint(ordinal), request)

    def _endpoint(self, ordinal: int) -> Endpoint:
        endpoint = self._settings.names.endpoint(ordinal)
        if endpoint is None and self._membership and ordinal in self._membership.current:
            document = self._membership.current[ordinal].document
            endpoint = Endpoint(document.host, document.exchange_port)
        if endpoint is None:
            raise UnreachableError("it is not in the peer list")
        return endpoint

    def _sign_document(self, identity: PublicIdentity) -> Proven:
        settings = self._settings
        document = Document(
            ordinal=settings.ordinal,
            revision=self._now(),
            host=settings.host,
            p2p_port=settings.p2p_port,
            exchange_port=settings.bind.port,
            enode_key=identity.enode_key,
            account=identity.account,
            tm_key=identity.tm_key,
            tm_url=tm_url(Endpoint(settings.host, settings.tm_bind.port)) if settings.tm_bind else None,
            raft_port=settings.raft_port,
            chain_id=settings.spec.chain_id,
            spec=digest_of(self._terms),
        )
        return Proven(document, sign(document, self._nodekey()))

    def _nodekey(self) -> bytes:
        """Read when something is to be signed, and not kept."""
        return bytes.fromhex((self._directory / NODEKEY).read_text(encoding="ascii").strip())

    def _now(self) -> int:
        return int(self._clock() * 1000)

    def _notify(self) -> None:
        """Wakes everybody who waits for a change, and is ready for the next."""
        self._change.set()
        self._change = asyncio.Event()

    @contextlib.contextmanager
    def _refusals_logged(self, source: str) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            self._log_refusal(refusal, source)

    def _note_refused(self, ordinal: int, error: RefusedError) -> None:
        """Another node refused this one: what it said is what a person must know."""
        name = node_name(ordinal)
        self._troubles[ordinal] = f"refuses this node: {error.code}"
        said = "" if error.authentic else ", so it says without proof of the join secret"
        hint = f" ({error.hint})" if error.hint else ""
        self._refusal = f"{name} refuses this node{said}: {error.message}{hint}"
        self._log(f"refused by {error.code}", name, self._refusal)

    def _log_refusal(self, refusal: Refusal, source: str) -> None:
        self._log(refusal.code, source, f"refused [{refusal.code}] {refusal.message} ({refusal.hint})")

    def _log(self, what: str, source: str, text: str) -> None:
        """The same of one source is said once a minute, with how often it was."""
        now = time.monotonic()
        when, count = self._told.get((what, source), (-1e9, 0))
        if now - when < 60:
            self._told[what, source] = when, count + 1
            return
        if len(self._told) > 1000:
            self._told.clear()
        self._told[what, source] = now, 0
        self._say("WARN", text + (f" [{count} more like it since]" if count else ""))


def own_identity(directory: Path, *, locked: bool, transaction_manager: bool = False) -> PublicIdentity:
    """The node's identity, from its volume; made there at the first start, with a TM key where it needs one.

    The nodekey is written last. So without one there was never an identity that anybody knows, and what a killed first
    start left is made anew.

    Raises:
        CorruptFileError: keys are damaged, or gone although the node is locked.
    """
    if (directory / NODEKEY).exists():
        identity = load_identity(directory)
        if transaction_manager and identity.tm_key is None:
            raise CorruptFileError(
                f"{directory / TM_KEY}: the transaction manager's key is missing",
                hint="put it back from a backup, or empty the directory and admit the node anew: "
                "quorumkit node replace",
            )
        return identity
    if locked:
        raise CorruptFileError(
            f"{directory / NODEKEY}: the nodekey is missing, and the node is a member of a locked network",
            hint="put it back from a backup, or empty the directory and admit the node anew: quorumkit node replace",
        )
    (directory / PASSWORD).unlink(missing_ok=True)
    for leftover in (directory / KEYSTORE).glob("*"):
        leftover.unlink()
    secrets = generate_secrets(transaction_manager=transaction_manager)
    write_secrets(directory, secrets)
    return secrets.identity


def derive_genesis(spec: NetworkSpec, identities: Sequence[PublicIdentity]) -> Genesis:
    """What the identities, by ordinal, give: pure, and the same everywhere."""
    nowhere = Endpoint(NOWHERE, 1)  # endpoints do not matter to a genesis
    endpoints = NodeEndpoints(p2p=nowhere, p2p_bind=nowhere, rpc_bind=nowhere, rpc_url="")
    network: Network = plan(spec, identities, [endpoints] * len(identities))
    fields: dict[str, str] = {}
    for name, value in network.genesis.items():
        parts = {f"{name}.{part}": inner for part, inner in value.items()} if name == "config" else {name: value}
        for part, inner in parts.items():
            fields[part] = hashlib.sha256(json.dumps(inner, sort_keys=True).encode()).hexdigest()[:16]
    return Genesis(hashlib.sha256(render_genesis(network)).hexdigest(), fields)
