"""Tessera: its files, its command line, and where it can run. The fields are those of its sources and documentation."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from samples import endpoints_number, identity_number, spec_of

from quorumkit.addresses import Endpoint
from quorumkit.errors import EngineError, NodeError, SpecError, UsageError
from quorumkit.identity import generate_secrets, write_secrets
from quorumkit.managers import manager_of, managers
from quorumkit.plan import Network, plan
from quorumkit.record import NodeRecord
from quorumkit.render import render_node
from quorumkit.spec import NetworkSpec, parse_spec, spec_to_yaml

GOQUORUM = {"kind": "goquorum"}
TESSERA = manager_of("tessera")


def tessera_spec(nodes: int = 3, **fields: Any) -> NetworkSpec:
    return spec_of(nodes, engine=GOQUORUM, **{"transaction_manager": {"kind": "tessera"}} | fields)


def network_of(spec: NetworkSpec, host: str = "127.0.0.1", bind: str = "127.0.0.1") -> Network:
    numbers = range(1, spec.nodes.total + 1)
    return plan(
        spec,
        [replace(identity_number(n), tm_key=f"key{n}") for n in numbers],
        [
            replace(endpoints_number(n), tm=Endpoint(host, 24000 + n), tm_bind=Endpoint(bind, 24000 + n))
            for n in numbers
        ],
    )


def config_of(network: Network, ordinal: int) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(render_node(network, network.node(ordinal))["tm/tessera.json"])
    return config


def test_its_configuration() -> None:
    """Change it here when the change is meant."""
    assert config_of(network_of(tessera_spec(3), "10.0.0.7", "0.0.0.0"), 2) == {
        "useWhiteList": True,
        "disablePeerDiscovery": True,
        "jdbc": {
            "username": "sa",
            "password": "",
            "url": "jdbc:h2:./tm/payloads;MODE=Oracle;TRACE_LEVEL_FILE=0;TRACE_LEVEL_SYSTEM_OUT=0;WRITE_DELAY=0",
            "autoCreateTables": True,
        },
        "serverConfigs": [
            {"app": "Q2T", "serverAddress": "unix:tm/tm.ipc", "communicationType": "REST"},
            {
                "app": "P2P",
                "serverAddress": "http://10.0.0.7:24002",
                "bindingAddress": "http://0.0.0.0:24002",
                "sslConfig": {"tls": "OFF"},
                "communicationType": "REST",
            },
        ],
        "peer": [{"url": "http://10.0.0.7:24001/"}, {"url": "http://10.0.0.7:24003/"}],
        "keys": {"keyData": [{"privateKeyPath": "tm/tm.key", "publicKeyPath": "tm/tm.pub"}]},
        "alwaysSendTo": [],
        "features": {"enableRemoteKeyValidation": True},
    }


def test_its_configuration_is_the_same_every_time_and_has_no_paths_of_this_machine() -> None:
    network = network_of(tessera_spec())
    files = render_node(network, network.node(1))
    assert files == render_node(network, network.node(1))
    assert str(Path.cwd()).encode() not in b"".join(files.values())
    assert "tm/tm.conf" not in files
    assert "tm/logback.xml" in files


def test_its_key_files_are_constellations(tmp_path: Path) -> None:
    """com.quorum.tessera.config.KeyDataConfig: {type, data: {bytes}}; the public key is base64 and nothing else."""
    secrets = generate_secrets(transaction_manager=True)
    write_secrets(tmp_path / "node1", secrets)
    key = json.loads((tmp_path / "node1/tm/tm.key").read_bytes())
    assert key["type"] == "unlocked" and set(key["data"]) == {"bytes"}
    assert secrets.tm_key is not None
    assert (tmp_path / "node1/tm/tm.pub").read_text() == secrets.tm_key.public_base64


@pytest.mark.parametrize(("runtime", "apart"), [("process", False), ("compose", True)])
def test_the_node_program_is_told_whether_to_start_it(runtime: str, apart: bool) -> None:
    network = network_of(tessera_spec(runtime=runtime))
    record = NodeRecord.model_validate_json(render_node(network, network.node(1))["node.json"])
    assert record.tm is not None
    assert (record.tm.kind, record.tm.apart) == ("tessera", apart)


def test_ours_is_in_the_nodes_container_everywhere() -> None:
    assert not spec_of(engine=GOQUORUM, runtime="compose").manager_apart
    assert manager_of("builtin").image(spec_of(engine=GOQUORUM).transaction_manager) is None  # type: ignore[arg-type]


def test_what_is_default_is_not_asked_of_ours_and_kept_of_tessera() -> None:
    for manager in ({}, {"kind": "tessera"}, {"kind": "tessera", "binary": "t.jar"}):
        spec = spec_of(engine=GOQUORUM, transaction_manager=manager)
        assert parse_spec(YAML(typ="safe").load(io.BytesIO(spec_to_yaml(spec)))) == spec
    assert b"24.4.2" in spec_to_yaml(tessera_spec())
    assert b"24.4.2" not in spec_to_yaml(spec_of(engine=GOQUORUM))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"engine": {"kind": "geth"}, "transaction_manager": {"kind": "tessera"}}, "transaction_manager: geth has"),
        ({"transaction_manager": {"kind": "crux"}}, "transaction_manager.kind: "),
        ({"transaction_manager": {"binary": "tessera"}}, "transaction_manager.binary: builtin has none"),
        ({"transaction_manager": {"version": "24.4.2"}}, "transaction_manager.version: builtin has none"),
        ({"transaction_manager": {"kind": "tessera", "version": "latest"}}, "transaction_manager.version: "),
        ({"identities": "exchanged"}, "transaction_manager.kind: with exchanged identities"),
        (
            {"runtime": "compose", "transaction_manager": {"kind": "tessera", "binary": "tessera"}},
            "transaction_manager.binary: with runtime compose",
        ),
        (
            {"runtime": "compose", "compose": {"subnet": "172.28.0.0/29"}},
            "compose.subnet: .* for 5 containers, not for 6",
        ),
    ],
)
def test_what_is_not_possible_is_told_by_its_path(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        tessera_spec(**fields) if "engine" not in fields else spec_of(**fields)


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A JAVA_HOME with something in it, and nothing on PATH."""
    program = tmp_path / "jvm/bin/java"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jvm"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_OPTS", raising=False)
    return str(program)


