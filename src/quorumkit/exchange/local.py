"""This node, as the parts of its exchange share it: who it is, what it knows, whom it can ask, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from quorumkit.addresses import Endpoint
from quorumkit.exchange import waiting
from quorumkit.exchange.agreement import Agreement
from quorumkit.exchange.client import ExchangeClient, RefusedError, UnreachableError
from quorumkit.exchange.membership import Membership
from quorumkit.exchange.protocol import (
    AHEAD,
    MOST_NODES,
    Document,
    Proven,
    PullAnswer,
    PullRequest,
    Signed,
    Stage,
    digest_of,
    fields_of_ports,
    prove,
    sign,
)
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.settings import ExchangeSettings
from quorumkit.exchange.store import ExchangeStore
from quorumkit.exchange.terms import terms_of
from quorumkit.exchange.trouble import Troubles
from quorumkit.identity import PublicIdentity
from quorumkit.identity.store import NODEKEY
from quorumkit.managers import tm_url
from quorumkit.plan import node_name

Say = Callable[[str, str], None]
"""Writes a line of the node's log: a level and a text."""

_MOST_LOGGED = 1000
"""Different lines that are remembered, so as not to repeat them."""


class LocalNode:
    """One node's own side."""

    own: Proven
    """Its document."""
    agreement: Agreement
    """What it knows of the others up to the lock."""

    def __init__(
        self,
        settings: ExchangeSettings,
        directory: Path,
        client: ExchangeClient,
        *,
        say: Say,
        set_waiting: Callable[[str], None],
        troubles: Troubles,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.store = ExchangeStore(directory)
        self.client = client
        self.say = say
        self.set_waiting = set_waiting
        """Says, for its status, what the node waits for."""
        self.troubles = troubles
        self.terms = terms_of(settings.spec)
        self.membership: Membership | None = None
        """Who is there after the lock."""
        self.change = asyncio.Event()
        """Set at the next change of anything here; to be taken before what is waited for is looked at."""
        self.heard: dict[int, asyncio.Event] = {}
        self.complaints: dict[int, str] = {}
        """What is wrong with each of the others, in a few words."""
        self.refusal: str | None = None
        """What another node said when it last refused this one."""
        self.directory = directory
        self._clock = clock
        self._identity: PublicIdentity | None = None
        self._logged: dict[tuple[str, str], tuple[float, int]] = {}
        self._seen: dict[tuple[str, str], Proven] = {}
        """Documents whose signatures were checked, by text and signature."""

    @property
    def ordinal(self) -> int:
        return self.settings.ordinal

    @property
    def name(self) -> str:
        return node_name(self.ordinal)

    def now(self) -> int:
        """Milliseconds since 1970."""
        return int(self._clock() * 1000)

    @property
    def latest(self) -> int:
        """The latest revision that can be true now."""
        return self.now() + AHEAD

    def notify(self) -> None:
        """Wakes everybody who waits for a change, and is ready for the next."""
        self.change.set()
        self.change = asyncio.Event()

    async def pull(
        self,
        ordinal: int,
        stage: Stage,
        want: Sequence[int] = (),
        *,
        wait: float = 0.0,
        membership: str = "",
        take_in: bool = False,
    ) -> PullAnswer:
        """Asks another node.

        Raises:
            UnreachableError, RefusedError, Refusal: see `ExchangeClient.pull`.
        """
        self.keep_date()
        genesis = self.agreement.genesis
        request = PullRequest(
            sender=self.own.signed,
            to=ordinal,
            terms=self.terms,
            stage=stage,
            want=list(want),
            genesis=genesis.digest if genesis else None,
            wait=wait,
            membership=membership,
            take_in=take_in,
        )
        return await self.client.pull(self._endpoint(ordinal), request)

    def _endpoint(self, ordinal: int) -> Endpoint:
        endpoint = self.settings.names.endpoint(ordinal)
        if endpoint is None and self.membership and ordinal in self.membership.current:
            document = self.membership.current[ordinal].document
            endpoint = Endpoint(document.host, document.exchange_port)
        if endpoint is None:
            raise UnreachableError("it is not in the peer list")
        return endpoint

    def introduce(self, identity: PublicIdentity) -> None:
        """Signs the node's document."""
        self._identity = identity
        self.own = self._document(self.now())

    def redate(self, past: int) -> None:
        """Signs it anew, so that it holds against one of that revision: what this node said of itself when its clock
        was ahead must not hold against where it is now."""
        self.own = self._document(max(self.now(), past + 1) if past < self.latest else self.now())

    def keep_date(self) -> None:
        """Signs it anew if the clock was set back since: nobody takes what lies in the future."""
        if self.own.document.revision > self.latest:
            self.redate(0)
            if self.membership is None:
                self.agreement.renew(self.own)
            else:
                self.membership.offer(self.own, source=self.name, latest=self.latest)

    def _document(self, revision: int) -> Proven:
        settings, identity = self.settings, self._identity
        assert identity is not None
        document = Document(
            ordinal=settings.ordinal,
            revision=revision,
            host=settings.host,
            p2p_port=settings.p2p_port,
            exchange_port=settings.bind.port,
            enode_key=identity.enode_key,
            account=identity.account,
            tm_key=identity.tm_key,
            further_keys=dict(identity.further_keys) or None,
            tm_url=tm_url(Endpoint(settings.host, settings.tm_bind.port)) if settings.tm_bind else None,
            chain_id=settings.spec.chain_id,
            spec=digest_of(self.terms),
            **fields_of_ports(settings.ports),
        )
        return Proven(document, sign(document, self.nodekey()))

    def nodekey(self) -> bytes:
        """Read when something is to be signed, and not kept."""
        return bytes.fromhex((self.directory / NODEKEY).read_text(encoding="ascii").strip())

    def proven(self, signed: Signed, source: str) -> Proven:
        """The document, checked; the ones that are known need no second check.

        Raises:
            Refusal: format or signature.
        """
        key = (signed.text, signed.signature)
        if key not in self._seen:
            if len(self._seen) > 2 * MOST_NODES:
                self._seen.clear()
            self._seen[key] = prove(signed, source=source)
        return self._seen[key]

    @contextlib.contextmanager
    def refusals_logged(self, source: str) -> Iterator[None]:
        try:
            yield
        except Refusal as refusal:
            self.log_refusal(refusal, source)

    def note_refused(self, ordinal: int, error: RefusedError) -> None:
        """Another node refused this one: what it said is what a person must know."""
        name = node_name(ordinal)
        self.complaints[ordinal] = f"refuses this node: {error.code}"
        said = "" if error.authentic else ", so it says without proof of the join secret"
        hint = f" ({error.hint})" if error.hint else ""
        self.refusal = f"{name} refuses this node{said}: {error.message}{hint}"
        self.log(f"refused by {error.code}", name, self.refusal)

    def log_refusal(self, refusal: Refusal, source: str) -> None:
        self.log(refusal.code, source, f"refused [{refusal.code}] {refusal.message} ({refusal.hint})")

    def log(self, what: str, source: str, text: str) -> None:
        """The same of one source is said once a minute, with how often it was."""
        now = time.monotonic()
        when, count = self._logged.get((what, source), (-1e9, 0))
        if now - when < waiting.LOG_AGAIN:
            self._logged[what, source] = when, count + 1
            return
        if len(self._logged) > _MOST_LOGGED:
            self._logged.clear()
        self._logged[what, source] = now, 0
        self.say("WARN", text + (f" [{count} more like it since]" if count else ""))
