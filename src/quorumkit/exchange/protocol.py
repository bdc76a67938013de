"""What nodes say to each other: signed documents and commitments, and the one request that asks for them.

What is signed is a text, sent as it was signed: canonical JSON (RFC 8259 without white space, keys sorted, ASCII). The
signature is secp256k1 by the node's nodekey over SHA-256 of a line that names the kind, and the text; so no signature
for one kind is one for another.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from quorumkit.addresses import Endpoint, HttpUrl
from quorumkit.exchange.refusal import Refusal
from quorumkit.foreign import one_line
from quorumkit.identity import PublicIdentity
from quorumkit.notation import is_literal_address
from quorumkit.tm.errors import TmKeyError
from quorumkit.tm.keys import format_public_key, parse_public_key
from quorumkit.tm.urls import normalise_url

MOST_NODES = 2000
MOST_ADMISSIONS = 10 * MOST_NODES
"""Signatures of admissions in one answer."""

LONGEST_WAIT = 20.0
"""Seconds an answer may be held back until it holds what was asked for."""

PULL_PATH = "/v1/pull"

LATEST_REVISION = 4_102_444_800_000
"""The year 2100, in milliseconds since 1970: no clock that is right says more."""

AHEAD = 60_000
"""Milliseconds that a revision may lie ahead of the reader's clock."""

_HOST = re.compile(r"[0-9A-Za-z]([-0-9A-Za-z_.]{0,251}[0-9A-Za-z])?|[0-9A-Fa-f:.]{2,45}")


def _host(value: str) -> str:
    if not _HOST.fullmatch(value) or ".." in value or (":" in value and not is_literal_address(value)):
        raise ValueError("not a host name or address")
    return value


def _tm_key(value: str) -> str:
    """One that a transaction manager could not read would keep every other node's from starting."""
    try:
        key = parse_public_key(value)
    except TmKeyError as error:
        raise ValueError(error.message) from None
    if key[-1] & 0x80:
        # X25519 does not look at that bit (RFC 7748, section 5): the same key could be given as another.
        raise ValueError("not a TM public key: its last bit is set")
    return format_public_key(key)


def _tm_url(value: str) -> str:
    url = normalise_url(value)
    _host(HttpUrl.parse(url).place.host)
    return url


