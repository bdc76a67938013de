"""What the chart renders, without running it."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cluster import CHART, command, template
from ruamel.yaml import YAML

from quorumkit.consensus import consensus_of
from quorumkit.engines import recipes
from quorumkit.spec import parse_spec

GOLDEN = Path(__file__).parent / "golden"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))


def rendered(*arguments: str | Path) -> str:
    """What `helm template` gives, with the join secret, which is another each time, replaced."""
    return re.sub(r'(?m)^(  "join-secret": )\S+$', r"\1c2VjcmV0", template(*arguments).stdout)


def documents(*arguments: str | Path) -> dict[tuple[str, str], Any]:
    """By kind and name."""
    found = YAML(typ="safe", pure=True).load_all(rendered(*arguments))
    return {(each["kind"], each["metadata"]["name"]): each for each in found if each}


def refused(*settings: str) -> str:
    """What helm says of wrong values."""
    return template("--set", ",".join(settings), code=1).stderr


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_it_lints_clean(values: Path) -> None:
    said = command("helm", "lint", "--strict", "--kube-version", "1.34.0", CHART, "--values", values).stdout
    assert "[WARNING]" not in said
    assert "[ERROR]" not in said


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_it_renders_what_it_did_before(values: Path) -> None:
    """A change of the chart shows in the review as a change of these files."""
    golden = GOLDEN / values.name.replace("-values", "")
    text = rendered("--values", values)
    if not golden.exists():
        golden.write_text(text, encoding="utf-8")
        pytest.fail(f"{golden.name} was missing and is written now: look at it")
    assert golden.read_text(encoding="utf-8") == text, f"if that is meant, remove {golden} and run this again"


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.name)
def test_the_cluster_knows_every_field(values: Path, new_namespace: Callable[[], str]) -> None:
    """Checked by the API server itself, strictly, in a namespace that warns of what `restricted` forbids."""
    texts = [each for each in rendered("--values", values).split("\n---\n") if "\nkind: ServiceMonitor\n" not in each]
    namespace = new_namespace()
    apply = ["kubectl", "--namespace", namespace, "apply", "--dry-run=server", "--validate=strict", "--filename=-"]
    done = command(*apply, input="\n---\n".join(texts))
    assert done.stdout.count("created (server dry run)") == len([each for each in texts if "\nkind: " in each])
    assert "Warning" not in done.stderr


def test_the_spec_that_pods_get_is_one() -> None:
    values = CHART / "ci/everything-values.yaml"
    text = documents("--values", values)["ConfigMap", "bank-spec"]["data"]["quorumkit.yaml"]
    spec = parse_spec(YAML(typ="safe", pure=True).load(text))
    assert (spec.name, spec.chain_id, spec.nodes.validators, spec.nodes.observers) == (
        "bank-of-examples",
        20261124,
        5,
        0,
    )
    assert (spec.consensus.period, spec.engine.state, spec.genesis.gas_limit) == (5, "pruned", 100_000_000)
    assert spec.genesis.node_balance == 0
    assert spec.genesis.alloc == {"0x00000000000000000000000000000000000000aa": 10**27}


def test_defaults_are_those_of_the_spec() -> None:
    text = documents()["ConfigMap", "mynet-spec"]["data"]["quorumkit.yaml"]
    spec = parse_spec(YAML(typ="safe", pure=True).load(text))
    default = parse_spec({"name": "mynet", "runtime": "kubernetes", "nodes": {"validators": 10}})
    assert spec == default


@pytest.mark.parametrize("validators", [1, 2, 3, 4, 5, 7, 10])
def test_the_disruption_budget_keeps_a_quorum_of_the_validators_and_counts_no_observer(validators: int) -> None:
    budget = documents("--set", f"replicaCount={validators + 2},validators={validators},network.consensus.kind=clique")[
        "PodDisruptionBudget", "mynet-validators"
    ]["spec"]
    assert budget["minAvailable"] == consensus_of("clique").quorum(validators)
    [index] = budget["selector"]["matchExpressions"]
    assert index == {
        "key": "apps.kubernetes.io/pod-index",
        "operator": "In",
        "values": [str(number) for number in range(validators)],
    }


@pytest.mark.parametrize(("engine", "kind"), [(each.kind, kind) for each in recipes() for kind in each.consensus])
@pytest.mark.parametrize("validators", [1, 3, 4, 6, 7, 10])
def test_the_disruption_budget_goes_by_the_consensus_kind(engine: str, kind: str, validators: int) -> None:
    settings = f"replicaCount={validators},network.engine.kind={engine},network.consensus.kind={kind}"
    budget = documents("--set", settings)["PodDisruptionBudget", "mynet-validators"]["spec"]
    assert budget["minAvailable"] == consensus_of(kind).quorum(validators)


def test_goquorums_defaults_are_those_of_the_spec() -> None:
    rendered = documents("--set", "network.engine.kind=goquorum,replicaCount=4")
    spec = parse_spec(YAML(typ="safe", pure=True).load(rendered["ConfigMap", "mynet-spec"]["data"]["quorumkit.yaml"]))
    engine = {"kind": "goquorum"}
    assert spec == parse_spec({"name": "mynet", "runtime": "kubernetes", "nodes": {"validators": 4}, "engine": engine})
    [container] = rendered["StatefulSet", "mynet"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"quorumkit/node:{version('quorumkit')}-goquorum{spec.engine.version}"


def test_no_manager_stands_beside_a_client_where_none_is_wanted() -> None:
    for settings in ("network.engine.kind=goquorum,network.transactionManager=none", "network.engine.kind=geth"):
        rendered = documents("--set", settings)
        text = rendered["ConfigMap", "mynet-spec"]["data"]["quorumkit.yaml"]
        assert parse_spec(YAML(typ="safe", pure=True).load(text)).transaction_manager is None
        assert "tm" not in {port["name"] for port in rendered["Service", "mynet-peers"]["spec"]["ports"]}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("network.consensus.kind=qbft",), "network.consensus.kind: geth has no qbft (it has "),
    ],
)
def test_what_a_client_cannot_do_is_refused(settings: tuple[str, ...], said: str) -> None:
    assert said in refused(*settings)


@pytest.mark.parametrize(
    ("engine", "consensus", "ports"), [("goquorum", "raft", {"raft", "tm"}), ("geth", "bft", {"bft", "light"})]
)
def test_only_peers_reach_what_peers_use(engine: str, consensus: str, ports: set[str]) -> None:
    rendered = documents("--set", f"network.engine.kind={engine},network.consensus.kind={consensus}")
    policy = rendered["NetworkPolicy", "mynet"]["spec"]
    peers = [{"podSelector": policy["podSelector"]}]
    allowed = {port["port"]: rule["from"] for rule in policy["ingress"] for port in rule["ports"]}
    assert {name for name, whom in allowed.items() if whom == peers} == {"p2p", "exchange"} | ports


def test_only_peers_reach_the_peer_and_exchange_ports() -> None:
    policy = documents("--set", "network.consensus.kind=clique")["NetworkPolicy", "mynet"]["spec"]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "node"
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    peers = {"podSelector": policy["podSelector"]}
    for rule in policy["ingress"]:
        ports = {port["port"] for port in rule["ports"]}
        if ports & {"p2p", "exchange"}:
            assert rule["from"] == [peers]
        assert rule["from"], "an empty list would let everybody in"
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == {
        "p2p",
        "exchange",
        "rpc",
        "health",
    }


def test_nobody_but_the_network_may_use_json_rpc_where_the_list_is_empty() -> None:
    policy = documents("--set-json", "networkPolicy.rpcFrom=[]", "--set-json", "networkPolicy.healthFrom=[]")
    rules = policy["NetworkPolicy", "mynet"]["spec"]["ingress"]
    own = {"app.kubernetes.io/name": "quorumkit", "app.kubernetes.io/instance": "mynet"}
    for rule in rules:
        assert [each["podSelector"]["matchLabels"].items() >= own.items() for each in rule["from"]] == [True]


def test_the_pod_has_no_rights_it_does_not_need() -> None:
    pod = documents()["StatefulSet", "mynet"]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {"/node", "/tmp"}


def test_json_rpc_answers_to_every_name_that_leads_to_it() -> None:
    [container] = documents("--set", "ingress.enabled=true,ingress.host=quorum.example,rpc.hostNames[0]=more.example")[
        "StatefulSet", "mynet"
    ]["spec"]["template"]["spec"]["containers"]
    names = next(each["value"] for each in container["env"] if each["name"] == "QUORUMKIT_RPC_NAMES").split(",")
    expected = {"localhost", "mynet-rpc", "mynet-rpc.default.svc", "mynet-rpc.default.svc.cluster.local",
                "$(POD_NAME).mynet-peers", "quorum.example", "more.example"}  # fmt: skip
    assert expected <= set(names)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("replicaCount=0", "/replicaCount"),
        ("replicaCount=many", "/replicaCount"),
        ("replicacount=4", "replicacount"),
        ("validators=0", "/validators"),
        ("network.chainId=0", "/network/chainId"),
        ("network.genesis.nodeBalance=1.5", "/network/genesis/nodeBalance"),
        ("network.engine.state=fast", "/network/engine/state"),
        ("network.engine.kind=besu", "/network/engine/kind"),
        ("network.consensus.kind=pow", "/network/consensus/kind"),
        ("network.transactionManager=tessera", "/network/transactionManager"),
        ("image.digest=sha256:12", "/image/digest"),
        ("updateStrategy.type=Recreate", "/updateStrategy/type"),
        ("rpc.port=70000", "/rpc/port"),
        ("spread=wide", "/spread"),
        ("persistence.size=0", "/persistence/size"),
    ],
)
def test_a_wrong_value_is_refused_by_name(setting: str, named: str) -> None:
    said = refused(setting)
    assert "don't meet the specifications of the schema" in said
    assert named in said


def test_a_network_begins_with_all_its_validators() -> None:
    assert "a network of 4 validators begins with all of them, not with 3 nodes" in refused(
        "replicaCount=3", "validators=4"
    )


def test_an_ingress_without_a_host_is_refused() -> None:
    assert "the Ingress needs a host name" in refused("ingress.enabled=true")


@pytest.mark.parametrize("name", ["1st", "a" * 41])
def test_a_name_that_services_cannot_have_is_refused(name: str) -> None:
    assert "fullnameOverride" in refused(f"fullnameOverride={name}")


def test_a_release_name_that_services_cannot_have_is_refused() -> None:
    said = command("helm", "template", "1st", CHART, "--kube-version", "1.34.0", code=1).stderr
    assert "set fullnameOverride" in said
