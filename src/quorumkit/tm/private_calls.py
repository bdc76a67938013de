"""What the private API does: the calls of the node's own client, and of whoever operates the node."""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

from quorumkit.tm.answers import OCTETS, json_answer, keys_answer, to_base64
from quorumkit.tm.errors import BadRequestError
from quorumkit.tm.keys import format_public_key
from quorumkit.tm.manager import TransactionManager
from quorumkit.tm.requests import (
    JsonBody,
    hash_in_path,
    key_header,
    key_in,
    keys_header,
    octets_in,
    payload_hash_in,
)
from quorumkit.tm.wire import BOX_BYTES, KEY_BYTES, MAC_BYTES, NONCE_BYTES, EncryptedPayload


class PrivateCalls:
    """One method a call; each gets the request and its body."""

    def __init__(self, manager: TransactionManager) -> None:
        self._manager = manager

    async def send(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = JsonBody(body)
        fields.refuse_enhanced_privacy()
        sent = await self._manager.send(fields.octets("payload"), fields.key("from"), fields.keys("to"))
        return self._sent(sent)

    async def send_raw(self, request: web.BaseRequest, body: bytes) -> web.Response:
        sent = await self._manager.send(body, key_header(request, "c11n-from"), keys_header(request, "c11n-to"))
        return web.Response(text=to_base64(sent.hash))

    async def store_raw(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = JsonBody(body)
        payload_hash = await self._manager.store_raw(fields.octets("payload"), fields.key("from"))
        return json_answer({"key": to_base64(payload_hash)})

    async def send_signed(self, request: web.BaseRequest, body: bytes) -> web.Response:
        if "json" in request.content_type:
            fields = JsonBody(body)
            fields.refuse_enhanced_privacy()
            payload_hash = payload_hash_in(fields.octets("hash"))
            return self._sent(await self._manager.send_stored(payload_hash, fields.keys("to")))
        sent = await self._manager.send_stored(payload_hash_in(body), keys_header(request, "c11n-to"))
        headers = CIMultiDict(tesseraSender=format_public_key(sent.sender))
        for key in self._manager.managed(sent):
            headers.add("tesseraManagedParties", format_public_key(key))
        return web.Response(text=to_base64(sent.hash), headers=headers)

    async def receive(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = JsonBody(body)
        payload, _stored = self._manager.receive(payload_hash_in(fields.octets("key")), fields.key("to"))
        return json_answer({"payload": to_base64(payload)})

    async def receive_raw(self, request: web.BaseRequest, _: bytes) -> web.Response:
        payload_hash = payload_hash_in(octets_in(request.headers.get("c11n-key", ""), "c11n-key"))
        payload, _stored = self._manager.receive(payload_hash, key_header(request, "c11n-to"))
        return web.Response(body=payload, content_type=OCTETS)

    async def transaction(self, request: web.BaseRequest, _: bytes) -> web.Response:
        payload_hash = hash_in_path(request)
        if request.rel_url.query.get("isRaw") == "true":
            payload, stored = self._manager.receive_raw(payload_hash)
        else:
            to = request.rel_url.query.get("to")
            # A plus sign in a query is a blank, in base64 it is not, and not everybody escapes it.
            key = key_in(to.replace(" ", "+"), "to") if to else None
            payload, stored = self._manager.receive(payload_hash, key)
        return self._opened(payload, stored)

    async def is_sender(self, request: web.BaseRequest, _: bytes) -> web.Response:
        return web.Response(text=str(self._manager.is_sender(hash_in_path(request))).lower())

    async def participants(self, request: web.BaseRequest, _: bytes) -> web.Response:
        participants = self._manager.participants(hash_in_path(request))
        return web.Response(text=",".join(map(format_public_key, participants)))

    async def mandatory(self, request: web.BaseRequest, _: bytes) -> web.Response:
        self._manager.participants(hash_in_path(request))  # not found where the payload is not
        return web.Response(text="")

    async def create(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = JsonBody(body)
        fields.refuse_enhanced_privacy()
        sender = fields.key("from") or self._manager.enclave.default_key
        sealed = self._manager.enclave.seal(fields.octets("payload"), sender, fields.keys("to") or [sender])
        return json_answer(
            {
                "senderKey": to_base64(sealed.sender),
                "cipherText": to_base64(sealed.cipher_text),
                "cipherTextNonce": to_base64(sealed.nonce),
                "recipientBoxes": list(map(to_base64, sealed.recipient_boxes)),
                "recipientNonce": to_base64(sealed.recipient_nonce),
                "recipientKeys": list(map(to_base64, sealed.recipient_keys)),
            }
        )

    async def decrypt(self, _: web.BaseRequest, body: bytes) -> web.Response:
        fields = JsonBody(body)
        boxes = fields.octet_list("recipientBoxes", BOX_BYTES)
        keys = fields.octet_list("recipientKeys", KEY_BYTES)
        if keys and len(keys) != len(boxes):
            raise BadRequestError(f"{len(boxes)} recipientBoxes for {len(keys)} recipientKeys")
        sealed = EncryptedPayload(
            fields.octets("senderKey", KEY_BYTES),
            fields.octets("cipherText"),
            fields.octets("cipherTextNonce", NONCE_BYTES),
            boxes,
            fields.octets("recipientNonce", NONCE_BYTES),
            keys,
        )
        if len(sealed.cipher_text) < MAC_BYTES:
            raise BadRequestError("cipherText is too short")
        payload = self._manager.enclave.open(sealed)
        return self._opened(payload, sealed)

    async def groups(self, _: web.BaseRequest, __: bytes) -> web.Response:
        """Resident groups belong to multiple private states, which are not offered: there are none."""
        return json_answer([])

    async def parties(self, _: web.BaseRequest, __: bytes) -> web.Response:
        """Not GoQuorum's: what this transaction manager knows of its network, for whoever operates it."""
        parties = self._manager.parties
        return json_answer(
            {
                "url": parties.own_url,
                "keys": list(map(format_public_key, parties.own_keys)),
                "peers": [
                    {
                        "url": peer.url,
                        "answered": peer.answered,
                        "keys": sorted(map(format_public_key, peer.keys)),
                    }
                    for peer in parties.peers.values()
                ],
            }
        )

    async def keys(self, _: web.BaseRequest, __: bytes) -> web.Response:
        """This node's TM public keys, as Tessera's API for third parties tells them; web3js-quorum asks for them."""
        return keys_answer(self._manager.parties.own_keys)

    async def party_keys(self, _: web.BaseRequest, __: bytes) -> web.Response:
        """All TM public keys of the network that are known here, this node's own first."""
        parties = self._manager.parties
        others = sorted(key for peer in parties.peers.values() for key in peer.keys)
        return keys_answer(dict.fromkeys((*parties.own_keys, *others)))

    def _opened(self, payload: bytes, stored: EncryptedPayload) -> web.Response:
        return json_answer(
            {
                "payload": to_base64(payload),
                "affectedContractTransactions": [],
                "execHash": "",
                "privacyFlag": 0,
                "managedParties": list(map(format_public_key, self._manager.managed(stored))),
                "senderKey": format_public_key(stored.sender),
            }
        )

    def _sent(self, sent: EncryptedPayload) -> web.Response:
        return json_answer(
            {
                "key": to_base64(sent.hash),
                "managedParties": list(map(format_public_key, self._manager.managed(sent))),
                "senderKey": format_public_key(sent.sender),
            }
        )
