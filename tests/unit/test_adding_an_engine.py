"""An engine that is in the list and has its folder is all there, as docs/explanation/adding-an-engine.md promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import fixed_addresses

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import SpecError
from quorumkit.identities.generated import generate
from quorumkit.progress import silent
from quorumkit.record import read_record
from quorumkit.spec import parse_spec, read_spec
from support import fake_engine

FOLDER = Path(fake_engine.__file__).parent
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_engine.register(monkeypatch)


def test_the_spec_has_its_kind_with_its_defaults_and_refuses_what_it_cannot_do() -> None:
    spec = parse_spec({"name": "bank", "engine": {"kind": "fake"}})
    assert (spec.engine.version, spec.consensus.kind, spec.gas_is_free) == ("1.0.0", "clique", True)
    parse_spec({"name": "bank", "engine": {"kind": "fake"}, "rpc": {"http": {"modules": ["eth", "txpool"]}}})
    with pytest.raises(SpecError, match=r"consensus\.kind: fake has no raft \(it has clique\); engine\.kind goquorum"):
        parse_spec({"name": "bank", "engine": {"kind": "fake"}, "consensus": {"kind": "raft"}})
    with pytest.raises(SpecError, match=r"transaction_manager: fake has no private transactions"):
        parse_spec({"name": "bank", "engine": {"kind": "fake"}, "transaction_manager": {}})


def test_a_network_of_it_is_planned_written_and_read_back(tmp_path: Path) -> None:
    directory = NetworkDirectory(tmp_path / "bank")
    spec = parse_spec({"name": "bank", "nodes": {"validators": 2}, "engine": {"kind": "fake"}})
    network = generate(directory, spec, fixed_addresses, silent)
    assert read_spec(directory.spec) == spec
    assert directory.load() == network
    assert (directory.node("node1") / "peers").read_text() == "node2"
    assert read_record(directory.node("node2")).engine.kind == "fake"


def test_it_takes_one_folder_of_three_parts() -> None:
    """Nothing in the package knows it, and what its processes run is the client's own affair."""
    assert {path.name for path in FOLDER.glob("*.py")} == {
        "__init__.py", "recipe.py", "driver.py", "acquire.py", "process.py",
    }  # fmt: skip
    package = ROOT / "src/quorumkit"
    assert not [path for path in package.rglob("*.py") if "fake_engine" in path.read_text()]
    page = (ROOT / "docs/explanation/adding-an-engine.md").read_text()
    assert '    process("store", "engine", python=python, starts_alone=True),' in page
    assert (
        '            process("store", "engine", python=python, starts_alone=True),'
        in (FOLDER / "recipe.py").read_text()
    )
