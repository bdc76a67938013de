"""Payloads go again to other members that lost what they had: only to who proves that he holds the key they are for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from quorumkit.tm.enclave import Enclave, for_recipient
from quorumkit.tm.errors import OverloadedError, PayloadNotFoundError, UnprovenError
from quorumkit.tm.keys import format_public_key
from quorumkit.tm.peers import PeerClient
from quorumkit.tm.proof import Challenges
from quorumkit.tm.store import Store
from quorumkit.tm.wire import EncryptedPayload

_RESENDS_AT_ONCE = 8
"""Pushes under way at once to one party that wants all its payloads again."""


class Resending:
    """What this node has for others, for them to have again."""

    def __init__(
        self, enclave: Enclave, store: Store, peers: PeerClient, *, without_proof: Collection[bytes] = ()
    ) -> None:
        """`without_proof` are keys of others whose payloads are resent to whoever asks."""
        self.challenges = Challenges(enclave)
        self._enclave = enclave
        self._store = store
        self._peers = peers
        self._without_proof = frozenset(without_proof)
        self._resending: set[bytes] = set()

    def require_holder(self, key: bytes, body: bytes, authorization: str) -> None:
        """Raises UnprovenError unless `authorization` proves that who sent `body` holds `key`, or tm.conf says that
        no proof is asked for it.

        Comes before anything is looked up: who learns whether a payload is here learns who deals with whom, for its
        hash stands on the chain and TM public keys are no secret.
        """
        if key in self._without_proof or self.challenges.answered_by(key, body, authorization):
            return
        raise UnprovenError(
            f"prove that you hold {format_public_key(key)}: its payloads are resent to nobody else",
        )

    async def resend_one(self, payload_hash: bytes, key: bytes) -> EncryptedPayload:
        """The part of a payload that is for `key`, to whose holder it goes.

        Raises RefusedError (the key is not of the network, or no longer), OverloadedError (that cannot be known yet),
        PayloadNotFoundError, alike for every other reason.
        """
        await self._peers.require_member(key)
        part = self._part_for(self._store.require(payload_hash), key)
        if part is None:
            raise PayloadNotFoundError("no such payload for this key")
        return part

    async def resend_all(self, key: bytes) -> int:
        """Pushes to the transaction manager that holds `key` all that this one has for it; returns how many.

        Raises RefusedError (the key is not of the network), OverloadedError (that cannot be known yet, or it is being
        done already), PartyUnreachableError, StoreError.
        """
        await self._peers.require_member(key)
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

    def _part_for(self, stored: EncryptedPayload, key: bytes) -> EncryptedPayload | None:
        if stored.sender == key and not self._enclave.holds(key):
            return stored
        return for_recipient(stored, key)
