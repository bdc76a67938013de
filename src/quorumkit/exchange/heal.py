"""Keeps a node's files true to where its peers are now; whoever runs the client hears when they have changed.

Clients are given literal addresses only: geth 1.13 exits on a name it cannot resolve, and never resolves one again. So
names are resolved here, now and then, and what changed is rendered. GoQuorum with raft is given names, and looks them
up itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from quorumkit.addresses import Endpoint
from quorumkit.consensus import consensus_of
from quorumkit.errors import UsageError
from quorumkit.exchange import waiting
from quorumkit.exchange.local import LocalNode
from quorumkit.exchange.membership import NOWHERE, Membership, late_peer_ordinals
from quorumkit.exchange.names import Resolver, listed
from quorumkit.exchange.trouble import contained
from quorumkit.files import write_if_changed
from quorumkit.plan import Network, NodeEndpoints, node_name, peer_ordinals
from quorumkit.render import keeping, render_genesis, render_node


class Healer:
    """One node's."""

    def __init__(self, local: LocalNode, resolver: Resolver, *, files_changed: Callable[[], None]) -> None:
        """`files_changed` is called whenever the node's files were written anew."""
        self._local = local
        self._settings = local.settings
        self._resolver = resolver
        self._files_changed = files_changed
        self._recipe = local.settings.spec.recipe
        self._wake = asyncio.Event()
        self._addresses = local.store.read_addresses()
        self._rendered_from: tuple[object, ...] | None = None
        """What the files rest on that were written last."""
        self._missing_since: dict[int, float] = {}
        self.own_key: str | None = None
        """The node's enode key."""

    def members_changed(self) -> None:
        self._wake.set()

    async def render(self, membership: Membership, *, first: bool) -> None:
        """Writes the node's files. Names that lead nowhere now keep their last address; before the first start, when
        there is none, they are waited for."""
        while True:
            lost = await self._resolve(membership)
            if not lost:
                break
            self._local.set_waiting(f"waits for an address of {listed(lost)}")
            if first:
                self._local.say("WARN", f"no address of {listed(lost)} yet: looked for again (check names and DNS)")
                first = False
            await asyncio.sleep(waiting.RESOLVE_AGAIN)
        self._write(membership)

    async def heal(self, membership: Membership) -> None:
        """Never returns."""
        while True:
            await waiting.happens_within(self._wake, waiting.RESOLVE_EVERY)
            self._wake.clear()
            with contained(self._local.troubles, "the care of the peers' addresses"):
                try:
                    await self._resolve(membership)
                    self._write(membership)
                except OSError as error:
                    self._local.say(
                        "WARN",
                        f"{error.filename}: {error.strerror or error}; tried again in {waiting.RESOLVE_EVERY:g} s",
                    )

    async def _resolve(self, membership: Membership) -> list[int]:
        """Looks up where the peers and the node itself are now; who has no address at all."""
        own = self._settings.ordinal
        everyone = self._peers(membership)
        answers = await asyncio.gather(*(self._where(membership, ordinal) for ordinal in everyone))
        before = dict(self._addresses)
        absent = await self._absent(membership, [ordinal for ordinal in everyone if ordinal > membership.total])
        for ordinal, found in zip(everyone, answers, strict=True):
            if ordinal in absent:
                self._addresses.pop(ordinal, None)
            elif found and self._addresses.get(ordinal) not in found:
                if ordinal in before and ordinal != own:
                    self._local.say("INFO", f"{node_name(ordinal)} moved from {before[ordinal]} to {found[0]}")
                self._addresses[ordinal] = found[0]
        if self._addresses != before:
            self._local.store.write_addresses(self._addresses)
        return [ordinal for ordinal in everyone if ordinal not in self._addresses and ordinal <= membership.total]

    async def _absent(self, membership: Membership, late: list[int]) -> set[int]:
        """The observers that came later and have had no name for a while: scaled away, most likely. They stay members,
        and are peers again when their names lead somewhere. A node of the genesis is missed for ever."""
        absent = set()
        if self._recipe.keeps_names(self._settings.spec.consensus.kind):  # then nobody has looked yet
            await asyncio.gather(*(self._look_up(self._host(membership, ordinal), late=True) for ordinal in late))
        for ordinal in late:
            host = self._host(membership, ordinal)
            if ordinal == self._settings.ordinal or not self._resolver.is_missing(host):
                self._missing_since.pop(ordinal, None)
                continue
            now = asyncio.get_running_loop().time()
            if now - self._missing_since.setdefault(ordinal, now) >= waiting.ABSENT_AFTER:
                absent.add(ordinal)
                if ordinal in self._addresses:
                    self._local.say("INFO", f"{node_name(ordinal)} has no name any more, and is no peer until it has")
        return absent

    async def _where(self, membership: Membership, ordinal: int) -> list[str]:
        """What the client is to find a node by: its addresses, or its name where the client looks it up itself."""
        host = self._host(membership, ordinal)
        with contained(self._local.troubles, f"the address of {host}"):
            if self._recipe.keeps_names(self._settings.spec.consensus.kind):
                return self._resolver.from_file(host) or [host]
            return await self._look_up(host, late=ordinal > membership.total)
        return []

    async def _look_up(self, host: str, *, late: bool) -> list[str]:
        """A latecomer says itself what it is called. Names that are never answered keep nobody else's waiting."""
        if not late:
            return await self._resolver.addresses(host)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(waiting.LATE_PATIENCE):
                return await self._resolver.addresses(host, apart=True)
        return []

    def _managers(self, membership: Membership) -> dict[int, Endpoint]:
        """Where the transaction managers are: by name, which they look up themselves at each connection."""
        return {
            ordinal: Endpoint((self._resolver.from_file(tm.host) or [tm.host])[0], tm.port)
            for ordinal, proven in membership.current.items()
            if (tm := proven.document.tm) is not None
        }

    def _peers(self, membership: Membership) -> list[int]:
        own, total = self._settings.ordinal, membership.total
        everyone = consensus_of(self._settings.spec.consensus.kind).full_mesh
        if own > total:
            return [own, *late_peer_ordinals(own, total, everyone=everyone)]
        late = [n for n in membership.current if n > total and own in late_peer_ordinals(n, total, everyone=everyone)]
        return [own, *peer_ordinals(own, total, everyone=everyone), *late]

    def _host(self, membership: Membership, ordinal: int) -> str:
        endpoint = self._settings.names.endpoint(ordinal)
        if ordinal == self._settings.ordinal:
            return self._settings.host
        if endpoint is not None:
            return endpoint.host
        late = membership.current.get(ordinal)  # it may have lost its place meanwhile
        return late.document.host if late else NOWHERE

    def _write(self, membership: Membership) -> None:
        """Renders the files, where what they rest on has changed since."""
        own = membership.current.get(self._settings.ordinal)
        if self.own_key is not None and (own is None or own.document.enode_key != self.own_key):
            return  # another has its place by now: its client must not go on as that one
        basis = (membership.digest, tuple(sorted(self._addresses.items())), tuple(self._managers(membership).items()))
        if basis == self._rendered_from:
            return
        network = self.network(membership)
        node = network.node(self._settings.ordinal)
        written = write_if_changed(self._local.directory / "genesis.json", render_genesis(network))
        for name, content in render_node(network, node).items():
            path = self._local.directory / name
            try:
                written |= write_if_changed(path, content, keep=keeping(network, name, path))
            except UsageError as error:
                # A person's slip in a file that is read at the next start must not end what runs.
                self._local.say("ERROR", f"{error.message}; it stays as it is")
        self._rendered_from = basis
        if written:
            self._files_changed()

    def network(self, membership: Membership) -> Network:
        """The network as it is seen from here."""
        settings, managers = self._settings, self._managers(membership)
        own = settings.ordinal
        endpoints = NodeEndpoints(
            p2p=Endpoint(self._addresses.get(own, settings.p2p_bind.host), settings.p2p_port),
            p2p_bind=settings.p2p_bind,
            rpc_bind=settings.rpc_bind,
            rpc_url=settings.rpc_url,
            rpc_names=settings.rpc_names,
            ports=settings.ports,
            tm=managers.get(own),
            tm_bind=settings.tm_bind,
        )
        return membership.network(settings.spec, own, endpoints, self._addresses, managers)
