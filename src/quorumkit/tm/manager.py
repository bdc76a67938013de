"""What the transaction manager does with a request, whichever API it came by.

The order of a send is what makes it safe: the parties' transaction managers store the payload first, then this one
does, and only then GoQuorum gets the payload hash to put on the chain. A crash or a failure at any step leaves at most
encrypted payloads that no transaction refers to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from quorumkit.tm.enclave import Enclave
from quorumkit.tm.errors import BadRequestError, TmError
from quorumkit.tm.limits import MAX_PAYLOAD
from quorumkit.tm.parties import Parties
from quorumkit.tm.peer_http import describe
from quorumkit.tm.peers import PeerClient
from quorumkit.tm.recovery import Recovery
from quorumkit.tm.resending import Resending
from quorumkit.tm.store import Store
from quorumkit.tm.wire import EncryptedPayload, PartyInfo


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
        self.resending = Resending(enclave, store, peers, without_proof=classic_resend)
        self._recovery = Recovery(enclave, store, peers)

    async def close(self) -> None:
        await self._recovery.close()

    # --- for GoQuorum

    async def send(self, payload: bytes, sender: bytes | None, parties: Iterable[bytes]) -> EncryptedPayload:
        """Brings `payload` to all `parties`; when it returns each of them, and this node, has it on its disk.

        Raises BadRequestError, UnknownPartyError, PartyUnreachableError (naming the party), StoreError.
        """
        _check_size(payload)
        sender = sender or self.enclave.default_key
        sealed = self.enclave.seal(payload, sender, self._recipients(sender, parties))
        await self._push(sealed)
        await self._store.put(sealed)
        return sealed

    async def store_raw(self, payload: bytes, sender: bytes | None) -> bytes:
        """Keeps `payload` for a transaction that is yet to be signed, and returns its hash; nobody else gets it.

        Raises BadRequestError, StoreError.
        """
        _check_size(payload)
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
            return self._store.require(payload_hash)
        sealed = self.enclave.readdress(stored, self._recipients(stored.sender, parties))
        await self._push(sealed)
        await self._store.complete(sealed)
        return sealed

    def receive(self, payload_hash: bytes, to: bytes | None = None) -> tuple[bytes, EncryptedPayload]:
        """The payload, in clear and as stored. Raises PayloadNotFoundError if this node is not a party to it."""
        stored = self._store.require(payload_hash)
        return self.enclave.open(stored, to), stored

    def receive_raw(self, payload_hash: bytes) -> tuple[bytes, EncryptedPayload]:
        """Like `receive` for a payload from `store_raw`, whether it has been sent by now or not."""
        stored = self._store.get_awaiting_parties(payload_hash) or self._store.require(payload_hash)
        return self.enclave.open(stored), stored

    def is_sender(self, payload_hash: bytes) -> bool:
        """Whether this node sent the payload. Raises PayloadNotFoundError."""
        return self.enclave.holds(self._store.require(payload_hash).sender)

    def participants(self, payload_hash: bytes) -> tuple[bytes, ...]:
        """The sender and all parties where this node is the sender, otherwise itself and the sender.

        Raises PayloadNotFoundError.
        """
        stored = self._store.require(payload_hash)
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
            await self._peers.require_member(other)
        if not payload.recipient_keys:
            # Constellation leaves them out. With it, the payload can be resent to a sender who has lost it.
            payload = replace(payload, recipient_keys=(addressee,))
        await self._store.put(payload)
        return payload.hash

    def meet(self, info: PartyInfo) -> PartyInfo:
        """Answers a peer's party information with this node's. What the peer says is a reason to ask it, no more."""
        self._peers.hint(info.url)
        return self.parties.info()

    # --- for itself

    async def run(self) -> None:
        """Keeps the knowledge of the network true, until cancelled."""
        await self._peers.keep_asking(self._recovery.recover_from)

    def relist(self, other_nodes: Iterable[str], other_keys: Mapping[bytes, str]) -> None:
        """Takes another list of the network's other transaction managers, and of their keys."""
        self.parties.relist(other_nodes, other_keys)
        self._peers.listed_anew()

    async def forget_recovery(self) -> None:
        """Has every peer asked again for what it holds for this node. Raises StoreError."""
        await self._store.forget_recovery()

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


def _check_size(payload: bytes) -> None:
    if len(payload) > MAX_PAYLOAD:
        raise BadRequestError(f"the payload has {len(payload)} bytes; {MAX_PAYLOAD} can be sent")
