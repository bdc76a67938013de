"""HTTP to the network's other transaction managers."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import Callable
from dataclasses import replace

import aiohttp

from quorumkit.tm.enclave import Enclave, for_recipient
from quorumkit.tm.errors import OverloadedError, PartyUnreachableError, RefusedError, UnknownPartyError, WireError
from quorumkit.tm.keys import format_public_key
from quorumkit.tm.limits import MAX_BODY, MAX_PARTY_INFO
from quorumkit.tm.parties import Parties, Peer
from quorumkit.tm.peer_http import ChallengedError, FailedError, PeerHttp, describe
from quorumkit.tm.proof import prove
from quorumkit.tm.wire import Dialect, EncryptedPayload, decode_party_info, encode_party_info, encode_payload

PUSH_DEADLINE = 4.0
"""Seconds for all attempts together. GoQuorum gives up on its transaction manager after 5 and is to hear why."""

_PUSH_ATTEMPT = 2.0
_PUSH_FIRST_PAUSE = 0.1
_EXCHANGE_TIMEOUT = 2.0
_RESEND_TIMEOUT = 600.0
_REFRESH_FIRST = 1.0
_REFRESH_SLOWEST_MISSING = 30.0
_REFRESH_COMPLETE = 300.0
"""Seconds between rounds of asking; the first while somebody has not answered, doubled up to the second."""

_REFUSALS_TOLD = 3
"""Lines in the log, at each asking, about keys that a peer claims and does not get."""

log = logging.getLogger(__name__)


class PeerClient:
    """Speaks to the members of the network, and to nobody else."""

    def __init__(self, parties: Parties, tls: ssl.SSLContext | None) -> None:
        """Called with an event loop running. `tls` presents this node's certificate and trusts the network's CA."""
        self._parties = parties
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._http = PeerHttp(tls, timeout=_EXCHANGE_TIMEOUT)

    async def close(self) -> None:
        for task in self._asking.values():
            task.cancel()
        await self._http.close()

    async def push(self, payload: EncryptedPayload, recipient: bytes) -> None:
        """Brings `payload` to the transaction manager of `recipient`; returns when that one has stored it.

        One that is away for a moment is tried again. Raises UnknownPartyError, PartyUnreachableError naming the party.
        """
        name = format_public_key(recipient)
        peer = await self._peer_of(recipient)
        part = for_recipient(payload, recipient)
        if part is None:
            raise UnknownPartyError(f"the payload is not addressed to {name}")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PUSH_DEADLINE
        pause = _PUSH_FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(min(_PUSH_ATTEMPT, max(deadline - loop.time(), 0.1))):
                    await self._push_once(peer, part, payload.hash)
                return
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if loop.time() + pause >= deadline:
                    raise PartyUnreachableError(
                        f"party {name} at {peer.url} did not take the payload: {describe(error)}",
                        hint="nothing was sent; send again when the party's transaction manager is up",
                    ) from error
            except (RefusedError, WireError) as error:
                raise PartyUnreachableError(
                    f"party {name} at {peer.url} refused the payload: {error.message}"
                ) from error
            await asyncio.sleep(pause)
            pause *= 2

    async def push_again(self, payload: EncryptedPayload, recipient: bytes, holder: bytes) -> None:
        """Pushes the part of `recipient` to the transaction manager that holds `holder`, once.

        The two differ where a sender gets back what it has lost. Raises UnknownPartyError, PartyUnreachableError.
        """
        peer = await self._peer_of(holder)
        part = for_recipient(payload, recipient)
        if part is None:
            raise UnknownPartyError(f"the payload is not addressed to {format_public_key(recipient)}")
        try:
            async with asyncio.timeout(_PUSH_ATTEMPT):
                await self._push_once(peer, part, payload.hash)
        except (aiohttp.ClientError, TimeoutError, OSError, RefusedError, WireError) as error:
            raise PartyUnreachableError(f"{peer.url} did not take what it asked for: {describe(error)}") from error

    async def ask(self, peer: Peer) -> None:
        """Exchanges party information with `peer`. Asking the same one twice at a time is asking once.

        Raises what aiohttp does, OSError, TimeoutError, WireError.
        """
        task = self._asking.get(peer.url)
        if task is None:
            task = asyncio.create_task(self._ask(peer))
            self._asking[peer.url] = task
            task.add_done_callback(lambda _: self._asking.pop(peer.url, None))
        await asyncio.shield(task)

    async def ask_missing(self) -> None:
        """Asks everybody who has not answered yet; whoever does not answer now is passed over."""
        missing = [peer for peer in self._parties.peers.values() if not peer.answered]
        await asyncio.gather(*(self.ask(peer) for peer in missing), return_exceptions=True)

    def hint(self, url: str) -> None:
        """Somebody says to be at `url`: if the network has it and it has not answered yet, it is asked soon."""
        peer = self._parties.peer_at(url)
        if peer is not None and not peer.answered:
            self._wake.set()

    def listed_anew(self) -> None:
        """The network's list changed: whoever is new in it is asked soon."""
        self._wake.set()

    async def keep_asking(self, answered: Callable[[Peer], None]) -> None:
        """Keeps what is known of the network true, until cancelled. Calls `answered` for every answer."""
        loop = asyncio.get_running_loop()
        all_asked = -_REFRESH_COMPLETE
        pause = _REFRESH_FIRST / 2
        while True:
            peers = list(self._parties.peers.values())
            everybody = loop.time() - all_asked >= _REFRESH_COMPLETE
            if everybody:
                all_asked = loop.time()
            due = [peer for peer in peers if everybody or not peer.answered]
            await asyncio.gather(*(self._ask_and_tell(peer, answered) for peer in due))
            if all(peer.answered for peer in peers):
                pause = _REFRESH_COMPLETE
            else:
                pause = min(pause * 2, _REFRESH_SLOWEST_MISSING)
            self._wake.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                # Strangers can say they are somebody; they must not be able to make this a busy loop.
                await asyncio.sleep(_REFRESH_FIRST)
                pause = _REFRESH_FIRST
            except TimeoutError:
                pass

    async def _ask_and_tell(self, peer: Peer, answered: Callable[[Peer], None]) -> None:
        """Whatever comes of it concerns this peer alone."""
        try:
            await self.ask(peer)
            log.info("%s answers, with %d keys", peer.url, len(peer.keys))
            answered(peer)
        except Exception as error:
            log.info("%s does not answer: %s", peer.url, describe(error))

    async def ask_to_resend(self, peer: Peer, key: bytes, enclave: Enclave) -> None:
        """Has `peer` push every payload it has for `key`, one of the enclave's; returns when it has.

        To a peer that asks for it, it is proved that this node holds `key`. Raises like `ask`, and RefusedError.
        """
        try:
            await self._ask_to_resend(peer, key, "all", enclave)
        except ChallengedError:
            raise
        except (RefusedError, FailedError):
            # Constellation and crux know the word in small letters only, Tessera in capitals only: to others it answers
            # 400, or 500 as 0.10.6 does.
            await self._ask_to_resend(peer, key, "ALL", enclave)

    async def _ask_to_resend(self, peer: Peer, key: bytes, kind: str, enclave: Enclave) -> None:
        body = json.dumps({"type": kind, "publicKey": format_public_key(key)}).encode()

        async def ask(authorization: str | None) -> None:
            headers = {"Content-Type": "application/json"}
            if authorization:
                headers["Authorization"] = authorization
            await self._http.post(peer, "resend", body, limit=MAX_BODY, timeout=_RESEND_TIMEOUT, headers=headers)

        try:
            await ask(None)
        except ChallengedError as error:
            proof = prove(enclave, key, peer.keys, body, error.challenge)
            if proof is None:
                raise
            await ask(proof)

    async def require_member(self, key: bytes) -> None:
        """Raises RefusedError if no member of the network holds `key`, OverloadedError if that is not known yet."""
        if self._parties.peer_of(key) is None and not self._parties.complete():
            await self.ask_missing()
        if self._parties.peer_of(key) is None:
            if not self._parties.complete():
                raise OverloadedError(f"not every member of the network is known yet; {format_public_key(key)} is not")
            raise RefusedError(f"{format_public_key(key)} is not a key of this network")

    async def _peer_of(self, key: bytes) -> Peer:
        peer = self._parties.peer_of(key)
        if peer is None and not self._parties.complete():
            await self.ask_missing()
            peer = self._parties.peer_of(key)
        if peer is None:
            missing = [other.url for other in self._parties.peers.values() if not other.answered]
            reason = f"; not heard from yet: {', '.join(missing[:5])}" if missing else ""
            raise UnknownPartyError(f"no transaction manager of this network holds {format_public_key(key)}{reason}")
        return peer

    async def _ask(self, peer: Peer) -> None:
        if peer.dialect is None:
            # How it writes shows in its answer; without recipients our first word is the same in every dialect.
            await self._exchange(peer, with_recipients=False)
        await self._exchange(peer, with_recipients=True)

    async def _exchange(self, peer: Peer, *, with_recipients: bool) -> None:
        info = self._parties.info(with_recipients=with_recipients)
        body = encode_party_info(info, peer.dialect or Dialect.CLASSIC)
        _, answer = await self._http.post(peer, "partyinfo", body, limit=MAX_PARTY_INFO, timeout=_EXCHANGE_TIMEOUT)
        refused = self._parties.learn(peer, *decode_party_info(answer))
        for sentence in refused[:_REFUSALS_TOLD]:
            log.warning("%s", sentence)
        if len(refused) > _REFUSALS_TOLD:
            log.warning("%s: %d more keys refused", peer.url, len(refused) - _REFUSALS_TOLD)

    async def _push_once(self, peer: Peer, part: EncryptedPayload, payload_hash: bytes) -> None:
        if peer.dialect is None:
            await self.ask(peer)
        if peer.dialect is Dialect.CRUX and peer.keys.issuperset(part.recipient_keys):
            # To crux, a payload with recipient keys is one that it sent itself.
            part = replace(part, recipient_keys=())
        body = encode_payload(part, peer.dialect or Dialect.CLASSIC)
        status, answer = await self._http.post(peer, "push", body, limit=MAX_PARTY_INFO, timeout=_PUSH_ATTEMPT)
        # Constellation answers with the hash in base64, crux with its bytes, Tessera with 201 and a text.
        if status != 201 and answer not in (base64.b64encode(payload_hash), payload_hash):
            raise RefusedError("it acknowledged another payload")
