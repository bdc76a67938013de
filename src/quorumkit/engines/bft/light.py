"""What shows a node that has no blocks that a block is the network's: more than two thirds of its validators signed it,
and more than a third of those that the node knows already are among them. Pure.

Sources: CometBFT's spec/core/data_structures.md and spec/core/encoding.md for what is hashed and signed,
spec/light-client/verification for why that suffices; types/block.go, types/canonical.go, types/validation.go and
light/verifier.go are its own implementation.
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ADDRESS_SIZE = 20
_KEY_TYPE = "tendermint/PubKeyEd25519"
_PRECOMMIT = 2
_FOR_THE_BLOCK = 2  # BlockIDFlagCommit
_BLOCK_PROTOCOL = 11
_HASH = 32
_LARGEST_POWER = (1 << 63) // 8  # types.MaxTotalVotingPower
_MOST_VALIDATORS = 10_000  # types.MaxVotesCount
_CLOCK_DRIFT = 10.0  # seconds (light/client.go, defaultMaxClockDrift)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")

Powers = Mapping[bytes, int]
"""Voting power by ed25519 public key."""


class InvalidLightBlock(ValueError):
    """It is not what it says it is, or not signed by those who had to."""


class UnknownValidators(ValueError):
    """Too few of those who signed it are known: a block between has to be verified first."""


@dataclass(frozen=True)
class LightBlock:
    """A signed header with the validators that signed it, as `parse` found that they belong together."""

    chain_id: str
    height: int
    time: float
    """Seconds since 1970."""
    hash: bytes
    """Of the header: computed here, not as anybody said it."""
    app_hash: bytes
    validators: Powers
    next_validators_hash: bytes
    signatures: tuple[tuple[bytes, bytes, bytes], ...]
    """Key, message, signature: of those that voted for this block; not verified yet."""


@dataclass(frozen=True)
class Signed:
    """By whom a verified block is signed, in voting power."""

    signed: int
    of: int
    """Of its own set, in all."""
    known_signed: int
    known: int
    """Of the set that was trusted before, in all."""


def genesis_validators(genesis: Mapping[str, Any]) -> dict[bytes, int]:
    """The first set, by CometBFT's genesis.json.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    return _powers((entry["pub_key"], entry["power"]) for entry in genesis["validators"])


def parse(commit: Mapping[str, Any], validators: Mapping[str, Any]) -> LightBlock:
    """From what CometBFT's RPC answers to `commit` and `validators` (all of them, on one page) of one height.

    Raises:
        InvalidLightBlock: they are not a header, its commit and its validators.
    """
    try:
        return _parse(commit["signed_header"], validators)
    except InvalidLightBlock:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InvalidLightBlock(f"no signed header: {type(error).__name__}: {error}") from None


def verify(block: LightBlock, known: Powers, *, chain_id: str, now: float) -> Signed:
    """Accepts a block of which nothing is known but some validators: those of genesis, or of a block verified before.

    Raises:
        InvalidLightBlock: it is of another chain, from the future, or not signed by more than two thirds of its set.
        UnknownValidators: at most a third of the power of `known` signed it.
    """
    if block.chain_id != chain_id:
        raise InvalidLightBlock("it is of another chain")
    if block.time > now + _CLOCK_DRIFT:
        raise InvalidLightBlock(f"its time is {block.time - now:.0f} s ahead")
    signers = {key for key, message, signature in block.signatures if _is_signed(key, message, signature)}
    if len(signers) < len(block.signatures):
        raise InvalidLightBlock("a signature is wrong")
    of, of_known = sum(block.validators.values()), sum(known.values())
    signed = sum(block.validators[key] for key in signers)
    known_signed = sum(known.get(key, 0) for key in signers)
    if signed * 3 <= of * 2:
        raise InvalidLightBlock(f"{signed} of {of} of its validators' power signed it: more than two thirds have to")
    if known_signed * 3 <= of_known:
        raise UnknownValidators(
            f"{known_signed} of {of_known} of the power known before signed it: more than a third has to"
        )
    return Signed(signed, of, known_signed, of_known)


def _parse(signed: Mapping[str, Any], validators: Mapping[str, Any]) -> LightBlock:
    header, commit = signed["header"], signed["commit"]
    height = int(header["height"])
    if height < 1 or int(commit["height"]) != height or int(validators["block_height"]) != height:
        raise InvalidLightBlock("header, commit and validators are of different heights")
    if int(header["version"]["block"]) != _BLOCK_PROTOCOL:
        raise InvalidLightBlock("another version of blocks")
    entries = validators["validators"]
    if len(entries) > _MOST_VALIDATORS or int(validators["total"]) != len(entries):
        raise InvalidLightBlock("not all validators")
    powers = _powers((entry["pub_key"], entry["voting_power"]) for entry in entries)
    if _validators_hash(powers) != bytes.fromhex(header["validators_hash"]):
        raise InvalidLightBlock("the validators are others than the header's")
    digest = _header_hash(header)
    if bytes.fromhex(commit["block_id"]["hash"]) != digest:
        raise InvalidLightBlock("the commit is of another header")
    return LightBlock(
        chain_id=header["chain_id"],
        height=height,
        time=sum(part * unit for part, unit in zip(_moment(header["time"]), (1, 1e-9), strict=True)),
        hash=digest,
        app_hash=bytes.fromhex(header["app_hash"]),
        validators=powers,
        next_validators_hash=bytes.fromhex(header["next_validators_hash"]),
        signatures=tuple(_signatures(header["chain_id"], commit, list(powers))),
    )


