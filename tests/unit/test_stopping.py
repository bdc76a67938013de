"""Networks are stopped and destroyed though their specs are refused; nothing is started here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quorumkit.cli.main import run
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NewerFormatError, NotANetworkError, SpecError
from quorumkit.stages.stop import WhatRuns, read_what_runs

Capture = pytest.CaptureFixture[str]

MISTYPED = "genesis:\n  alloc:\n    '0x52908400098527886E0F7030069857D2E4169Ee7': 1 ether\n"
TWICE = f"genesis:\n  alloc:\n    '0x{'ab' * 20}': 1\n    '0x{'AB' * 20}': 2\n"


def written(tmp_path: Path, text: str, name: str = "bank") -> NetworkDirectory:
    directory = NetworkDirectory(tmp_path / name)
    directory.path.mkdir(exist_ok=True)
    directory.spec.write_text(text)
    return directory


def read(tmp_path: Path, text: str, name: str = "bank") -> WhatRuns:
    return read_what_runs(written(tmp_path, text, name))


def test_a_right_spec_is_taken_as_it_is(tmp_path: Path) -> None:
    directory = written(tmp_path, "name: bank\nnodes: {validators: 2}\n")
    assert read_what_runs(directory) == WhatRuns(directory.read_spec())


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (MISTYPED, "genesis.alloc"),
        (TWICE, "genesis.alloc"),
        ("nodes:\n  validators: 0\n", "nodes.validators"),
        ("nodes: many\n", "nodes"),
        ("chain_id: main\nconsensus: {period: 0, kind: qbft}\n", "chain_id"),
        ("shards: 3\n", "shards"),
        ("consensus: {kind: raft}\n", "consensus.kind"),
        ("engine: {kind: goquorum, version: newest}\n", "engine.version"),
        ("ports: {rpc: 65535}\nnodes: {validators: 3}\n", "ports.rpc"),
        ("transaction_manager: {kind: tessera}\n", "transaction_manager"),
        ("compose: {subnet: 10.0.0.0/29}\nnodes: {validators: 99}\n", "compose.subnet"),
        ("compose: [1]\ngenesis: 7\nrpc:\nports: {p2p: 9, p3p: 8}\n", "genesis"),
        ("format: old\n", "format"),
    ],
)
@pytest.mark.parametrize("runtime", ["process", "compose"])
@pytest.mark.parametrize("identities", ["generated", "exchanged"])
def test_what_is_wrong_elsewhere_is_in_nobodys_way(
    runtime: str, identities: str, wrong: str, field: str, tmp_path: Path
) -> None:
    what = read(tmp_path, f"name: bank\nruntime: {runtime}\nidentities: {identities}\n{wrong}")
    assert what.problem and f"bank/quorumkit.yaml: {field}" in what.problem
    assert (what.spec.name, what.spec.runtime, what.spec.identities) == ("bank", runtime, identities)


def test_right_fields_stay_beside_wrong_ones(tmp_path: Path) -> None:
    what = read(tmp_path, f"name: bank\nengine: {{kind: goquorum}}\nnodes: {{validators: 3}}\nchain_id: 0\n{TWICE}")
    assert (what.spec.engine.kind, what.spec.nodes.total, what.spec.chain_id) == ("goquorum", 3, 1337)


def test_where_what_is_wrong_cannot_be_named_only_what_is_needed_counts(tmp_path: Path) -> None:
    what = read(tmp_path, "name: bank\nidentities: exchanged\nnull: x\nchain_id: 7\nnodes: {validators: 3}\n")
    assert (what.spec.name, what.spec.identities, what.spec.nodes.total) == ("bank", "exchanged", 3)
    assert what.spec.chain_id == 1337


def test_where_the_number_of_nodes_is_wrong_those_that_are_there_count(tmp_path: Path) -> None:
    text = "name: bank\nruntime: compose\nnodes: {validators: 0, observers: 2}\n"
    directory = written(tmp_path, text)
    assert read_what_runs(directory).spec.nodes.total == 1
    for name in ("node1", "node3", "node3.old", "nodes", "node0", "node4000"):
        (directory.nodes / name).mkdir(parents=True)
    assert read_what_runs(directory).spec.nodes.total == 3
    directory.compose.write_text("services:\n  node1:\n    image: a\n  node12:\n    image: a\n")
    assert read_what_runs(directory).spec.nodes.total == 12


def test_whose_identities_they_are_is_seen_by_the_join_secret(tmp_path: Path) -> None:
    text = "name: bank\nidentities: exhanged\n"
    assert read(tmp_path, text).spec.identities == "generated"
    (tmp_path / "bank/join-secret").touch()
    assert read(tmp_path, text).spec.identities == "exchanged"
    assert read(tmp_path, "name: bank\nidentites: exchanged\n").spec.identities == "exchanged"
    assert read(tmp_path, "name: bank\nruntime: kubernetes\nidentities: generated\n").spec.identities == "exchanged"


def test_processes_need_no_name(tmp_path: Path) -> None:
    for text in ("name: My Bank\n", "nmae: bank\n", "chain_id: 7\n", "name: 7\n"):
        what = read(tmp_path, text, "Other Bank")
        assert what.spec.name == "other-bank"
        assert what.problem and "name" in what.problem


@pytest.mark.parametrize(
    ("text", "needed"),
    [
        ("name: bank\nruntime: docker\n", "runtime"),
        ("name: bank\nruntme: compose\n", "runtime"),
        ("name: bank\nrunime: kubernetes\n", "runtime"),
        ("name: My Bank\nruntime: compose\n", "name"),
        ("nmae: bank\nruntime: compose\n", "name"),
        ("name: 1bank\nruntime: kubernetes\n", "name"),
        ("name: 1bank\nruntime: kubernetes\nchain_id: 0\n", "name"),
        ("name: bank\nruntime: kubernetes\nkubernetes: {namespace: No_Good}\n", "kubernetes.namespace"),
        ("name: bank\nruntime: kubernetes\nkubernetes: {namepsace: other}\n", "kubernetes.namespace"),
        ("name: bank\nruntime: kubernetes\nkuberntes: {namespace: other}\n", "kubernetes"),
        ("name: bank\nruntime: kubernetes\nkubernetes: other\n", "kubernetes"),
    ],
)
def test_nothing_is_guessed_of_where_it_runs(text: str, needed: str, tmp_path: Path) -> None:
    """A wrong guess would stop another network, or say of one that runs that it does not."""
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert f"mend {needed}:" in str(caught.value.hint)


def test_containers_are_not_taken_for_processes(tmp_path: Path) -> None:
    directory = written(tmp_path, "name: bank\nchain_id: 0\n")
    assert read_what_runs(directory).spec.runtime == "process"
    directory.compose.touch()
    with pytest.raises(SpecError) as caught:
        read_what_runs(directory)
    assert "mend runtime:" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["name: [", "name: bank\nname: other\n", "- a\n", "just text", ""])
def test_what_is_no_yaml_is_told_with_what_to_do(text: str, tmp_path: Path, capsys: Capture) -> None:
    directory = written(tmp_path, text)
    assert run(["down", str(directory.path)]) == 2
    said = capsys.readouterr().err
    assert "error: " in said
    assert "name, runtime and identities" in said
    directory.spec.write_bytes(b"name: b\xff\n")
    with pytest.raises(SpecError, match="not UTF-8"):
        read_what_runs(directory)


def test_no_network_and_a_newer_one_are_none_to_stop(tmp_path: Path) -> None:
    with pytest.raises(NotANetworkError):
        read_what_runs(NetworkDirectory(tmp_path))
    with pytest.raises(NewerFormatError):
        read(tmp_path, "format: 2\nname: bank\nruntime: cloud\n")


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> NetworkDirectory:
    """A network made by an earlier version, whose spec is refused today."""
    monkeypatch.chdir(tmp_path)
    directory = NetworkDirectory(Path("bank"))
    assert run(["init", "bank", "-n", "2"]) == 0
    directory.spec.write_text(directory.spec.read_text().replace("genesis:\n", MISTYPED))
    capsys.readouterr()
    return directory


def answer(capsys: Capture) -> Any:
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def test_down_and_destroy_warn_and_go_on(refused: NetworkDirectory, capsys: Capture) -> None:
    assert run(["init", "bank"]) == 2
    capsys.readouterr()
    assert run(["down", "bank"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "bank: was not running\n"
    (line,) = captured.err.splitlines()
    assert line.startswith("warning: bank/quorumkit.yaml: genesis.alloc.0x52908400098527886E0F7030069857D2E4169Ee7: ")
    assert run(["down", "bank", "--json"]) == 0
    assert "genesis.alloc" in answer(capsys)["warning"]
    assert run(["destroy", "bank", "--yes"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "bank: destroyed, bank is gone\n"
    assert captured.err.startswith("warning: bank/quorumkit.yaml: genesis.alloc")
    assert not refused.path.exists()
