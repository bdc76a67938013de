"""CometBFT's two keys of a node: one signs votes, the other is what its peers know it by. Both are ed25519.

Files: CometBFT's p2p/key.go (node_key.json) and privval/file.go (priv_validator_key.json, priv_validator_state.json).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quorumkit.errors import CorruptFileError
from quorumkit.files import to_json
from quorumkit.identity import MadeKeys

VALIDATOR = "validator"
"""Signs votes and proposals."""
PEER = "bft"
"""Signs for the node when CometBFT's peers connect."""

NODE_KEY = Path("cometbft/config/node_key.json")
VALIDATOR_KEY = Path("cometbft/config/priv_validator_key.json")
SIGNED = Path("cometbft/data/priv_validator_state.json")
"""What the validator has signed last. It is made with the key, and nothing but CometBFT ever writes it again."""

_RESTORE = "put it back from a backup; the keys of a node are never made again over old ones"
_FILES = {PEER: NODE_KEY, VALIDATOR: VALIDATOR_KEY}


def node_id(key: str) -> str:
    """What CometBFT calls a peer: 20 bytes in hex, of the public key in hex."""
    return hashlib.sha256(bytes.fromhex(key)).hexdigest()[:40]


def validator_address(key: str) -> str:
    """What CometBFT calls the validator with that public key in hex (crypto/ed25519, `Address`): it is made as the id
    of a peer is, and written in upper case."""
    return node_id(key).upper()


def named_validator(key: str) -> dict[str, Any]:
    """How CometBFT's files name the validator with that public key in hex."""
    public = base64.b64encode(bytes.fromhex(key)).decode()
    return {"address": validator_address(key), "pub_key": {"type": "tendermint/PubKeyEd25519", "value": public}}


class ConsensusKeys:
    """See `FurtherKeys`."""

    names: tuple[str, ...] = (PEER, VALIDATOR)

    def make(self) -> MadeKeys:
        from nacl.signing import SigningKey

        peer, validator = SigningKey.generate(), SigningKey.generate()
        public = bytes(validator.verify_key)
        files: dict[Path, Any] = {
            SIGNED: {"height": "0", "round": 0, "step": 0},
            NODE_KEY: {"priv_key": _private(bytes(peer), bytes(peer.verify_key))},
            VALIDATOR_KEY: {
                **named_validator(public.hex()),
                "priv_key": _private(bytes(validator), public),
            },
        }
        return MadeKeys(
            files={path: to_json(content) for path, content in files.items()},
            public={PEER: bytes(peer.verify_key).hex(), VALIDATOR: public.hex()},
        )

    def read(self, directory: Path) -> dict[str, str]:
        if not (directory / SIGNED).is_file():
            raise CorruptFileError(
                f"{directory / SIGNED}: what the validator signed last is missing",
                hint="put back the file that the node had when it was stopped: with an older one it may sign twice",
            )
        return {name: _public_half(directory / path) for name, path in _FILES.items()}


def _private(seed: bytes, public: bytes) -> dict[str, str]:
    return {"type": "tendermint/PrivKeyEd25519", "value": base64.b64encode(seed + public).decode()}


def _public_half(path: Path) -> str:
    """Derived from the private half."""
    from nacl.signing import SigningKey

    try:
        written: Mapping[str, Any] = json.loads(path.read_bytes())
        whole = base64.b64decode(written["priv_key"]["value"], validate=True)
        public = bytes(SigningKey(whole[:32]).verify_key)
        if whole[32:] != public:
            raise ValueError("the halves do not belong together")
    except FileNotFoundError:
        raise CorruptFileError(f"{path}: the key is missing", hint=_RESTORE) from None
    except (ValueError, KeyError, TypeError, IndexError):
        raise CorruptFileError(f"{path}: not a key of CometBFT's", hint=_RESTORE) from None
    return public.hex()


KEYS = ConsensusKeys()
