"""Making a network directory: the same again changes nothing, and a run that was killed is finished by the next."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from samples import fixed_addresses, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.directory_lock import locked
from quorumkit.drift import differences
from quorumkit.errors import CorruptFileError, GenesisMismatchError, NodeError, NotANetworkError, UsageError
from quorumkit.identities.generated import generate
from quorumkit.plan import Network
from quorumkit.progress import silent
from quorumkit.spec import NetworkSpec, spec_to_yaml
from quorumkit.stages.request import check_request

KEYS = ("data/geth/nodekey", "password")


def make(directory: NetworkDirectory, spec: NetworkSpec | None = None) -> Network:
    if spec is None:
        spec = directory.read_spec() if directory.exists() else spec_of(2, 1)
    return generate(directory, spec, fixed_addresses, silent)


def contents(directory: NetworkDirectory) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory.path)): path.read_bytes()
        for path in directory.path.rglob("*")
        if path.is_file() and directory.state not in path.parents
    }


def keys_in(directory: NetworkDirectory) -> dict[str, bytes]:
    """The keys of the nodes that are there, by path."""
    return {
        path: content
        for path, content in contents(directory).items()
        if path.startswith("nodes/node") and ("keystore" in path or path.endswith(KEYS))
    }


def leftovers(directory: NetworkDirectory) -> list[Path]:
    return [path for path in directory.path.rglob(".*") if path != directory.state]


def change_spec(directory: NetworkDirectory, old: str, new: str) -> None:
    text = directory.spec.read_text()
    assert old in text
    directory.spec.write_text(text.replace(old, new))


def start_chain(directory: NetworkDirectory, name: str = "node1") -> None:
    chain = directory.node(name) / "data/geth/chaindata"
    chain.mkdir()
    (chain / "CURRENT").write_text("MANIFEST-000001")


def test_a_directory_holds_spec_genesis_keys_and_records(generated: NetworkDirectory) -> None:
    names = set(contents(generated))
    assert {"quorumkit.yaml", "genesis.json"} <= names
    for number in range(1, 5):
        node = f"nodes/node{number}/"
        assert {node + "data/geth/nodekey", node + "password", node + "node.json", node + "geth.toml"} <= names
        assert len([name for name in names if name.startswith(node + "data/keystore/UTC--")]) == 1
    assert len(names) == 3 + 4 * 5


def test_secrets_are_private(generated: NetworkDirectory) -> None:
    for path in keys_in(generated):
        assert stat.S_IMODE((generated.path / path).stat().st_mode) == 0o600
        for parent in (generated.path / path).parents:
            if parent == generated.path:
                break
            assert stat.S_IMODE(parent.stat().st_mode) == 0o700, parent


def test_what_was_generated_is_what_is_loaded(tmp_path: Path) -> None:
    directory = NetworkDirectory(tmp_path / "bank")
    network = make(directory)
    assert directory.load() == network
    assert json.loads(directory.genesis.read_bytes()) == network.genesis


def test_a_second_run_changes_not_a_byte(generated: NetworkDirectory) -> None:
    before = contents(generated)
    inodes = {path: (generated.path / path).stat().st_ino for path in before}
    make(generated)
    assert contents(generated) == before
    assert {path: (generated.path / path).stat().st_ino for path in before} == inodes


@pytest.mark.parametrize("path", ["nodes/node2/node.json", "nodes/node3/geth.toml", "genesis.json"])
def test_what_can_be_rendered_again_is(path: str, generated: NetworkDirectory) -> None:
    before = contents(generated)
    (generated.path / path).unlink()
    make(generated)
    assert contents(generated) == before


def test_an_edited_client_file_is_rendered_again(generated: NetworkDirectory) -> None:
    before = contents(generated)
    (generated.node("node1") / "geth.toml").write_text("[Node]\n")
    make(generated)
    assert contents(generated) == before


def die_at(step: int) -> None:
    """Makes this process die, without any clean-up, at its n-th step that changes the disk."""
    lock = threading.Lock()
    left = [step]

    def dying(act: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **kwargs: object) -> object:
            with lock:
                left[0] -= 1
                if left[0] <= 0:
                    os._exit(9)
            return act(*args, **kwargs)

        return wrapped

    for owner, name in [(tempfile, "mkstemp"), (tempfile, "mkdtemp"), (os, "fchmod"), (Path, "replace"),
                        (Path, "rename"), (Path, "mkdir")]:  # fmt: skip
        setattr(owner, name, dying(getattr(owner, name)))


def killed_at(step: int, directory: NetworkDirectory) -> bool:
    """Generates in a process of its own that dies at that step. False when it had fewer."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_at(step)
            make(directory)
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9


