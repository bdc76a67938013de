"""The Compose project: a golden file, the same bytes every time, and what differs with the spec."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from samples import identity_number, spec_of

from quorumkit.addresses import Endpoint
from quorumkit.directory import NetworkDirectory
from quorumkit.identities.generated import generate
from quorumkit.plan import Network, NodeEndpoints, node_name, plan
from quorumkit.progress import silent
from quorumkit.providers import compose_project, compose_subnet
from quorumkit.providers.compose_mapped import MappedComposeProvider
from quorumkit.providers.subnets import address, manager_address
from quorumkit.render.compose import render_compose, services_of
from quorumkit.spec import NetworkSpec

GOLDEN = Path(__file__).parent / "golden/compose.yaml"
SUBNET = "172.28.7.0/24"


def network_of(spec: NetworkSpec) -> Network:
    """A plan with addresses as the runtime gives them."""
    total = spec.nodes.total
    manager = spec.transaction_manager is not None
    endpoints = [
        NodeEndpoints(
            p2p=Endpoint(address(SUBNET, n, total), 30303),
            p2p_bind=Endpoint("0.0.0.0", 30303),
            rpc_bind=Endpoint("0.0.0.0", 8545),
            rpc_url=f"http://127.0.0.1:{8544 + n}",
            rpc_names=("localhost", node_name(n)),
            tm=Endpoint(manager_address(SUBNET, n), 9001) if manager else None,
            tm_bind=Endpoint("0.0.0.0", 9001) if manager else None,
        )
        for n in range(1, total + 1)
    ]
    return plan(spec, [identity_number(n) for n in range(1, total + 1)], endpoints)


def rendered(spec: NetworkSpec, user: str = "1000:1000") -> dict[str, bytes]:
    return render_compose(network_of(spec), image="quorumkit/node:1-geth1", user=user, subnet=SUBNET)


def parsed(spec: NetworkSpec, **options: str) -> Any:
    return YAML(typ="safe", pure=True).load(io.BytesIO(rendered(spec, **options)["compose.yaml"]))


def test_it_is_the_file_that_was_agreed_on() -> None:
    """Change the golden file when the change is meant."""
    assert rendered(spec_of(2, 1))["compose.yaml"].decode() == GOLDEN.read_text()


def test_the_same_network_gives_the_same_bytes() -> None:
    assert rendered(spec_of(7)) == rendered(spec_of(7))


def test_the_projects_name_is_where_both_versions_of_compose_look() -> None:
    assert rendered(spec_of())[".env"] == b"COMPOSE_PROJECT_NAME=bank\n"
    assert "name" not in parsed(spec_of())


@pytest.mark.parametrize("user", ["1000:1000", "10001:10001"])
def test_containers_run_as_the_files_owner(user: str) -> None:
    services = parsed(spec_of(), user=user)["services"]
    assert {service["user"] for service in services.values()} == {user}


def test_each_service_has_its_own_directory_port_and_address_and_all_limits() -> None:
    spec = spec_of(3, compose={"memory": "512m", "pids": 100})
    services = parsed(spec)["services"]
    assert list(services) == ["node1", "node2", "node3"]
    for number, (name, service) in enumerate(services.items(), start=1):
        assert service["volumes"] == [f"./nodes/{name}:/node", "./genesis.json:/genesis.json:ro"]
        assert service["ports"] == [f"127.0.0.1:{8544 + number}:8545"]
        assert service["networks"] == {"quorum": {"ipv4_address": f"172.28.7.{10 + number}"}}
        assert (service["mem_limit"], service["pids_limit"]) == ("512m", 100)
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["restart"] == "unless-stopped"


def test_an_image_of_our_own_is_never_fetched_and_one_that_was_named_may_be() -> None:
    assert parsed(spec_of())["services"]["node1"]["pull_policy"] == "never"
    named = spec_of(compose={"image": "registry.example/node:1"})
    assert "pull_policy" not in parsed(named)["services"]["node1"]
    assert b"image build" not in rendered(named)["compose.yaml"]


def tessera_spec(nodes: int = 3, observers: int = 0, **fields: Any) -> NetworkSpec:
    manager = {"kind": "tessera", "image": "registry.example/tessera:1"}
    return spec_of(
        nodes, observers, runtime="compose", engine={"kind": "goquorum"}, transaction_manager=manager, **fields
    )


def test_tessera_is_a_container_of_its_own_that_shares_nothing_but_its_directory() -> None:
    spec = tessera_spec(2, compose={"memory": "512m", "pids": 100})
    project = parsed(spec, user="1000:1000")
    assert list(project) == ["x-node", "x-manager", "services", "networks"]
    services = project["services"]
    assert list(services) == ["node1", "node2", "node1-tm", "node2-tm"]
    for number in (1, 2):
        node, manager = services[f"node{number}"], services[f"node{number}-tm"]
        assert node["depends_on"] == [f"node{number}-tm"]
        assert node["networks"] == {"quorum": {"ipv4_address": f"172.28.7.{10 + number}"}}
        assert manager["image"] == "registry.example/tessera:1"
        assert manager["volumes"] == [f"./nodes/node{number}/tm:/node/tm"]
        assert manager["working_dir"] == "/node"
        assert manager["networks"] == {"quorum": {"ipv4_address": f"172.28.7.{255 - number}"}}
        assert "ports" not in manager


def test_a_network_that_grows_has_its_managers_made_anew_and_no_node() -> None:
    before, after = parsed(tessera_spec(2))["services"], parsed(tessera_spec(2, observers=1))["services"]
    assert before["node1"] == after["node1"]
    assert before["node1-tm"] != after["node1-tm"]  # it has one more peer
    assert before["node1-tm"]["networks"] == after["node1-tm"]["networks"]
    assert set(after) - set(before) == {"node3", "node3-tm"}


def test_tessera_is_confined_as_the_nodes_are() -> None:
    services = parsed(tessera_spec(2))["services"]
    for field in ("user", "restart", "read_only", "cap_drop", "security_opt", "mem_limit", "pids_limit", "logging"):
        assert services["node1-tm"][field] == services["node1"][field], field
    # It cannot load its library from where nothing may be executed.
    assert services["node1-tm"]["tmpfs"] == ["/tmp:exec"]
    assert "/upcheck" in services["node1-tm"]["healthcheck"]["test"][1]


def test_without_another_the_official_image_of_the_version_is_taken() -> None:
    spec = spec_of(1, runtime="compose", engine={"kind": "goquorum"}, transaction_manager={"kind": "tessera"})
    assert parsed(spec)["services"]["node1-tm"]["image"] == "quorumengineering/tessera:24.4.2"


def test_ours_has_no_container_of_its_own() -> None:
    project = parsed(spec_of(2, runtime="compose", engine={"kind": "goquorum"}))
    assert list(project["services"]) == ["node1", "node2"] and "x-manager" not in project


def test_what_is_done_to_a_node_is_done_to_its_manager() -> None:
    assert services_of(tessera_spec(), ["node2"]) == ["node2", "node2-tm"]
    assert services_of(spec_of(), ["node2"]) == ["node2"]


def _init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[NetworkDirectory, Any]:
    monkeypatch.setattr(compose_subnet, "docker_subnets", dict)
    monkeypatch.setattr(compose_project, "docker", lambda *arguments: "")
    directory = NetworkDirectory(tmp_path / "bank")
    spec = spec_of(runtime="compose")
    runtime = MappedComposeProvider(directory, spec)
    runtime.render(generate(directory, spec, runtime.addresses, silent))
    return directory, YAML(typ="safe", pure=True).load(directory.compose)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_that_root_makes_are_given_to_the_images_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, project = _init(tmp_path, monkeypatch)
    assert project["services"]["node1"]["user"] == "10001:10001"
    assert {path.stat().st_uid for path in directory.node("node1").rglob("*")} == {10001}
    assert directory.spec.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="for anybody but root")
def test_files_that_a_user_makes_stay_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, project = _init(tmp_path, monkeypatch)
    assert project["services"]["node1"]["user"] == f"{os.geteuid()}:{os.getegid()}"


def test_a_rendered_network_keeps_its_subnet_and_one_that_outgrew_it_gets_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, project = _init(tmp_path, monkeypatch)
    subnet = project["networks"]["quorum"]["ipam"]["config"][0]["subnet"]
    assert MappedComposeProvider(directory, spec_of(10, runtime="compose"))._subnet.choose() == subnet
    larger = MappedComposeProvider(directory, spec_of(300, runtime="compose"))._subnet.choose()
    assert larger != subnet and larger.endswith("/23")
