"""Whose volumes, releases and claims are: by the mark on them, and from before there were marks by who is on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, RuntimeUnavailableError
from quorumkit.identities.agreed import raise_lost
from quorumkit.node.status import NodeStatus
from quorumkit.providers import volumes
from quorumkit.providers.belongings import Belongings, check_claims, check_release, unmarked
from quorumkit.providers.disks import check_none_begins_anew
from quorumkit.providers.known import is_known
from quorumkit.providers.volumes import Volumes, find_volumes

MINE, OTHER = "a" * 16, "b" * 16
NODES = ["node1", "node2"]


def belongings(
    *, chart: str | None = "quorumkit-0.1.0", mark: str | None = MINE, claims: dict[str, str | None] | None = None
) -> Belongings:
    return Belongings("bank", chart, chart is not None, mark, claims or {})


@pytest.mark.parametrize(("found", "said"), [
    (belongings(chart="postgresql-15.2.1", mark=None), "another release is named bank, of the chart postgresql-15.2.1"),
    (belongings(mark=OTHER), f"another network is named bank here: .*{OTHER}, and this network's is {MINE}"),
])  # fmt: skip
def test_a_release_of_somebody_else_is_refused(found: Belongings, said: str) -> None:
    with pytest.raises(RuntimeUnavailableError, match=said):
        check_release(found, MINE)


@pytest.mark.parametrize("found", [
    belongings(), belongings(mark=None), belongings(chart=None, mark=None), belongings(chart="quorumkit-0.2.0"),
])  # fmt: skip
def test_its_own_release_or_none_is_not(found: Belongings) -> None:
    check_release(found, MINE)


def test_claims_of_another_network_are_not_taken_and_not_removed() -> None:
    found = belongings(claims={"data-bank-0": OTHER, "data-bank-1": MINE, "data-bank-2": None})
    assert found.claims_of(MINE) == ["data-bank-1"]
    assert found.claims_of(None) == []
    assert found.unmarked_claims == ["data-bank-2"]
    for adopt in (True, False):
        with pytest.raises(RuntimeUnavailableError, match="another network named bank left data-bank-0") as refused:
            check_claims(found, MINE, adopt=adopt)
        assert refused.value.hint and f"put {OTHER} back in it" in refused.value.hint


def test_claims_without_a_mark_are_taken_only_where_the_nodes_can_be_compared() -> None:
    found = belongings(chart=None, mark=None, claims={"data-bank-0": None, "data-bank-1": None})
    check_claims(found, MINE, adopt=True)
    with pytest.raises(RuntimeUnavailableError, match="are not known to be this network's") as refused:
        check_claims(found, MINE, adopt=False)
    told = f"kubectl label pvc data-bank-0 data-bank-1 quorumkit.org/network={MINE}"
    assert refused.value.hint and told in refused.value.hint
    assert f"kubectl label statefulset bank quorumkit.org/network={MINE}" in str(unmarked(belongings(), MINE).hint)


def test_nodes_are_known_by_their_keys(generated: NetworkDirectory) -> None:
    network = generated.load()
    first, stranger = (
        str(network.node(1).enode),
        str(network.node(1).enode).replace(network.node(1).identity.enode_key, "c" * 128),
    )
    assert is_known(generated, [NodeStatus("node1", 1, "validator", enode=first)])
    assert not is_known(generated, [NodeStatus("node1", 1, "validator", enode=stranger)])
    assert not is_known(generated, [NodeStatus("node2", 2, "validator", enode=first)])
    assert not is_known(generated, [NodeStatus("node1", 1, "validator")])


def test_a_network_without_its_disks_does_not_begin_anew(generated: NetworkDirectory) -> None:
    names = ["node1", "node2", "node3", "node4", "node5"]
    assert check_none_begins_anew(generated, names, set(names), what="volumes") == []
    assert check_none_begins_anew(generated, names, {"node1", "node2", "node4"}, what="volumes") == ["node3"]
    with pytest.raises(NodeError, match="its nodes' volumes are gone") as refused:
        check_none_begins_anew(generated, names, {"node5"}, what="volumes", strange=["bank_node1_b"])
    assert refused.value.hint and "if network-id was lost and bank_node1_b is its own" in refused.value.hint
    new = NetworkDirectory(generated.path.parent / "new")
    assert check_none_begins_anew(new, names, set(), what="volumes") == []


def test_nodes_that_lost_their_disks_are_told_with_the_way_out() -> None:
    raise_lost([])
    with pytest.raises(NodeError, match=r"^node3: lost its disk, so it has new keys") as refused:
        raise_lost(["node3"])
    assert refused.value.hint and "quorumkit node replace node3" in refused.value.hint
    with pytest.raises(NodeError, match=r"^node3, node4: lost their disks, so they have new keys"):
        raise_lost(["node3", "node4"])


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, ...]]]:
    """Makes Docker have these volumes (by name, with their labels) and tell these keys; the commands it was given."""

    def have(labels: dict[str, dict[str, str] | None], keys: dict[str, str] | None = None) -> list[tuple[str, ...]]:
        asked: list[tuple[str, ...]] = []

        def answer(*words: str) -> str:
            asked.append(words)
            if words[:2] == ("volume", "ls"):
                return "\n".join(labels)
            if words[:2] == ("volume", "inspect"):
                return json.dumps([{"Name": name, "Labels": labels[name]} for name in words[2:]])
            return json.dumps(keys or {})

        monkeypatch.setattr(volumes, "docker", answer)
        return asked

    return have


def found(directory: NetworkDirectory, containers: dict[str, Any] | None = None) -> Volumes:
    return find_volumes(directory, "bank", MINE, NODES, containers or {}, image="image")


def test_volumes_with_the_mark_are_its_own_and_no_others(
    generated: NetworkDirectory, docker: Callable[..., list[Any]]
) -> None:
    mine = f"bank_node1_{MINE}"
    docker({mine: {"org.quorumkit.network": MINE}, f"bank_node2_{OTHER}": None, "bank_node11_x": None})
    told = found(generated)
    assert (dict(told.marked), dict(told.plain)) == ({"node1": mine}, {})
    assert told.strange == (f"bank_node2_{OTHER}",)


@pytest.mark.parametrize("labels", [None, {}, {"org.quorumkit.network": OTHER}])
def test_a_volume_with_its_name_and_without_its_label_is_refused(
    labels: dict[str, str] | None, generated: NetworkDirectory, docker: Callable[..., list[Any]]
) -> None:
    docker({f"bank_node1_{MINE}": labels})
    with pytest.raises(RuntimeUnavailableError, match="was not made for this network"):
        found(generated)


def test_volumes_from_before_there_were_marks_are_known_by_the_node_on_them(
    generated: NetworkDirectory, docker: Callable[..., list[Any]]
) -> None:
    keys = {node.name: node.identity.enode_key for node in generated.load().nodes}
    asked = docker({"bank_node1": {}, "bank_node2": {}}, {"node1": keys["node1"], "node2": "d" * 128})
    assert dict(found(generated).plain) == {"node1": "bank_node1"}
    [run] = [words for words in asked if words[0] == "run"]
    assert "bank_node1:/volumes/node1:ro" in run and run[run.index("--network") :][:2] == ("--network", "none")


def test_volumes_that_one_of_its_containers_has_are_its_own(
    generated: NetworkDirectory, docker: Callable[..., list[Any]]
) -> None:
    new = NetworkDirectory(generated.path.parent / "new")
    asked = docker({"bank_node1": {}, "bank_node2": {}})
    assert dict(found(new, {"node1": {"Mounts": [{"Name": "bank_node1"}]}}).plain) == {"node1": "bank_node1"}
    assert dict(found(new).plain) == {}, "of a network that knows no nodes, none is"
    assert not [words for words in asked if words[0] == "run"]
