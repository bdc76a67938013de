"""What geth asks its external signer (clef's external API, accounts/external/backend.go), and the answers. Pure.

Only geth's own `eth_sign` asks for data to be signed, as a personal message (EIP-191). It has no method that asks for
typed data (EIP-712), and a header of Clique's is never sealed here: both are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from quorumkit import __version__
from quorumkit.engines.bft.signer.key import AccountKey
from quorumkit.engines.bft.signer.transactions import NO_BLOBS, RefusedError, address_of, data_of, requested, sign
from quorumkit.identity.keystore import keccak256

LARGEST_REQUEST = 2**20
"""Bytes. geth's pool takes no transaction of more than 128 KiB (core/txpool/legacypool, txMaxSize), which is 256 KiB in
hex; and more than it signs nobody needs to have read."""

_REFUSED = -32000
_NOT_JSON, _INVALID_REQUEST, _NO_SUCH_METHOD, _INTERNAL = -32700, -32600, -32601, -32603  # JSON-RPC 2.0, section 5.1
_TEXT = "text/plain"
_ID = re.compile(rb'\{"jsonrpc":"2\.0","id":(\d{1,19}),')


def personal_digest(message: bytes) -> bytes:
    """What is signed of a message (EIP-191, version 0x45): it cannot be the digest of a transaction."""
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)


class Requests:
    """Answers requests for one account."""

    def __init__(self, key: AccountKey, chain_id: Callable[[], int], failed: Callable[[Exception], None]) -> None:
        """`failed` hears of what should not happen; whoever asked is answered all the same."""
        self._key = key
        self._chain_id = chain_id
        self._failed = failed
        self._methods: dict[str, Callable[[list[Any]], Any]] = {
            "account_version": lambda _: f"quorumkit/{__version__}",
            "account_list": lambda _: [f"0x{key.address.hex()}"],
            "account_signTransaction": self._sign_transaction,
            "account_signData": self._sign_data,
        }

    def answer(self, line: bytes) -> bytes:
        """The answer to one request, with its line end. geth waits for ever for one that does not come."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return _error(None, _NOT_JSON, "not JSON")
        # geth sends no batches.
        id_ = request.get("id") if isinstance(request, dict) else None
        if not isinstance(request, dict) or not isinstance(id_, str | int | None):
            return _error(None, _INVALID_REQUEST, "not a request")
        return _message(id_, self._outcome(request.get("method"), request.get("params")))

    def _outcome(self, method: object, params: object) -> dict[str, Any]:
        do = self._methods.get(method) if isinstance(method, str) else None
        if do is None:
            return _failure(_NO_SUCH_METHOD, f"the node's signer has no method {str(method)[:60]}")
        try:
            return {"result": do(params if isinstance(params, list) else [])}
        except RefusedError as refusal:
            return _failure(_REFUSED, str(refusal))
        except Exception as error:
            self._failed(error)
            return _failure(_INTERNAL, f"the node's signer failed ({type(error).__name__})")

    def _sign_transaction(self, params: list[Any]) -> dict[str, Any]:
        if not params:
            raise RefusedError("there is no transaction to sign")
        transaction = requested(params[0], account=self._key.address, chain_id=self._chain_id())
        return sign(transaction, self._key)

    def _sign_data(self, params: list[Any]) -> str:
        if len(params) != 3:
            raise RefusedError("data is signed by its type, the account and the data")
        kind, account, data = params
        if kind != _TEXT:
            raise RefusedError(f"the node's account signs personal messages (EIP-191) only, no {str(kind)[:60]}")
        signer = address_of(account, "account")
        if signer != self._key.address:
            raise RefusedError(f"0x{signer.hex()} is not the node's account, which is 0x{self._key.address.hex()}")
        r, s, parity = self._key.sign(personal_digest(data_of(data, "data")))
        return f"0x{r:064x}{s:064x}{27 + parity:02x}"


def refusal_of_long(start: bytes) -> bytes | None:
    """The answer to a request that is too long to be read, by its first bytes; None where it is not geth's."""
    match = _ID.match(start)
    if match is None:
        return None
    limit = f"{LARGEST_REQUEST // 2**20} MiB"
    return _error(int(match[1]), _REFUSED, f"the request is larger than {limit}, as no transaction is; {NO_BLOBS}")


def _error(id_: str | int | None, code: int, message: str) -> bytes:
    return _message(id_, _failure(code, message))


def _failure(code: int, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


def _message(id_: str | int | None, outcome: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": id_, **outcome}).encode() + b"\n"