def test_killed_at_any_step_the_next_run_finishes_and_keeps_the_keys(tmp_path: Path) -> None:
    step, steps_with_keys = 1, 0
    while True:
        directory = NetworkDirectory(tmp_path / f"bank{step}")
        killed = killed_at(step, directory)
        before = keys_in(directory)
        steps_with_keys += bool(before)
        network = make(directory)
        assert {path: content for path, content in keys_in(directory).items() if path in before} == before
        assert directory.load() == network
        assert len(network.nodes) == 3
        assert leftovers(directory) == []
        if not killed:
            break
        step += 1
    assert step > 40  # every write was a step
    assert steps_with_keys > 10


def test_killed_again_and_again_it_comes_to_an_end(tmp_path: Path) -> None:
    directory = NetworkDirectory(tmp_path / "bank")
    kept: dict[str, bytes] = {}
    # Later each time: what runs in threads is not done after the same number of steps.
    step = 4
    while killed_at(step, directory):
        now = keys_in(directory)
        assert kept.items() <= now.items()
        kept = now
        step += 4
    assert len(directory.load().nodes) == 3


def test_several_at_once_make_one_network(tmp_path: Path) -> None:
    directory = NetworkDirectory(tmp_path / "bank")
    with ThreadPoolExecutor(6) as pool:
        networks = list(pool.map(lambda _: make(directory, spec_of(3, 1)), range(6)))
    assert all(network == networks[0] for network in networks)
    assert directory.load() == networks[0]
    assert leftovers(directory) == []