def test_the_start_script_gets_its_options_by_the_environment(java: str, tmp_path: Path) -> None:
    script = tmp_path / "tessera"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(EngineError, match="not executable"):
        TESSERA.find(override=script)
    script.chmod(0o755)
    for override in (script, None):  # named, and found on PATH
        assert TESSERA.find(override=override) == script
    process = TESSERA.process(script)
    assert process.argv == (str(script), "-configfile", "tm/tessera.json")
    assert process.environment["JAVA_OPTS"].startswith("-Xms64m -Xmx256m ")


def test_a_jar_is_run_by_java_with_the_same_options(java: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = tmp_path / "tessera.jar"
    jar.touch()
    monkeypatch.setenv("JAVA_OPTS", "-Xmx1g")
    found = TESSERA.find(override=jar)
    logging = "-Dlogback.configurationFile=tm/logback.xml"
    argv = TESSERA.process(found).argv
    assert argv == (java, "-Xmx1g", logging, "-jar", str(jar), "-configfile", "tm/tessera.json")


def test_what_is_missing_is_told_with_a_way_out(java: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="no `tessera` on PATH") as caught:
        TESSERA.find(override=None)
    assert "--tm-binary" in (caught.value.hint or "")
    with pytest.raises(EngineError, match="there is no such file"):
        TESSERA.find(override=tmp_path / "elsewhere")
    (tmp_path / "tessera.jar").touch()
    monkeypatch.delenv("JAVA_HOME")
    with pytest.raises(EngineError, match="needs Java"):
        TESSERA.find(override=tmp_path / "tessera.jar")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/home/me/my net/nodes/node1", "' ' in its path"),
        ("/home/me/100%/n", "'%' in its path"),
        ("/" + "n" * 99, "bytes"),
    ],
)
def test_a_directory_where_it_cannot_make_its_socket_is_refused(path: str, told: str) -> None:
    with pytest.raises(NodeError, match=told):
        TESSERA.check_place(Path(path))
    manager_of("builtin").check_place(Path(path))


def test_a_directory_where_it_can_is_not() -> None:
    TESSERA.check_place(Path("/" + "n" * 96))
    TESSERA.check_place(Path("/home/rené/some-net_1.x/nodes/node1"))


def test_every_managers_process_can_be_told_by_its_command_line() -> None:
    for manager in managers():
        assert manager.config in manager.process(Path("/somewhere/tessera")).argv


def test_what_an_operator_added_is_kept() -> None:
    network = network_of(tessera_spec(3))
    rendered = render_node(network, network.node(2))["tm/tessera.json"]
    source = Path("tm/tessera.json")
    third_parties = {"app": "ThirdParty", "serverAddress": "http://127.0.0.1:9080", "communicationType": "REST"}
    before = json.loads(rendered)
    before["serverConfigs"] = [third_parties, *before["serverConfigs"]]
    before |= {"encryptor": {"type": "NACL"}, "alwaysSendTo": ["KEY"], "useWhiteList": False, "peer": []}
    before["features"] = {"enableRemoteKeyValidation": False, "enableMultiplePrivateStates": False}
    kept = TESSERA.keep(json.dumps(before).encode(), rendered, source=source)
    expected = json.loads(rendered) | {"encryptor": {"type": "NACL"}, "alwaysSendTo": ["KEY"]}
    expected["serverConfigs"].append(third_parties)
    expected["features"]["enableMultiplePrivateStates"] = False
    assert json.loads(kept) == expected
    assert TESSERA.keep(kept, rendered, source=source) == kept
    assert TESSERA.keep(rendered, rendered, source=source) == rendered
    for content in (b"{", b"[]", b"\xff"):
        with pytest.raises(UsageError, match=r"tm/tessera\.json: not JSON"):
            TESSERA.keep(content, rendered, source=source)
