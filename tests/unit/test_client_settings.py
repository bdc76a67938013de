"""JSON-RPC and flags that a person asks for: what is taken, what is refused and by what name, what the client gets."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from samples import planned, spec_of

from quorumkit.errors import SpecError
from quorumkit.exchange.terms import terms_of
from quorumkit.process_spec import client_of
from quorumkit.render.node_files import record_of
from quorumkit.spec import NetworkSpec, parse_spec, spec_to_yaml


def config(spec: NetworkSpec) -> dict[str, Any]:
    """The client's configuration file."""
    network = planned(spec)
    text = spec.recipe.node_files(network, network.node(1))["geth.toml"].decode()
    settings: dict[str, Any] = tomllib.loads(text)["Node"]
    return settings


def command(spec: NetworkSpec) -> list[str]:
    network = planned(spec)
    return list(client_of(spec.recipe.processes(Path("geth"), record_of(network, network.node(1)))).argv)


@pytest.mark.parametrize("engine", ["geth", "goquorum"])
def test_flags_of_a_persons_own_come_last_as_they_are(engine: str) -> None:
    flags = ["--txpool.globalslots=20000", "--rpc.gascap=0", "--cache.gc=10", "--identity=a bank", "--snapshot"]
    words = command(spec_of(engine={"kind": engine, "client_arguments": flags, "verbosity": 4}))
    assert words[-5:] == flags
    assert words[words.index("--verbosity") + 1] == "4"
    assert "--verbosity" not in command(spec_of(engine={"kind": engine}))


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        ("--datadir=/tmp", "--datadir is set by Quorumkit"),
        ("--datadir.ancient=/tmp", "--datadir.ancient is set by Quorumkit"),
        ("--networkid=1", "--networkid is set by Quorumkit: see chain_id"),
        ("--unlock=0x00", "--unlock is set by Quorumkit"),
        ("--password=x", "--password is set by Quorumkit"),
        ("--http.api=admin", "--http.api is set by Quorumkit: see rpc.http"),
        ("--ws", "--ws is set by Quorumkit: see rpc.ws"),
        ("--rpcapi=admin", "--rpcapi is set by Quorumkit"),
        ("--rpc", "--rpc is set by Quorumkit: see rpc.http"),
        ("--authrpc.addr=0.0.0.0", "--authrpc.addr is set by Quorumkit"),
        ("--nodiscover=false", "--nodiscover is set by Quorumkit"),
        ("--discovery.v5", "--discovery.v5 is set by Quorumkit"),
        ("--bootnodes=enode://", "--bootnodes is set by Quorumkit"),
        ("--maxpeers=50", "--maxpeers is set by Quorumkit"),
        ("--miner.gasprice=5", "--miner.gasprice is set by Quorumkit"),
        ("--gpo.maxprice=1", "--gpo.maxprice is set by Quorumkit: see genesis.free_gas"),
        ("--txpool.nolocals=false", "--txpool.nolocals is set by Quorumkit: see genesis.free_gas"),
        ("--raftport=1", "--raftport is set by Quorumkit"),
        ("--permissioned=false", "--permissioned is set by Quorumkit"),
        ("--pprof.addr=0.0.0.0", "--pprof.addr is set by Quorumkit"),
        ("--cache=1", "--cache is set by Quorumkit: see engine.cache"),
        ("--verbosity=1", "--verbosity is set by Quorumkit: see engine.verbosity"),
        ("--dev", "--dev is set by Quorumkit"),
        ("--help", "--help is set by Quorumkit"),
        ("-datadir=/tmp", "is not a flag"),
        ("--identity x", "is not a flag"),
        ("attach", "is not a flag"),
        ("--", "is not a flag"),
        ("", "is not a flag"),
        ("--identity=a\nb", "line break"),
    ],
)
def test_a_flag_that_quorumkit_sets_or_that_is_none_is_refused(flag: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(engine={"kind": "goquorum", "client_arguments": [flag]})
    assert told in caught.value.message
    assert "engine.client_arguments.0: " in caught.value.message


def test_by_default_no_page_and_no_websocket_and_nothing_that_changes_the_node() -> None:
    node = config(spec_of())
    assert node["HTTPModules"] == ["eth", "net", "web3", "txpool"]
    assert not {"HTTPCors", "WSHost", "WSPort", "WSModules"} & set(node)


@pytest.mark.parametrize("engine", ["geth", "goquorum"])
def test_websocket_is_served_where_http_is(engine: str) -> None:
    ws = {"enabled": True, "modules": ["eth"], "origins": ["https://app.example"]}
    node = config(spec_of(engine={"kind": engine}, rpc={"ws": ws, "http": {"origins": ["*"]}}))
    assert (node["WSHost"], node["WSPort"]) == (node["HTTPHost"], node["HTTPPort"])
    assert (node["WSModules"], node["WSOrigins"], node["HTTPCors"]) == (["eth"], ["https://app.example"], ["*"])


def test_without_origins_no_page_opens_a_websocket() -> None:
    """The client's own default would let pages of http://localhost in."""
    [origin] = config(spec_of(rpc={"ws": {"enabled": True}}))["WSOrigins"]
    assert origin.endswith(".invalid")


@pytest.mark.parametrize("module", ["admin", "debug", "personal", "miner", "clique"])
@pytest.mark.parametrize("part", ["http", "ws"])
def test_what_can_change_the_node_is_served_with_consent_by_name_only(part: str, module: str) -> None:
    rpc: dict[str, Any] = {part: {"modules": ["eth", module]}}
    with pytest.raises(SpecError, match=rf"rpc.{part}.modules: with {module}, .* name it in rpc.dangerous_modules too"):
        spec_of(rpc=rpc)
    agreed = spec_of(rpc=rpc | {"dangerous_modules": [module]})
    assert getattr(agreed.rpc, part).modules == ("eth", module)


def test_a_module_that_the_client_has_not_is_refused() -> None:
    for rpc in ({"http": {"modules": ["eht"]}}, {"dangerous_modules": ["istanbul"]}):
        with pytest.raises(SpecError, match=r"rpc\.\w+(\.modules)?: geth has no (eht|istanbul) \(it has eth, net"):
            spec_of(rpc=rpc)
    spec_of(engine={"kind": "goquorum"}, rpc={"http": {"modules": ["eth", "istanbul"]},
                                              "dangerous_modules": ["istanbul"]})  # fmt: skip


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/", "https://*.example", "null", "", "https://a b"]
)
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(SpecError, match=r"rpc\.http\.origins\.0: .* is not an origin"):
        spec_of(rpc={"http": {"origins": [origin]}})


@pytest.mark.parametrize("wrong", [{"http": {"modules": [1]}}, {"http": {"modules": "eth"}}, {"http": {"modules": []}},
                                   {"ws": {"enabled": "yes"}}, {"ws": {"port": 1}}])  # fmt: skip
def test_other_kinds_of_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"rpc\."):
        spec_of(rpc=wrong)


def test_they_are_a_nodes_own_affair_and_are_kept_in_the_file() -> None:
    rpc = {"http": {"modules": ["eth", "debug"], "origins": ["http://localhost:3000"]}, "ws": {"enabled": True},
           "dangerous_modules": ["debug"]}  # fmt: skip
    spec = spec_of(engine={"client_arguments": ["--snapshot"], "verbosity": 5}, rpc=rpc)
    assert terms_of(spec) == terms_of(spec_of())
    written = spec_to_yaml(spec).decode()
    assert parse_spec(YAML(typ="safe", pure=True).load(written)) == spec
    plain = spec_to_yaml(spec_of()).decode()
    assert "rpc" not in plain
    assert "client_arguments" not in plain
