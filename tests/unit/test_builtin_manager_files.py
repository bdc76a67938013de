"""The files of Quorumkit's own transaction manager."""

from __future__ import annotations

import tomllib
from dataclasses import replace

from samples import endpoints_number, identity_number, spec_of

from quorumkit.addresses import Endpoint
from quorumkit.exchange.membership import GrownNetwork
from quorumkit.managers import manager_of
from quorumkit.plan import Node, plan


def late(ordinal: int, *, key: bool, url: bool) -> Node:
    identity = replace(identity_number(ordinal), tm_key=f"key{ordinal}" if key else None)
    endpoints = replace(endpoints_number(ordinal), tm=Endpoint(f"10.0.0.{ordinal}", 9001) if url else None)
    return Node(ordinal, "observer", identity, endpoints)


def test_who_tells_a_key_without_a_url_or_a_url_without_a_key_shifts_nobodys() -> None:
    spec = spec_of(3, engine={"kind": "goquorum"}, transaction_manager={"kind": "builtin"})
    bind = Endpoint("0.0.0.0", 9001)
    planned = plan(
        spec,
        [replace(identity_number(n), tm_key=f"key{n}") for n in (1, 2, 3)],
        [replace(endpoints_number(n), tm=Endpoint(f"10.0.0.{n}", 9001), tm_bind=bind) for n in (1, 2, 3)],
    )
    others = (late(4, key=False, url=True), late(5, key=True, url=True), late(6, key=True, url=False))
    network = GrownNetwork(spec, planned.nodes, planned.genesis, others)
    conf = tomllib.loads(manager_of("builtin").files(network, network.node(1))["tm/tm.conf"].decode())
    told = dict(zip(conf["othernodes"], conf["otherkeys"], strict=True))
    assert told == {f"http://10.0.0.{n}:9001/": f"key{n}" for n in (2, 3, 5)}
