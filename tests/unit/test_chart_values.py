"""A spec as values of the chart, and where pods are found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from samples import spec_of

from quorumkit.render.chart import chart_values, pod_endpoints, pod_name
from quorumkit.spec import NetworkSpec

SCHEMA = json.loads((Path(__file__).parents[2] / "charts/quorumkit/values.schema.json").read_bytes())


def on_kubernetes(validators: int = 4, observers: int = 0, **fields: Any) -> NetworkSpec:
    return spec_of(validators, observers, runtime="kubernetes", **fields)


def values_of(spec: NetworkSpec, image: str = "quorumkit/node:1") -> dict[str, Any]:
    return chart_values(spec, image=image, mark="0123456789abcdef")


def test_pods_make_their_own_identities() -> None:
    assert on_kubernetes().identities == "exchanged"


def test_observers_are_nodes_beyond_the_validators() -> None:
    values = values_of(on_kubernetes(4, 2))
    assert (values["replicaCount"], values["validators"]) == (6, 4)


def test_amounts_that_a_float_cannot_hold_go_as_text() -> None:
    account = "0x00000000000000000000000000000000000000aa"
    genesis = values_of(on_kubernetes(genesis={"node_balance": 10**21 + 1, "alloc": {account: 2**255 + 1}}))["network"][
        "genesis"
    ]
    assert genesis["nodeBalance"] == "1000000000000000000001"
    assert genesis["alloc"] == {account: str(2**255 + 1)}


def test_every_value_is_one_that_the_chart_knows() -> None:
    def check(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> None:
        for name, value in values.items():
            assert name in schema["properties"], f"{path}{name}"
            inner = schema["properties"][name]
            if isinstance(value, dict) and "properties" in inner:
                check(value, inner, f"{path}{name}.")

    check(values_of(on_kubernetes(kubernetes={"storage": "1Gi", "storage_class": "fast"})), SCHEMA)
    check(values_of(on_kubernetes(engine={"kind": "goquorum"}, consensus={"kind": "raft"})), SCHEMA)


def test_what_json_rpc_serves_and_flags_go_on_to_the_chart() -> None:
    rpc = {"http": {"modules": ["eth", "debug"], "origins": ["*"]}, "ws": {"enabled": True},
           "dangerous_modules": ["debug"]}  # fmt: skip
    values = values_of(on_kubernetes(rpc=rpc, engine={"verbosity": 4, "client_arguments": ["--snapshot"]}))
    assert values["rpc"]["http"] == {"modules": ["eth", "debug"], "origins": ["*"]}
    assert values["rpc"]["ws"] == {"enabled": True, "modules": ["eth", "net", "web3", "txpool"], "origins": []}
    assert values["rpc"]["dangerousModules"] == ["debug"]
    assert (values["network"]["engine"]["verbosity"], values["network"]["engine"]["clientArguments"]) == (
        4,
        ["--snapshot"],
    )


def test_goquorum_stands_beside_its_manager() -> None:
    spec = on_kubernetes(engine={"kind": "goquorum"}, consensus={"kind": "raft"})
    network = values_of(spec)["network"]
    assert (network["engine"]["kind"], network["consensus"]["kind"]) == ("goquorum", "raft")
    assert network["transactionManager"] == "builtin"
    assert values_of(on_kubernetes())["network"]["transactionManager"] == "none"
    endpoints = pod_endpoints(spec, 2, "prod")
    assert (str(endpoints.tm), endpoints.ports) == ("bank-1.bank-peers.prod.svc:9001", {"raft": 50400})


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("quorumkit/node:0.1", ("quorumkit/node", "0.1", "")),
        ("registry.example:5000/node", ("registry.example:5000/node", "latest", "")),
        ("registry.example:5000/node:7", ("registry.example:5000/node", "7", "")),
        ("node@sha256:" + "ab" * 32, ("node", "latest", "sha256:" + "ab" * 32)),
    ],
)
def test_an_image_name_is_taken_apart(image: str, parts: tuple[str, str, str]) -> None:
    found = values_of(on_kubernetes(), image)["image"]
    assert (found["repository"], found["tag"], found["digest"]) == parts


def test_further_values_go_before_ours_and_leave_their_neighbours_alone() -> None:
    spec = on_kubernetes(kubernetes={"values": {"image": {"pullPolicy": "Never"}, "replicaCount": 9, "spread": "hard"}})
    values = values_of(spec)
    assert values["image"] == {"repository": "quorumkit/node", "tag": "1", "digest": "", "pullPolicy": "Never"}
    assert (values["replicaCount"], values["spread"]) == (9, "hard")


def test_pods_are_found_by_names_that_last() -> None:
    spec = on_kubernetes()
    endpoints = pod_endpoints(spec, 3, "prod")
    assert pod_name(spec, 3) == "bank-2"
    assert str(endpoints.p2p) == "bank-2.bank-peers.prod.svc:30303"
    assert endpoints.rpc_url == "http://bank-2.bank-peers.prod.svc:8545"
