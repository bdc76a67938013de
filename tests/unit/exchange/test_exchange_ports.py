"""Ports that only some kinds of client need, in documents."""

from __future__ import annotations

import json

import pytest
from exchange_samples import document_of
from pydantic import ValidationError

from quorumkit.exchange.protocol import Document, canonical, fields_of_ports


def test_an_exchanged_document_tells_it() -> None:
    document = document_of(1, **fields_of_ports({"gossip": 20101}))
    assert document.ports == {"gossip": 20101}
    assert Document.model_validate_json(canonical(document.model_dump(exclude_none=True))) == document
    moved = document_of(1, **fields_of_ports({"gossip": 20102}))
    assert moved.place != document.place
    assert moved.parts == document.parts != document_of(1).parts


def test_raft_is_told_as_it_always_was() -> None:
    document = document_of(1, **fields_of_ports({"raft": 50400}))
    assert json.loads(canonical(document.model_dump(exclude_none=True)))["raft_port"] == 50400
    assert "further_ports" not in document.model_dump(exclude_none=True)
    assert document.ports == {"raft": 50400}
    assert fields_of_ports({}) == {}


@pytest.mark.parametrize(
    "ports",
    [
        {}, {"raft": 1}, {"gossip": 0}, {"gossip": 65536}, {"gossip": "1"}, {"Gossip": 1}, {"": 1}, {"a" * 21: 1}, [1],
        {"a b": 1}, {"a\n": 1}, {chr(97 + n): 1 for n in range(9)},
    ],
)  # fmt: skip
def test_what_are_no_further_ports_is_refused(ports: object) -> None:
    with pytest.raises(ValidationError):
        document_of(1, further_ports=ports)
