"""Nodes for tests of the exchange: keys that are always the same, and what they sign."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import coincurve

from quorumkit.exchange.agreement import Agreement, Genesis
from quorumkit.exchange.protocol import Admission, Commitment, Document, Proven, Signed, digest_of, sign
from quorumkit.exchange.terms import terms_of
from quorumkit.identity import PublicIdentity
from quorumkit.spec import NetworkSpec, parse_spec
from support.clique import on_clique

CHAIN_ID = 4242


def spec_of(validators: int = 3, **more: object) -> NetworkSpec:
    return parse_spec(on_clique({"name": "bank", "chain_id": CHAIN_ID, "nodes": {"validators": validators}, **more}))


def nodekey(name: object) -> bytes:
    return hashlib.sha256(f"nodekey of {name}".encode()).digest()


def enode_key(name: object) -> str:
    return coincurve.PrivateKey(nodekey(name)).public_key.format(compressed=False)[1:].hex()


def document_of(ordinal: int, name: object = None, *, spec: NetworkSpec | None = None, **more: object) -> Document:
    """The document of the node with that ordinal; another `name` is another identity."""
    name = ordinal if name is None else name
    spec = spec or spec_of()
    fields = {
        "ordinal": ordinal,
        "revision": 1,
        "host": f"node{ordinal}",
        "p2p_port": 30303,
        "exchange_port": 9546,
        "enode_key": enode_key(name),
        "account": "0x" + hashlib.sha256(f"account of {name}".encode()).hexdigest()[:40],
        "chain_id": spec.chain_id,
        "spec": digest_of(terms_of(spec)),
        **more,
    }
    return Document.model_validate(fields)


def proven_of(ordinal: int, name: object = None, **more: object) -> Proven:
    document = document_of(ordinal, name, **more)  # type: ignore[arg-type]
    return Proven(document, sign(document, nodekey(ordinal if name is None else name)))


def derive(identities: Sequence[PublicIdentity]) -> Genesis:
    accounts = hashlib.sha256("".join(identity.account for identity in identities).encode()).hexdigest()
    return Genesis(hashlib.sha256(accounts.encode()).hexdigest(), {"alloc": accounts[:16], "config.chainId": "00"})


def agreement_of(ordinal: int, *, total: int = 3, name: object = None, **more: object) -> Agreement:
    spec = spec_of(total)
    terms = terms_of(spec)
    own = proven_of(ordinal, name, spec=spec)
    return Agreement(own, total=total, terms=terms, spec=digest_of(terms), derive=derive, **more)  # type: ignore[arg-type]


def commitment_of(ordinal: int, genesis: str, name: object = None) -> Commitment:
    return Commitment(ordinal=ordinal, enode_key=enode_key(ordinal if name is None else name), genesis=genesis)


def genesis_of(total: int = 3) -> str:
    return derive([proven_of(ordinal, spec=spec_of(total)).document.identity for ordinal in range(1, total + 1)]).digest


def admission_of(
    ordinal: int, name: object, *, by: object, old: object = None, revision: int = 1, genesis: str | None = None,
    total: int = 3,
) -> Signed:  # fmt: skip
    """One validator's signature for `name` in an ordinal's place, which is `old`'s until then."""
    part = Admission(
        genesis=genesis or genesis_of(total), ordinal=ordinal, old=enode_key(ordinal if old is None else old),
        enode_key=enode_key(name), revision=revision, by=enode_key(by),
    )  # fmt: skip
    return sign(part, nodekey(by))