def _powers(entries: Iterable[tuple[Mapping[str, Any], Any]]) -> dict[bytes, int]:
    powers: dict[bytes, int] = {}
    for key, power in entries:
        if key["type"] != _KEY_TYPE:
            raise InvalidLightBlock("a key of another kind than ed25519")
        public = base64.b64decode(key["value"], validate=True)
        if len(public) != _HASH or public in powers or int(power) < 1:
            raise InvalidLightBlock("a validator is no ed25519 key, there twice or without power")
        powers[public] = int(power)
    if not powers or sum(powers.values()) > _LARGEST_POWER:
        raise InvalidLightBlock("no validators, or with more power than there can be")
    return powers


def _signatures(
    chain_id: str, commit: Mapping[str, Any], keys: Sequence[bytes]
) -> Iterable[tuple[bytes, bytes, bytes]]:
    """The commit's entries stand in the order of the set, one for each."""
    entries = commit["signatures"]
    if len(entries) != len(keys):
        raise InvalidLightBlock("more or fewer signatures than validators")
    for key, entry in zip(keys, entries, strict=True):
        if entry["block_id_flag"] != _FOR_THE_BLOCK:
            continue  # it was absent, or voted for no block
        if bytes.fromhex(entry["validator_address"]) != address_of(key):
            raise InvalidLightBlock("a signature stands at another validator's place")
        signature = base64.b64decode(entry["signature"], validate=True)
        yield key, _vote(chain_id, commit, _timestamp(entry["timestamp"])), signature


def address_of(key: bytes) -> bytes:
    """CometBFT's name for an ed25519 key (crypto/ed25519, Address)."""
    return hashlib.sha256(key).digest()[:ADDRESS_SIZE]


def _is_signed(key: bytes, message: bytes, signature: bytes) -> bool:
    from nacl.exceptions import BadSignatureError
    from nacl.signing import VerifyKey

    try:
        VerifyKey(key).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def _header_hash(header: Mapping[str, Any]) -> bytes:
    """The Merkle root of its fields (types/block.go, Header.Hash); one that is empty is an empty leaf."""
    version = header["version"]
    hashes = (
        *("last_commit_hash", "data_hash", "validators_hash", "next_validators_hash", "consensus_hash"),
        *("app_hash", "last_results_hash", "evidence_hash", "proposer_address"),
    )
    return _root(
        [
            _number(1, int(version["block"])) + _number(2, int(version.get("app", 0))),
            _bytes(1, header["chain_id"].encode()),
            _number(1, int(header["height"])),
            _timestamp(header["time"]),
            _block_id(header["last_block_id"]),
            *(_bytes(1, bytes.fromhex(header[name])) for name in hashes),
        ]
    )


def _validators_hash(powers: Powers) -> bytes:
    """Of `SimpleValidator`s, in the order of the set (types/validator_set.go, Hash)."""
    return _root([_message(1, _bytes(1, key)) + _number(2, power) for key, power in powers.items()])


def _vote(chain_id: str, commit: Mapping[str, Any], timestamp: bytes) -> bytes:
    """What a validator signs (types/vote.go, VoteSignBytes): a `CanonicalVote` behind its length."""
    vote = (
        _number(1, _PRECOMMIT)
        + _fixed(2, int(commit["height"]))
        + _fixed(3, int(commit["round"]))
        + _message(4, _block_id(commit["block_id"]))
        + _message(5, timestamp)
        + _bytes(6, chain_id.encode())
    )
    return _varint(len(vote)) + vote


def _block_id(block_id: Mapping[str, Any]) -> bytes:
    """`BlockID`, which has the same form as `CanonicalBlockID`."""
    parts = block_id["parts"]
    return _bytes(1, bytes.fromhex(block_id["hash"])) + _message(
        2, _number(1, int(parts["total"])) + _bytes(2, bytes.fromhex(parts["hash"]))
    )


def _timestamp(text: str) -> bytes:
    seconds, nanoseconds = _moment(text)
    return _number(1, seconds) + _number(2, nanoseconds)


def _moment(text: str) -> tuple[int, int]:
    """Seconds since 1970, and the nanoseconds beyond (RFC 3339, UTC)."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidLightBlock("no time")
    return calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S")), int((match[2] or "").ljust(9, "0"))


def _root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1: leaves and nodes are told apart by what they begin with."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + _root(leaves[:split]) + _root(leaves[split:])).digest()


# Protocol Buffers, as gogoproto writes what is signed and hashed: fields in order, those that are 0 or empty left out,
# a message that cannot be null always there.


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & (1 << 64) - 1) if value else b""


def _fixed(field: int, value: int) -> bytes:
    return _varint(field << 3 | 1) + value.to_bytes(8, "little", signed=True) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _message(field, value) if value else b""


def _message(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