def test_a_directory_that_another_command_writes_is_waited_for_and_then_told(
    generated: NetworkDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorumkit.directory_lock._LOCK_PATIENCE", 0.05)
    with locked(generated), pytest.raises(NodeError, match="another quorumkit command is writing it"):
        make(generated)


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(NotANetworkError, match=r"not a network, and not empty \(thesis\.tex\)"):
        make(NetworkDirectory(tmp_path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "bank").write_text("x")
    with pytest.raises(NotANetworkError, match="not a directory"):
        make(NetworkDirectory(tmp_path / "bank"))


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    assert len(make(NetworkDirectory(tmp_path)).nodes) == 3


@pytest.mark.parametrize("key", ["data/geth/nodekey", "password"])
def test_a_lost_key_is_told_and_never_made_again(key: str, generated: NetworkDirectory) -> None:
    (generated.node("node2") / key).unlink()
    before = contents(generated)
    with pytest.raises(CorruptFileError, match=r"node2.* is missing"):
        make(generated)
    assert contents(generated) == before


def test_keys_of_another_node_are_told(generated: NetworkDirectory) -> None:
    shutil.copy(generated.node("node1") / "data/geth/nodekey", generated.node("node2") / "data/geth/nodekey")
    with pytest.raises(CorruptFileError, match=r"node2.*not the nodekey of this node's enode"):
        make(generated)


def test_a_validator_that_is_gone_is_not_replaced_by_another(generated: NetworkDirectory) -> None:
    shutil.rmtree(generated.node("node2"))
    before = contents(generated)
    with pytest.raises(CorruptFileError, match="node2 is gone"):
        make(generated)
    assert contents(generated) == before


def test_an_observer_that_is_gone_is_made_anew(generated: NetworkDirectory) -> None:
    genesis = generated.genesis.read_bytes()
    shutil.rmtree(generated.node("node4"))
    make(generated)
    assert generated.genesis.read_bytes() == genesis
    assert len(generated.load().nodes) == 4


def test_observers_can_be_added_to_a_chain(generated: NetworkDirectory) -> None:
    start_chain(generated)
    genesis, keys = generated.genesis.read_bytes(), keys_in(generated)
    change_spec(generated, "observers: 1", "observers: 3")
    network = make(generated)
    assert [node.role for node in network.nodes] == ["validator"] * 3 + ["observer"] * 3
    assert generated.genesis.read_bytes() == genesis
    assert keys.items() <= keys_in(generated).items()


CHANGES = [
    ("period: 1", "period: 7", "consensus.period: 7 .* config.clique.period"),
    ("epoch: 30000", "epoch: 100", "consensus.epoch: 100 .* config.clique.epoch"),
    ("chain_id: 1337", "chain_id: 7", "chain_id: 7 .* config.chainId"),
    ("gas_limit: 30000000", "gas_limit: 31000000", "genesis.gas_limit: 31000000 .* gasLimit"),
    ("node_balance: 1000", "node_balance: 2000", "genesis.node_balance: 2000.* alloc"),
    ("validators: 3", "validators: 2", "nodes.validators: 2 .* extraData"),
]


@pytest.mark.parametrize(("old", "new", "field"), CHANGES)
def test_a_change_that_the_chain_cannot_follow_is_told_with_its_field(
    old: str, new: str, field: str, generated: NetworkDirectory
) -> None:
    start_chain(generated, "node3")
    change_spec(generated, old, new)
    before = contents(generated)
    with pytest.raises(GenesisMismatchError, match=f"^{field}") as caught:
        make(generated)
    assert contents(generated) == before
    assert "undo the change" in (caught.value.hint or "")


@pytest.mark.parametrize(("old", "new", "field"), CHANGES)
def test_before_there_is_a_chain_the_genesis_follows_the_spec(
    old: str, new: str, field: str, generated: NetworkDirectory
) -> None:
    before = generated.genesis.read_bytes()
    change_spec(generated, old, new)
    network = make(generated)
    assert json.loads(generated.genesis.read_bytes()) == network.genesis
    assert generated.genesis.read_bytes() != before


def test_a_validator_more_is_a_change_of_the_genesis_not_a_lost_node(generated: NetworkDirectory) -> None:
    change_spec(generated, "validators: 3", "validators: 5")
    network = make(generated)
    assert [node.role for node in network.nodes] == ["validator"] * 5 + ["observer"]


def test_a_validator_more_is_refused_once_there_is_a_chain(generated: NetworkDirectory) -> None:
    start_chain(generated)
    change_spec(generated, "validators: 3", "validators: 5")
    before = contents(generated)
    with pytest.raises(GenesisMismatchError, match=r"^nodes\.validators: 5"):
        make(generated)
    assert contents(generated) == before, "no keys are made that the genesis does not name"


def test_a_corrupted_genesis_is_told_and_kept(generated: NetworkDirectory) -> None:
    generated.genesis.write_text("{")
    with pytest.raises(CorruptFileError, match=r"genesis\.json: not a valid genesis") as caught:
        make(generated)
    assert "remove it" in (caught.value.hint or "")
    assert generated.genesis.read_text() == "{"


@pytest.mark.parametrize("content", ["", "[]", "{}", "nonsense"])
def test_a_corrupted_record_is_told_and_its_hint_is_true(content: str, generated: NetworkDirectory) -> None:
    record = generated.node("node2") / "node.json"
    before = contents(generated)
    record.write_text(content)
    with pytest.raises(CorruptFileError, match=r"node2/node\.json") as caught:
        make(generated)
    assert "remove it" in (caught.value.hint or "")
    record.unlink()
    make(generated)
    assert contents(generated) == before


def test_a_record_in_the_wrong_place_is_told(generated: NetworkDirectory) -> None:
    one, two = (generated.node(name) / "node.json" for name in ("node1", "node2"))
    two.write_bytes(one.read_bytes())
    with pytest.raises(CorruptFileError, match="node2: holds node1's record"):
        generated.load()


def test_what_is_asked_must_be_what_is_there(generated: NetworkDirectory) -> None:
    spec = generated.read_spec()
    check_request(spec, {"nodes.validators": 3, "chain_id": None, "name": "bank"}, generated)
    with pytest.raises(UsageError, match=r"exists already, with nodes\.validators: 3, not 5"):
        check_request(spec, {"nodes.validators": 5}, generated)


def test_a_spec_written_by_hand_is_taken_as_it_is(tmp_path: Path) -> None:
    directory = NetworkDirectory(tmp_path)
    text = b"# mine\n" + spec_to_yaml(spec_of(1))
    directory.spec.write_bytes(text)
    assert len(make(directory).nodes) == 1
    assert directory.spec.read_bytes() == text


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 2}, ["a"]),
        ({"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 1}}, ["a.b"]),
        ({"a": 1}, {}, ["a"]),
        ({}, {"a": {"b": 1}}, ["a"]),
        ({"a": [1]}, {"a": [2]}, ["a"]),
    ],
)
def test_differences_are_named_by_their_paths(one: object, other: object, found: list[str]) -> None:
    assert differences(one, other) == found
