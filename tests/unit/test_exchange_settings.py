"""What `node run --exchange` makes of its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quorumkit.addresses import Endpoint
from quorumkit.engines import named_ports
from quorumkit.errors import SpecError, UsageError
from quorumkit.exchange.settings import ExchangeSettings
from quorumkit.stages.exchange_settings import settings_of

DEFAULTS: dict[str, Any] = {
    "join_secret_file": Path("/run/secret"), "peers": None, "peer_prefix": "node", "peer_suffix": "", "first_index": 1,
    "ordinal": 2, "node_name": None, "host": None, "spec": None, "validators": None, "observers": None, "engine": None,
    "consensus": "clique", "chain_id": None, "free_gas": None, "period": None, "network_name": None,
    "exchange_bind": "0.0.0.0:9443", "p2p_bind": "0.0.0.0:30303", "p2p_port": None,
    "tm_bind": "0.0.0.0:9000", "rpc_bind": "127.0.0.1:8545", "rpc_url": None, "rpc_names": "", "hosts_file": None,
    "tls_cert": None, "tls_key": None, "tls_ca": None,
    **{f"{name}_port": port.number for name, port in named_ports().items()},
}  # fmt: skip


def settings(**given: Any) -> ExchangeSettings:
    return settings_of(DEFAULTS | given)


def test_a_prefix_and_an_ordinal_are_enough() -> None:
    one = settings()
    assert (one.ordinal, one.host, one.spec.name, one.spec.nodes.total) == (2, "node2", "quorum", 5)
    assert (one.bind, one.p2p_bind, one.p2p_port) == (Endpoint("0.0.0.0", 9443), Endpoint("0.0.0.0", 30303), 30303)
    assert (one.rpc_url, one.rpc_names) == ("http://127.0.0.1:8545", ("localhost",))
    assert (one.ports, one.tm_bind, one.tls) == ({}, None, None)


def test_which_node_it_is_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(ordinal=None, node_name="node4").ordinal == 4
    monkeypatch.setattr("socket.gethostname", lambda: "bank-3.bank.default.svc")
    pod = settings(ordinal=None, peer_prefix="bank-", peer_suffix=".bank", first_index=0)
    assert (pod.ordinal, pod.host) == (4, "bank-3.bank")
    listed = settings(ordinal=None, peer_prefix=None, peers="a:1,b,c:3", node_name="b")
    assert (listed.ordinal, listed.host, listed.names.endpoint(2)) == (2, "b", Endpoint("b", 9443))


def test_the_spec_is_what_was_asked_for() -> None:
    spec = settings(validators=3, observers=1, chain_id=7, period=2, network_name="bank", free_gas=True).spec
    assert (spec.nodes.validators, spec.nodes.observers, spec.chain_id, spec.name) == (3, 1, 7, "bank")
    assert (spec.consensus.period, spec.genesis.free_gas) == (2, True)
    raft = settings(engine="goquorum", consensus="raft")
    assert (raft.ports, raft.tm_bind) == ({"raft": 50400}, Endpoint("0.0.0.0", 9000))
    with pytest.raises(SpecError, match="the options given: chain_id"):
        settings(chain_id=0)


def test_a_spec_file_and_options_do_not_go_together(tmp_path: Path) -> None:
    file = tmp_path / "quorumkit.yaml"
    file.write_text("name: bank\nnodes: {validators: 2}\nconsensus: {kind: clique}\n")
    assert settings(spec=file, consensus=None).spec.name == "bank"
    with pytest.raises(UsageError, match=r"--spec and nodes\.validators, chain_id were both given"):
        settings(spec=file, consensus=None, validators=2, chain_id=1)


def test_json_rpc_is_reached_where_it_is_served() -> None:
    everywhere = settings(rpc_bind="0.0.0.0:8545", rpc_names="rpc.bank, other\nthird")
    assert everywhere.rpc_url == "http://node2:8545"
    assert everywhere.rpc_names == ("localhost", "node2", "rpc.bank", "other", "third")
    numbered = settings(rpc_bind="0.0.0.0:8545", host="10.0.0.2", rpc_url="https://rpc.bank")
    assert (numbered.rpc_url, numbered.rpc_names) == ("https://rpc.bank", ("localhost",))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"peer_prefix": None}, "which nodes are there"),
        ({"join_secret_file": None}, "no join secret"),
        ({"peer_prefix": None, "peers": "a,b", "ordinal": 3}, "ordinal 3 is not in the peer list"),
        ({"p2p_bind": "localhost:30303"}, "a client listens on an address"),
        ({"tls_cert": Path("cert.pem")}, "TLS needs all of"),
        ({"exchange_bind": "nowhere"}, "nowhere"),
        ({"ordinal": None, "node_name": "other"}, "other"),
    ],
)
def test_what_is_missing_or_wrong_is_misuse(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        settings(**wrong)


def test_tls_files_come_together() -> None:
    tls = settings(tls_cert=Path("a"), tls_key=Path("b"), tls_ca=Path("c")).tls
    assert tls is not None
    assert (tls.certificate, tls.key, tls.authority) == (Path("a"), Path("b"), Path("c"))
