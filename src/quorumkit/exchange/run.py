"""A node's part in the exchange, from its first start to the end of the program.

Before the lock it collects, reports and commits (`collecting`); after it, it keeps the members and their addresses true
(`keeping`). All the while it answers the others, which is here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from quorumkit.addresses import Endpoint
from quorumkit.errors import CorruptFileError, NodeError
from quorumkit.exchange.agreement import Agreement, Genesis
from quorumkit.exchange.authentication import read_join_secret
from quorumkit.exchange.client import ExchangeClient
from quorumkit.exchange.collecting import Collecting
from quorumkit.exchange.heal import Healer
from quorumkit.exchange.keeping import ClientRunner, Keeping
from quorumkit.exchange.local import LocalNode, Say
from quorumkit.exchange.membership import NOWHERE, Membership
from quorumkit.exchange.names import Resolver
from quorumkit.exchange.other_genesis import other_genesis
from quorumkit.exchange.protocol import Commitment, Proven, PullAnswer, PullRequest, Signed, check, digest_of
from quorumkit.exchange.refusal import Refusal
from quorumkit.exchange.replacing import Replacement, replace
from quorumkit.exchange.server import ExchangeServer
from quorumkit.exchange.settings import ExchangeSettings
from quorumkit.exchange.trouble import LoggedTroubles, Troubles
from quorumkit.identity import FurtherKeys, PublicIdentity, generate_secrets, load_identity, write_secrets
from quorumkit.identity.store import KEYSTORE, NODEKEY, PASSWORD, TM_KEY
from quorumkit.plan import Network, NodeEndpoints, node_name, plan
from quorumkit.render import render_genesis
from quorumkit.spec import NetworkSpec


class Exchange:
    """One node's. `run` lives as long as the program; `locked` is set once the node's files are there to start from."""

    def __init__(
        self,
        settings: ExchangeSettings,
        directory: Path,
        *,
        say: Say,
        set_waiting: Callable[[str], None],
        files_changed: Callable[[], None],
        client: ClientRunner | None = None,
        troubles: Troubles | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`set_waiting` takes what the node waits for; `files_changed` is called when its files were written again;
        `client` runs the node's client, None where there is none (in measurements); `troubles` takes what nobody
        expected.

        Raises:
            UsageError: a setting is wrong.
        """
        settings.names.check(settings.spec.nodes.total)
        self.locked = asyncio.Event()
        self.port: int | None = None
        self._settings = settings
        self._directory = directory
        self._runner = client
        troubles = troubles or LoggedTroubles(say)
        keys = read_join_secret(settings.secret)
        resolver = Resolver(settings.hosts_file)
        self._server_tls = settings.tls.server() if settings.tls else None
        client_tls = settings.tls.client() if settings.tls else None
        self.client = ExchangeClient(keys, resolver, tls=client_tls, clock=clock)
        self._local = LocalNode(
            settings, directory, self.client, say=say, set_waiting=set_waiting, troubles=troubles, clock=clock
        )  # fmt: skip
        self._server = ExchangeServer(keys, self, clock=clock)
        self._healer = Healer(self._local, resolver, files_changed=files_changed)
        self._collecting: Collecting | None = None
        self._keeping: Keeping | None = None

    async def run(self) -> None:
        """Never returns; to be cancelled. It can be run again.

        Raises:
            CorruptFileError: the node's keys, or what the exchange keeps, are damaged.
            NodeError: the node's own commitment stands against what the network is.
            PortError: the exchange's address cannot be had.
        """
        local = self._local
        identity = own_identity(
            self._directory,
            locked=local.store.lock_path.exists(),
            transaction_manager=self._settings.spec.transaction_manager is not None,
            further=self._settings.spec.recipe.further_keys,
        )
        self._start_from_disk(identity)
        try:
            async with self._server.listening(self._settings.bind, self._server_tls) as self.port:
                local.say("INFO", f"exchange of {local.name} served at {self._settings.bind.host}:{self.port}")
                if self._keeping is None:
                    self._keeping = await self._until_locked()
                await self._keeping.keep(self.locked)
        finally:
            await self.client.close()

    async def replace(self, name: str) -> Replacement:
        """Signs that the identity which answers at a node's name now has that node's place. For the operator of this
        node only.

        Raises:
            NodeError: see `replacing.replace`.
        """
        return await replace(self._local, self._keeping, name)

    # What the server asks (see `server.Answering`).

    def identify(self, request: PullRequest, *, source: str) -> str:
        return self._local.proven(request.sender, source).document.enode_key

    async def answer(self, request: PullRequest, *, source: str) -> PullAnswer:
        local, agreement = self._local, self._local.agreement
        proven = local.proven(request.sender, source)
        sender = proven.document.ordinal
        source = f"{node_name(sender)} at {source}"
        if request.to != local.ordinal:
            raise Refusal("misdirected", f"{source}: asks for {node_name(request.to)}, and this is {local.name}")
        if self._keeping is not None:
            if self._keeping.membership.offer(proven, source=source, latest=local.latest):
                self._keeping.members_changed(sender)
        elif self._collecting is not None:
            self._collecting.take_document(proven, source=source, terms=request.terms)
        local.heard.setdefault(sender, asyncio.Event()).set()
        if request.wait:
            await self._until_has(request)
        answer: dict[str, list[Signed]] = {"documents": [], "commitments": [], "admissions": []}
        reports = []
        if request.stage == "documents":
            answer["documents"] = agreement.gathered.documents_of(request.want)
        else:
            reports = agreement.gathered.reports_of(request.want, genesis=request.genesis)
            answer["commitments"] = agreement.gathered.commitments_of(request.want)
            # Whoever derives another genesis from as many documents holds another document.
            if agreement.genesis and request.genesis and request.genesis != agreement.genesis.digest:
                answer["documents"] = agreement.gathered.documents_of(agreement.ordinals)
        keeping = self._keeping
        membership = keeping.membership if keeping else None
        if keeping is not None and membership is not None:
            answer["admissions"] = membership.admissions.signed
            if request.stage == "members" and request.membership != membership.digest:
                answer["documents"] = membership.documents
                keeping.sync_soon(sender)
        local.keep_date()
        return PullAnswer(
            sender=local.own.signed,
            documents=answer["documents"],
            reports=reports,
            commitments=answer["commitments"],
            admissions=answer["admissions"],
            locked=membership is not None,
            membership=membership.digest if membership else "",
            taken_in=await keeping.take_in(sender) if request.take_in and keeping else None,
        )

    def refused(self, refusal: Refusal, *, source: str) -> None:
        self._local.log_refusal(refusal, source)

    async def _until_has(self, request: PullRequest) -> None:
        local = self._local
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(request.wait):
                while not local.agreement.gathered.has(request.stage, request.want):
                    await local.change.wait()

    # From the disk to the lock.

    def _start_from_disk(self, identity: PublicIdentity) -> None:
        settings, local = self._settings, self._local
        local.introduce(identity)
        own = local.store.read_commitment()
        lock = local.store.read_lock()
        membership = Membership(lock, validators=settings.spec.nodes.validators) if lock else None
        documents: Sequence[Proven] = lock.documents if lock else own.documents if own else ()
        left_out = local.store.read_members(membership, latest=local.latest) if membership else []
        for what in left_out:
            local.say("WARN", what)
        local.membership = membership
        local.agreement = Agreement(
            local.own,
            total=settings.spec.nodes.total,
            terms=local.terms,
            spec=digest_of(local.terms),
            derive=lambda identities: derive_genesis(settings.spec, identities),
            committed=own.genesis if own else None,
            documents=documents,
            joins=bool(membership and membership.is_replaced(settings.ordinal)),
        )
        if own:
            local.agreement.commit(check(Commitment, own.signed, source="own commitment"), own.signed)
        self._collecting = Collecting(local)
        self._keeping = self._resume(membership) if membership else None

    def _resume(self, membership: Membership) -> Keeping:
        """Goes on from a lock that is on the disk: nobody else is needed."""
        local = self._local
        for signed in membership.lock.commitments:
            local.agreement.commit(check(Commitment, signed, source="lock"), signed)
        if local.agreement.genesis is None or local.agreement.genesis.digest != membership.lock.genesis:
            raise other_genesis(self._settings.spec, self._directory, nodes=membership.total)
        present = membership.current.get(local.ordinal)
        if present is None or not present.document.same_identity(local.own.document):
            raise NodeError(
                f"{local.name}: its keys are not those of the identity that is locked",
                hint="put the keys back from a backup, or empty the node's directory and admit it anew",
            )
        if present.document.place == local.own.document.place and present.document.revision <= local.latest:
            local.own = present
        else:
            local.redate(present.document.revision)
            membership.offer(local.own, source=local.name, latest=local.latest)
        if membership.changed:
            try:
                local.store.write_members(membership)  # without what was left out
            except OSError as error:  # a full disk, say: it was read, and will be again
                local.say("WARN", f"{error.filename}: {error.strerror or error}")
        return Keeping(local, membership, self._healer, self._runner)

    async def _until_locked(self) -> Keeping:
        """Returns once there is a lock, and it is on the disk."""
        local = self._local
        assert self._collecting is not None
        lock = await self._collecting.until_locked()
        membership = Membership(lock, validators=self._settings.spec.nodes.validators)
        keeping = Keeping(local, membership, self._healer, self._runner)
        if local.agreement.joins:
            # Until it is a member it is not locked: killed before, it begins anew.
            local.membership = membership
            await keeping.until_admitted()
            await asyncio.to_thread(local.store.write_members, membership)
        await asyncio.to_thread(local.store.write_lock, lock)
        local.membership = membership
        how = "joins" if local.agreement.joins else "agreed"
        local.say("INFO", f"{local.name} {how}: {local.agreement.total} nodes, genesis {lock.genesis[:16]}…")
        local.notify()
        return keeping


def own_identity(
    directory: Path, *, locked: bool, transaction_manager: bool = False, further: FurtherKeys | None = None
) -> PublicIdentity:
    """The node's identity, from its volume; made there at the first start, with a TM key where it needs one.

    The nodekey is written last. So without one there was never an identity that anybody knows, and what a killed first
    start left is made anew.

    Raises:
        CorruptFileError: keys are damaged, or gone although the node is locked.
    """
    if (directory / NODEKEY).exists():
        identity = load_identity(directory, further)
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
    secrets = generate_secrets(transaction_manager=transaction_manager, further=further)
    for path in secrets.further:
        (directory / path).unlink(missing_ok=True)
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
