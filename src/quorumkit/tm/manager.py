"""What the transaction manager does with a request, whichever API it came by.

The order of a send is what makes it safe: the parties' transaction managers store the payload first, then this one
does, and only then GoQuorum gets the payload hash to put on the chain. A crash or a failure at any step leaves at most
encrypted payloads that no transaction refers to.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from quorumkit.tm.enclave import Enclave, for_recipient
from quorumkit.tm.errors import (
    BadRequestError,
    OverloadedError,
    PayloadNotFoundError,
    RefusedError,
    TmError,
    UnprovenError,
)
from quorumkit.tm.keys import format_public_key
from quorumkit.tm.limits import MAX_PAYLOAD
from quorumkit.tm.parties import Parties, Peer
from quorumkit.tm.peers import PeerClient, describe
from quorumkit.tm.proof import Challenges
from quorumkit.tm.store import Store
from quorumkit.tm.wire import EncryptedPayload, PartyInfo

_RESENDS_AT_ONCE = 8
"""Pushes under way at once to one party that wants all its payloads again."""

_RECOVERY_FIRST_PAUSE = 1.0
_RECOVERY_LAST_PAUSE = 60.0
"""Seconds between attempts to get from a peer what it has for this node."""

log = logging.getLogger(__name__)


class TransactionManager:
    """The transaction manager of one node."""

    def __init__(
        self,
        enclave: Enclave,
        store: Store,
        parties: Parties,
        peers: PeerClient,
        always_send_to: Sequence[bytes] = (),
        classic_resend: Collection[bytes] = (),
    ) -> None:
        """`classic_resend` are keys of others whose payloads are resent to whoever asks."""
        self.enclave = enclave
        self.parties = parties
        self._store = store
        self._peers = peers
        self._always_send_to = tuple(always_send_to)
        self._classic_resend = frozenset(classic_resend)
        self.challenges = Challenges(enclave)
        self._resending: set[bytes] = set()
        self._recovering: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        for task in list(self._recovering.values()):
            task.cancel()

    # --- for GoQuorum

    async def send(self, payload: bytes, sender: bytes | None, parties: Iterable[bytes]) -> EncryptedPayload:
        """Brings `payload` to all `parties`; when it returns each of them, and this node, has it on its disk.

        Raises BadRequestError, UnknownPartyError, PartyUnreachableError (naming the party), StoreError.
        """
        self._check_size(payload)
        sender = sender or self.enclave.default_key
        sealed = self.enclave.seal(payload, sender, self._recipients(sender, parties))
        await self._push(sealed)
        await self._store.put(sealed)
        return sealed

    async def store_raw(self, payload: bytes, sender: bytes | None) -> bytes:
        """Keeps `payload` for a transaction that is yet to be signed, and returns its hash; nobody else gets it.

        Raises BadRequestError, StoreError.
        """
        self._check_size(payload)
        sender = sender or self.enclave.default_key
        sealed = self.enclave.seal(payload, sender, [sender])
        await self._store.put(sealed, awaits_parties=True)
        return sealed.hash

    async def send_stored(self, payload_hash: bytes, parties: Iterable[bytes]) -> EncryptedPayload:
        """Brings a payload from `store_raw` to `parties`, under the same hash.

        Raises PayloadNotFoundError, and what `send` does.
        """
        stored = self._store.get_awaiting_parties(payload_hash)
        if stored is None:
            # A call that is repeated because its answer was lost finds the payload already sent.
            return self._payload(payload_hash)
        sealed = self.enclave.readdress(stored, self._recipients(stored.sender, parties))
        await self._push(sealed)
        await self._store.complete(sealed)
        return sealed

    def receive(self, payload_hash: bytes, to: bytes | None = None) -> tuple[bytes, EncryptedPayload]:
        """The payload, in clear and as stored. Raises PayloadNotFoundError if this node is not a party to it."""
        stored = self._payload(payload_hash)
        return self.enclave.open(stored, to), stored

    def receive_raw(self, payload_hash: bytes) -> tuple[bytes, EncryptedPayload]:
        """Like `receive` for a payload from `store_raw`, whether it has been sent by now or not."""
        stored = self._store.get_awaiting_parties(payload_hash) or self._payload(payload_hash)
        return self.enclave.open(stored), stored

    def is_sender(self, payload_hash: bytes) -> bool:
        """Whether this node sent the payload. Raises PayloadNotFoundError."""
        return self.enclave.holds(self._payload(payload_hash).sender)

    def participants(self, payload_hash: bytes) -> tuple[bytes, ...]:
        """The sender and all parties where this node is the sender, otherwise itself and the sender.

        Raises PayloadNotFoundError.
        """
        stored = self._payload(payload_hash)
        return tuple(dict.fromkeys((*stored.recipient_keys, stored.sender)))

    def managed(self, payload: EncryptedPayload) -> tuple[bytes, ...]:
        """Those of the payload's sender and parties that are this node's keys."""
        return tuple(key for key in self.enclave.keys if key == payload.sender or key in payload.recipient_keys)

    # --- for peers

    async def take(self, payload: EncryptedPayload) -> bytes:
        """Stores a payload that was pushed to this node, and returns its hash. Only from members, only for this node.

        Raises BadRequestError, PayloadNotFoundError (not addressed to this node), RefusedError (the sender is not of
        the network), OverloadedError (that cannot be known yet), StoreError.
        """
        if len(payload.recipient_boxes) != 1:
            raise BadRequestError("a payload is pushed with the box of one recipient")
        addressee = self.enclave.addressee(payload)
        other = addressee if self.enclave.holds(payload.sender) else payload.sender
        if not self.enclave.holds(other):
            await self._require_member(other)
        if not payload.recipient_keys:
            # Constellation leaves them out. With it, the payload can be resent to a sender who has lost it.
            payload = replace(payload, recipient_keys=(addressee,))
        await self._store.put(payload)
        return payload.hash

    def meet(self, info: PartyInfo) -> PartyInfo:
        """Answers a peer's party information with this node's. What the peer says is a reason to ask it, no more."""
        self._peers.hint(info.url)
        return self.parties.info()

    def require_holder(self, key: bytes, body: bytes, authorization: str) -> None:
        """Raises UnprovenError unless `authorization` proves that who sent `body` holds `key`, or tm.conf says that
        no proof is asked for it.

        Comes before anything is looked up: who learns whether a payload is here learns who deals with whom, for its
        hash stands on the chain and TM public keys are no secret.
        """
        if key in self._classic_resend or self.challenges.answered_by(key, body, authorization):
            return
        raise UnprovenError(
            f"prove that you hold {format_public_key(key)}: its payloads are resent to nobody else",
        )

    async def resend_one(self, payload_hash: bytes, key: bytes) -> EncryptedPayload:
        """The part of a payload that is for `key`, to whose holder it goes.

        Raises RefusedError (the key is not of the network, or no longer), OverloadedError (that cannot be known yet),
        PayloadNotFoundError, alike for every other reason.
        """
        await self._require_member(key)
        part = self._part_for(self._payload(payload_hash), key)
        if part is None:
            raise PayloadNotFoundError("no such payload for this key")
        return part

    async def resend_all(self, key: bytes) -> int:
        """Pushes to the transaction manager that holds `key` all that this one has for it; returns how many.

        Raises RefusedError (the key is not of the network), OverloadedError (that cannot be known yet, or it is being
        done already), PartyUnreachableError, StoreError.
        """
        await self._require_member(key)
        if key in self._resending:
            raise OverloadedError(f"payloads are being resent to {format_public_key(key)} already")
        self._resending.add(key)
        count = 0
        under_way: set[asyncio.Task[None]] = set()
        try:
            for stored in self._store.all():
                part = self._part_for(stored, key)
                if part is None:
                    await asyncio.sleep(0)  # a long store must not hold up everybody else
                    continue
                under_way.add(asyncio.create_task(self._peers.push_again(part, part.recipient_keys[0], key)))
                count += 1
                if len(under_way) >= _RESENDS_AT_ONCE:
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            await asyncio.gather(*under_way)
        finally:
            for task in under_way:
                task.cancel()
            self._resending.discard(key)
        return count

    # --- for itself

    async def run(self) -> None:
        """Keeps the knowledge of the network true, until cancelled."""
        await self._peers.keep_asking(self._recover_from)

    def relist(self, other_nodes: Iterable[str], other_keys: Mapping[bytes, str]) -> None:
        """Takes another list of the network's other transaction managers, and of their keys."""
        self.parties.relist(other_nodes, other_keys)
        self._peers.listed_anew()

    async def forget_recovery(self) -> None:
        """Has every peer asked again for what it holds for this node. Raises StoreError."""
        await self._store.forget_recovery()

    def _recover_from(self, peer: Peer) -> None:
        """A store that is new gets from every peer, once, what that one has for this node."""
        if peer.url in self._recovering:
            return
        task = asyncio.create_task(self._recover(peer))
        self._recovering[peer.url] = task
        task.add_done_callback(lambda _: self._recovering.pop(peer.url, None))

    async def _recover(self, peer: Peer) -> None:
        pause = _RECOVERY_FIRST_PAUSE
        while True:
            try:
                if self._store.recovered_from(peer.url):
                    return
                for key in self.enclave.keys:
                    await self._peers.ask_to_resend(peer, key, self.enclave)
                await self._store.mark_recovered_from(peer.url)
                return
            except Exception as error:
                # Whatever it was: the node works meanwhile.
                log.info("%s has not resent yet what it has for this node: %s", peer.url, describe(error))
            await asyncio.sleep(pause)
            pause = min(pause * 2, _RECOVERY_LAST_PAUSE)

    async def _require_member(self, key: bytes) -> None:
        """Raises RefusedError if no member of the network holds `key`, OverloadedError if that is not known yet."""
        if self.parties.peer_of(key) is None and not self.parties.complete():
            await self._peers.ask_missing()
        if self.parties.peer_of(key) is None:
            if not self.parties.complete():
                raise OverloadedError(f"not every member of the network is known yet; {format_public_key(key)} is not")
            raise RefusedError(f"{format_public_key(key)} is not a key of this network")

    def _recipients(self, sender: bytes, parties: Iterable[bytes]) -> list[bytes]:
        """Each party once. A payload for nobody else is sealed for the sender itself."""
        recipients = dict.fromkeys((*parties, *self._always_send_to))
        recipients.pop(sender, None)
        return list(recipients) or [sender]

    async def _push(self, sealed: EncryptedPayload) -> None:
        """To all parties at once; if any fails, waits for the others and then fails, telling of every one that did."""
        others = [key for key in sealed.recipient_keys if not self.enclave.holds(key)]
        outcomes = await asyncio.gather(*(self._peers.push(sealed, key) for key in others), return_exceptions=True)
        failures = [outcome for outcome in outcomes if outcome is not None]
        for failure in failures:
            if not isinstance(failure, TmError):
                raise failure
        if failures:
            first = failures[0]
            assert isinstance(first, TmError)
            raise type(first)("; ".join(describe(failure) for failure in failures), hint=first.hint)

    def _payload(self, payload_hash: bytes) -> EncryptedPayload:
        stored = self._store.get(payload_hash)
        if stored is None:
            raise PayloadNotFoundError("no such payload")
        return stored

    def _part_for(self, stored: EncryptedPayload, key: bytes) -> EncryptedPayload | None:
        if stored.sender == key and not self.enclave.holds(key):
            return stored
        return for_recipient(stored, key)

    @staticmethod
    def _check_size(payload: bytes) -> None:
        if len(payload) > MAX_PAYLOAD:
            raise BadRequestError(f"the payload has {len(payload)} bytes; {MAX_PAYLOAD} can be sent")
