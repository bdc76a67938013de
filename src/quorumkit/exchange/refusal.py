"""Why something that came over the network is not taken. Each reason has its own code, so that they can be told apart
in logs and answers."""

from __future__ import annotations

from typing import Literal

from quorumkit.errors import QuorumkitError

Code = Literal[
    "rubbish",
    "wrong_secret",
    "tampered",
    "clock",
    "replay",
    "too_large",
    "too_slow",
    "too_many",
    "misdirected",
    "format",
    "signature",
    "chain_id",
    "spec",
    "ordinal_taken",
    "identity_changed",
    "shared_key",
    "replaced",
    "not_admitted",
]

STATUS: dict[Code, int] = {
    "rubbish": 400,
    "wrong_secret": 401,
    "tampered": 401,
    "clock": 401,
    "replay": 401,
    "too_large": 413,
    "too_slow": 408,
    "too_many": 429,
    "misdirected": 421,
    "format": 422,
    "signature": 422,
    "chain_id": 409,
    "spec": 409,
    "ordinal_taken": 409,
    "identity_changed": 409,
    "shared_key": 409,
    "replaced": 403,
    "not_admitted": 403,
}
"""The HTTP status of each (RFC 9110)."""

HINTS: dict[Code, str] = {
    "rubbish": "only nodes of this network may talk to this port: keep others away from it",
    "wrong_secret": "give every node the same join secret file, and start the ones that had another again",
    "tampered": "something between the nodes changes what they send: look at proxies",
    "clock": "set the clock right (NTP); it is tried again by itself",
    "replay": "if no proxy repeats requests, somebody records and resends them",
    "too_large": "a node of this version never sends as much: run the same version everywhere",
    "too_slow": "look at the network between the nodes",
    "too_many": "it is tried again by itself, later",
    "misdirected": "check the peer list, the prefix and the first index: they must name the same nodes everywhere",
    "format": "run the same version of Quorumkit on every node",
    "signature": "a document must be signed by the nodekey it names: start that node again",
    "chain_id": "start every node with the same chain id",
    "spec": "start every node with the same settings",
    "ordinal_taken": "give each node its own ordinal or name, and stop the one that should not be there",
    "identity_changed": "if the node lost its disk, admit its new identity: quorumkit node replace NAME",
    "shared_key": "stop the one that is a copy, empty its directory and start it again",
    "replaced": "another identity has its place for good: stop it, or start it with new keys and admit them",
    "not_admitted": "more than half of the sitting validators must sign it: quorumkit node replace NAME on their nodes",
}


class Refusal(QuorumkitError):
    """Something from another node, or from somebody else, was not taken."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message, hint=HINTS[code])
        self.code: Code = code