Ordinal = Annotated[int, Field(ge=1, le=MOST_NODES)]
Revision = Annotated[int, Field(ge=1, le=LATEST_REVISION)]
Port = Annotated[int, Field(ge=1, le=65535)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EnodeKey = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
Host = Annotated[str, AfterValidator(_host)]


_PORT_FIELDS = {"raft": "raft_port"}
"""The ports that have a field of their own in a document: it was there before ports had names."""


def _further(ports: dict[str, int]) -> dict[str, int]:
    if not ports or ports.keys() & _PORT_FIELDS.keys():
        raise ValueError("not ports that have no field of their own")
    return ports


PortName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
FurtherPublicKeys = Annotated[
    dict[PortName, Annotated[str, Field(pattern=r"^([0-9a-f]{2}){32,64}$")]], Field(min_length=1, max_length=4)
]
FurtherPorts = Annotated[dict[PortName, Port], Field(max_length=8), AfterValidator(_further)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    SIGNED_AS: ClassVar[str] = ""
    """What stands before the text in what is signed: the kind and its version."""


class Document(_Part):
    """What a node tells of itself. Public: no secrets, and nothing that another node does not need."""

    SIGNED_AS: ClassVar[str] = "document 1"

    format: Literal[1] = 1
    ordinal: Ordinal
    revision: Revision
    """Milliseconds since 1970 when it was signed: of two documents of one nodekey, the later one holds."""
    host: Host
    """What others look the node up by: a name or a literal address."""
    p2p_port: Port
    exchange_port: Port
    enode_key: EnodeKey
    account: str = Field(pattern=r"^0x[0-9a-fA-F]{40}$")
    tm_key: Annotated[str, Field(max_length=64), AfterValidator(_tm_key)] | None = None
    """The transaction manager's public key in base64, where the node has one."""
    tm_url: Annotated[str, Field(max_length=300), AfterValidator(_tm_url)] | None = None
    """What the other nodes' transaction managers reach that one by."""
    raft_port: Port | None = None
    """Where raft's own messages go, on the same host, with that consensus kind."""
    further_ports: FurtherPorts | None = None
    """What other kinds of client need, by name; on the same host."""
    further_keys: FurtherPublicKeys | None = None
    """What other kinds of client need, in hex, by name."""
    chain_id: int = Field(ge=0, le=2**64)
    spec: Digest
    """Of the terms that the node was started with (see `terms_of`)."""

    @property
    def identity(self) -> PublicIdentity:
        return PublicIdentity(self.enode_key, self.account, self.tm_key, self.further_keys or {})

    @property
    def ports(self) -> dict[str, int]:
        """What its kind of client needs beyond those for peers and for JSON-RPC, by name (`Recipe.ports`)."""
        own = {name: getattr(self, field) for name, field in _PORT_FIELDS.items()}
        return {name: port for name, port in own.items() if port is not None} | (self.further_ports or {})

    @property
    def place(self) -> tuple[object, ...]:
        """Where the node is reached, as it says: all that may change while it stays the same node."""
        return self.host, self.p2p_port, self.exchange_port, self.tm_url, tuple(sorted(self.ports.items()))

    @property
    def parts(self) -> tuple[object, ...]:
        """What it has beside its client, and the lengths of its keys: alike on all nodes of a network, for the terms
        are."""
        return (
            self.tm_key is not None,
            self.tm_url is not None,
            tuple(sorted(self.ports)),
            tuple(sorted((name, len(key)) for name, key in (self.further_keys or {}).items())),
        )

    @property
    def tm(self) -> Endpoint | None:
        """Where its transaction manager is, if it has one."""
        return None if self.tm_url is None else HttpUrl.parse(self.tm_url).place

    def same_identity(self, other: Document) -> bool:
        """Whether both are one node: all that the genesis or a transaction manager rests on is the same."""
        return self.identity == other.identity

    def shares_with(self, other: Document) -> bool:
        """Whether both have one account, or a key in common beside their nodekeys: what is due to the one would come
        to the other."""
        return (
            self.account.lower() == other.account.lower()
            or (self.tm_key is not None and self.tm_key == other.tm_key)
            or not set((self.further_keys or {}).values()).isdisjoint((other.further_keys or {}).values())
        )


class Commitment(_Part):
    """A node's promise, made once and for ever, that it will run that genesis and no other."""

    SIGNED_AS: ClassVar[str] = "commitment 1"

    format: Literal[1] = 1
    ordinal: Ordinal
    enode_key: EnodeKey
    genesis: Digest


class _Admitting(_Part):
    """What every form of an admission says."""

    ordinal: Ordinal
    revision: Revision
    """Milliseconds since 1970: of two signatures by one validator for one ordinal, the later one holds."""
    enode_key: EnodeKey
    """Whose the ordinal is to be."""
    by: EnodeKey
    """Who signs."""


class Admission(_Admitting):
    """One validator's signature, asked for by its own operator, that an ordinal has another identity from now on
    (`quorumkit node replace`). It counts together with those of more than half of the sitting validators; see
    `admissions`."""

    SIGNED_AS: ClassVar[str] = "admission 2"

    format: Literal[2] = 2
    genesis: Digest
    """Of the network that it is for."""
    old: EnodeKey
    """Whose place it is until then."""


class SoleAdmission(_Admitting):
    """What one member alone signed, in the first form of admissions. Read from a node's own disk only."""

    SIGNED_AS: ClassVar[str] = "admission 1"

    format: Literal[1] = 1


class Signed(_Part):
    """A text and the signature over it."""

    text: str = Field(max_length=2000)
    signature: str = Field(max_length=150, pattern=r"^[0-9a-f]+$")


SignedPart = Document | Commitment | Admission | SoleAdmission
Part = TypeVar("Part", Document, Commitment, Admission, SoleAdmission)


@dataclass(frozen=True)
class Proven:
    """A document whose signature was found to be right, with what proves it to others."""

    document: Document
    signed: Signed


class Report(_Part):
    """The genesis that a node derives from the identities it holds now. It binds nobody, so it is not signed."""

    ordinal: Ordinal
    version: Revision
    """Milliseconds since 1970: a node's later report replaces its earlier one."""
    genesis: Digest
    fields: dict[Annotated[str, Field(max_length=60)], Annotated[str, Field(max_length=16)]] = Field(max_length=60)
    """A short digest of each field of the genesis, so that a difference can be named."""

    @cached_property
    def without_fields(self) -> Report:
        """The same for one who knows the fields; made once, for it is handed to many."""
        return self.model_copy(update={"fields": {}})


Terms = dict[
    Annotated[str, Field(max_length=60)],
    bool | Annotated[int, Field(ge=0, le=2**256)] | Annotated[str, Field(max_length=1000)],
]

Stage = Literal["documents", "reports", "commitments", "members"]


class PullRequest(_Part):
    """«Here is who I am; give me these»."""

    sender: Signed
    to: Ordinal
    terms: Terms = Field(max_length=60)
    """What the sender was started with, so that a difference can be named."""
    stage: Stage
    want: list[Ordinal] = Field(default=[], max_length=MOST_NODES)
    genesis: Digest | None = None
    """The genesis that the sender derives, where it has all documents."""
    wait: float = Field(default=0.0, ge=0, le=LONGEST_WAIT)
    """Seconds that the answer may be held back until all that is wanted is there."""
    membership: str = Field(default="", max_length=64)
    """Digest of the members after the lock, as the sender knows them; empty before."""
    take_in: bool = False
    """Whether the sender's client can start only when a member's has taken it in."""


class PullAnswer(_Part):
    """What of it the node has."""

    sender: Signed
    documents: list[Signed] = Field(default=[], max_length=2 * MOST_NODES)
    reports: list[Report] = Field(default=[], max_length=MOST_NODES)
    commitments: list[Signed] = Field(default=[], max_length=MOST_NODES)
    admissions: list[Signed] = Field(default=[], max_length=MOST_ADMISSIONS)
    """In the order in which they took effect, and then those that have not yet."""
    locked: bool = False
    membership: str = Field(default="", max_length=64)
    taken_in: str | None = Field(default=None, max_length=100)
    """What the sender's client must know, where this node's has taken it in."""


class ErrorAnswer(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    error: str = Field(max_length=40)
    message: str = Field(max_length=2000)
    hint: str | None = Field(default=None, max_length=2000)


def canonical(value: Any) -> str:
    """The one text of a JSON value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def fields_of_ports(ports: Mapping[str, int]) -> dict[str, Any]:
    """The fields of a document that tell these ports (`Document.ports`)."""
    own = {field: ports[name] for name, field in _PORT_FIELDS.items() if name in ports}
    further = {name: port for name, port in ports.items() if name not in _PORT_FIELDS}
    return own | ({"further_ports": further} if further else {})


def digest_of(terms: Terms) -> str:
    """SHA-256 of the terms' canonical text, in hex."""
    return hashlib.sha256(canonical(terms).encode()).hexdigest()


def sign(part: SignedPart, nodekey: bytes) -> Signed:
    """The part's canonical text, signed (secp256k1, DER)."""
    import coincurve

    # What a node has not is left out, so that versions that do not know it yet take the document all the same.
    text = canonical(part.model_dump(exclude_none=True))
    return Signed(text=text, signature=coincurve.PrivateKey(nodekey).sign(_message(type(part), text)).hex())


def prove(signed: Signed, *, source: str) -> Proven:
    """Checks a document. `source` names who handed it on.

    Raises:
        Refusal: format or signature.
    """
    return Proven(check(Document, signed, source=source), signed)


def check(kind: type[Part], signed: Signed, *, source: str, signers: Collection[str] | None = None) -> Part:
    """What was signed, if it is of that kind and its signature is right. `source` names who handed it on. Of one who is
    none of the `signers` the signature is not looked at: many of them cost little.

    Raises:
        Refusal: format, signature, or not_admitted.
    """
    import coincurve

    what = kind.SIGNED_AS.partition(" ")[0]
    try:
        part = kind.model_validate_json(signed.text)
    except ValidationError as error:
        raise Refusal("format", f"{source}: not a {what}: {_first(error)}") from None
    key = part.by if isinstance(part, Admission | SoleAdmission) else part.enode_key
    if signers is not None and key not in signers:
        raise Refusal("not_admitted", f"{source}: node{part.ordinal} was admitted by one who is no validator")
    try:
        right = coincurve.PublicKey(b"\x04" + bytes.fromhex(key)).verify(
            bytes.fromhex(signed.signature), _message(kind, signed.text)
        )
    except ValueError:  # no point of the curve, or no signature at all
        right = False
    if not right:
        raise Refusal("signature", f"{source}: node{part.ordinal}'s {what} is not signed by its key")
    return part


def _message(kind: type[SignedPart], text: str) -> bytes:
    return f"quorumkit {kind.SIGNED_AS}\n{text}".encode()


def _first(error: ValidationError) -> str:
    """The first thing that is wrong; a field's name may be the sender's own text."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return one_line(f"{'.'.join(str(step) for step in first['loc'])} {first['msg']}")


def parse(kind: type[Model], content: bytes, *, source: str) -> Model:
    """A message of that kind.

    Raises:
        Refusal: format.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise Refusal("format", f"{source}: not a message this version knows: {_first(error)}") from None


Model = TypeVar("Model", PullRequest, PullAnswer, ErrorAnswer)
