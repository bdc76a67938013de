"""Each of the chart's values with what people give: null, numbers, booleans, texts that look like others. No pods run.

What is not taken is refused in words that name the value; what is taken comes out as it went in.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cluster import CHART, template
from ruamel.yaml import YAML

from quorumkit.client_settings import SAFE_MODULES
from quorumkit.engines import recipes
from quorumkit.identity.keystore import checksum_address
from quorumkit.notation import load_yaml
from quorumkit.spec import NetworkSpec, parse_spec

FIRST = Path(__file__).parent / "first-values.yaml"
"""All values that the chart had at first."""


ON_CLIQUE = {"consensus": {"kind": "clique"}}
"""Values of `network` for what is another with another consensus kind."""


def defaults() -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load((CHART / "values.yaml").read_text(encoding="utf-8")))


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Every value's path, maps' too."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, f"{path}.{name}" if path else name)


def run(values: dict[str, Any], chart: Path = CHART, *more: str) -> subprocess.CompletedProcess[str]:
    words = ["helm", "template", "mynet", str(chart), "--kube-version", "1.34.0", "--values=-", *more]
    return subprocess.run(words, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=120)


def rendered(values: dict[str, Any] | None = None, chart: Path = CHART) -> dict[tuple[str, str], Any]:
    done = run(values or {}, chart)
    assert done.returncode == 0, done.stderr
    return by_name(done.stdout)


def by_name(text: str) -> dict[tuple[str, str], Any]:
    found = YAML(typ="safe", pure=True).load_all(text)
    result = {(each["kind"], each["metadata"]["name"]): each for each in found if each}
    result.get(("Secret", "mynet-join"), {}).pop("data", None)  # another each time
    return result


def refused(values: dict[str, Any]) -> str:
    done = run(values)
    assert done.returncode != 0, "taken"
    return done.stderr


def put(values: dict[str, Any], path: str, value: Any) -> None:
    *outer, last = path.split(".")
    for name in outer:
        values = values.setdefault(name, {})
    values[last] = value


def at(path: str, value: Any) -> dict[str, Any]:
    """That value alone."""
    values: dict[str, Any] = {}
    put(values, path, value)
    return values


def spec_in(documents: dict[tuple[str, str], Any]) -> NetworkSpec:
    return parse_spec(load_yaml(documents["ConfigMap", "mynet-spec"]["data"]["quorumkit.yaml"]))


def nulls(value: Any, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    for name, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else []
    ):
        yield from nulls(inner, f"{path}.{name}")


def check_null(path: str) -> str | None:
    """What is wrong with the chart where that value is null."""
    done = run(at(path, None))
    if done.returncode == 0:
        documents = by_name(done.stdout)
        spec_in(documents)
        # An empty map of Kubernetes may be left out, but no field of ours may become nothing.
        empty = [f"{name}{where}" for name, document in documents.items() for where in nulls(document)]
        return f"{path}: null in {empty}" if empty else None
    name = path.rpartition(".")[2]
    if name in done.stderr and "don't meet the specifications of the schema" in done.stderr:
        return None
    return f"{path}: {done.stderr}"


def test_null_is_a_default_or_refused_by_name() -> None:
    with ThreadPoolExecutor(4) as pool:
        problems = [problem for problem in pool.map(check_null, paths(defaults())) if problem]
    assert not problems, "\n".join(problems)


def test_values_kept_from_the_chart_of_before_are_enough(tmp_path: Path) -> None:
    """`helm upgrade --reuse-values` gives the new templates the old chart's values and no others. The consensus kind of
    then, of which those values are, is read back from the cluster."""
    chart = tmp_path / "quorumkit"
    shutil.copytree(CHART, chart)
    shutil.copy(FIRST, chart / "values.yaml")
    assert rendered({"network": ON_CLIQUE}, chart) == rendered({"network": ON_CLIQUE})


def test_probes_that_are_null_are_left_out() -> None:
    probes = {"startup": None, "liveness": None}
    [container] = rendered({"probes": probes})["StatefulSet", "mynet"]["spec"]["template"]["spec"]["containers"]
    assert {name for name in container if name.endswith("Probe")} == {"readinessProbe"}


WRONG = [
    ("network.name", 123), ("network.name", 1e5), ("network.name", True), ("network.name", "1e5"),
    ("fullnameOverride", True), ("nameOverride", 7), ("replicaCount", "4"), ("replicaCount", 4.5),
    ("network.chainId", "1337"), ("network.genesis.nodeBalance", -1), ("network.genesis.nodeBalance", 1e21),
    ("image.tag", 1.1), ("image.tag", True), ("image.repository", 5), ("ingress.enabled", "false"),
    ("networkPolicy.enabled", "false"), ("serviceAccount.create", "yes"), ("rpc.ws.enabled", "true"),
    ("rpc.port", "8545"), ("rpc.nodePort", "30000"), ("persistence.size", 10), ("persistence.storageClass", "--"),
    ("podLabels.team", [1]), ("podAnnotations.note", {"a": 1}), ("podAnnotations.note", 1.5),
    ("rpc.hostNames", "rpc.example"), ("tolerations", "none"), ("network.engine.verbosity", 2),
    ("rpc.loadBalancerSourceRanges", ["10.0.0.1"]), ("ingress.hosts", ["rpc.example"]),
    ("extraVolumes", [{"emptyDir": {}}]), ("secretEnv", {"A B": "x"}),
    ("podDisruptionBudget.minAvailable", "half"), ("rpc.http.origins", ["https://app.example/"]),
    ("rpc.http.modules", ["eht"]), ("rpc.http.modules", []),
]  # fmt: skip


def test_what_a_value_cannot_be_is_refused_by_its_path() -> None:
    """Many at once: helm tells all."""
    left = list(WRONG)
    while left:
        values: dict[str, Any] = {}
        once = [case for number, case in enumerate(left) if case[0] not in {other for other, _ in left[:number]}]
        for path, value in once:
            put(values, path, value)
        said = refused(values)
        assert "don't meet the specifications of the schema" in said
        for path, value in once:
            assert f"at '/{path.replace('.', '/')}" in said, f"{path}={value!r}: {said}"
        left = [case for case in left if case not in once]


@pytest.mark.parametrize("name", ["true", "null", "yes", "on", "e1", "nan"])
def test_a_name_that_looks_like_something_else_stays_a_name(name: str) -> None:
    assert spec_in(rendered({"network": {"name": name}})).name == name
    assert (("StatefulSet", name)) in rendered({"fullnameOverride": name})


def test_numbers_that_set_makes_of_texts_are_taken_as_they_were_written() -> None:
    account = checksum_address("00" * 19 + "aa")
    settings = (f"image.tag=2,network.genesis.nodeBalance=1000,network.genesis.alloc.{account}=5,"
                "podLabels.number=1000000,podLabels.yes=true,podAnnotations.big=20261124,commonLabels.n=0,"
                "nodeSelector.gpu=true,rpc.annotations.internal=true,persistence.annotations.keep=7")  # fmt: skip
    documents = by_name(template("--set", settings).stdout)
    spec = spec_in(documents)
    assert (spec.genesis.node_balance, spec.genesis.alloc) == (1000, {account: 5})
    pods = documents["StatefulSet", "mynet"]["spec"]["template"]
    assert pods["spec"]["containers"][0]["image"] == "quorumkit/node:2"
    assert {name: pods["metadata"]["labels"][name] for name in ("number", "yes", "n")} == {
        "number": "1000000", "yes": "true", "n": "0"
    }  # fmt: skip
    assert pods["metadata"]["annotations"]["big"] == "20261124"
    assert pods["spec"]["nodeSelector"] == {"gpu": "true"}
    assert documents["Service", "mynet-rpc"]["metadata"]["annotations"] == {"internal": "true"}


@pytest.mark.parametrize(
    ("text", "wei"), [("1000 ether", 10**21), ("1e23", 10**23), ("0x539", 1337), ("0.5 Gwei", 5 * 10**8), ("7", 7)]
)
def test_amounts_are_taken_as_people_write_them(text: str, wei: int) -> None:
    account = "0x" + "aa" * 20
    spec = spec_in(rendered({"network": {"genesis": {"nodeBalance": text, "alloc": {account: text}}}}))
    assert (spec.genesis.node_balance, spec.genesis.alloc) == (wei, {account: wei})


def test_an_unquoted_account_and_one_that_is_there_twice_are_told() -> None:
    said = refused({"network": {"genesis": {"alloc": {"1390849295786071768276380950238675083608645509734": "1"}}}})
    assert "not an account address" in said
    assert "quote it" in said
    twice = {"0x" + "aa" * 20: "1", "0x" + "AA" * 20: "2"}
    assert "are one account" in refused({"network": {"genesis": {"alloc": twice}}})


def test_storage_class_minus_is_none_at_all() -> None:
    def claim(name: str) -> dict[str, Any]:
        documents = rendered({"persistence": {"storageClass": name}})
        return dict(documents["StatefulSet", "mynet"]["spec"]["volumeClaimTemplates"][0]["spec"])

    assert claim("-")["storageClassName"] == ""
    assert claim("fast")["storageClassName"] == "fast"
    assert "storageClassName" not in claim("")


@pytest.mark.parametrize(
    "value", ["podLabels", "commonLabels", "rpc.labels", "serviceMonitor.labels", "test.podLabels"]
)
@pytest.mark.parametrize("label", ["app.kubernetes.io/name", "app.kubernetes.io/component"])
def test_a_label_that_pods_are_found_by_is_refused(value: str, label: str) -> None:
    values = at(value, {label: "mine"})
    put(values, "serviceMonitor.enabled", True)
    said = refused(values)
    assert f"{value}: {label} is the chart's own" in said


def test_every_document_has_the_common_labels_and_no_key_twice() -> None:
    values = {"commonLabels": {"team": "ledger"}, "podLabels": {"team": "pods"}, "serviceAccount": {"create": True},
              "serviceMonitor": {"enabled": True}, "ingress": {"enabled": True, "host": "a.example"},
              "secretEnv": {"A": "b"}}  # fmt: skip
    documents = rendered(values)  # a key that is there twice does not parse
    assert {document["metadata"]["labels"]["team"] for document in documents.values()} == {"ledger"}
    template_ = documents["StatefulSet", "mynet"]["spec"]["template"]
    assert template_["metadata"]["labels"]["team"] == "pods"
    assert len(documents) == 13


def test_another_name_label_is_what_everything_is_found_by() -> None:
    documents = rendered({"nameOverride": "ledger"})
    text = json.dumps({str(key): value for key, value in documents.items()})
    assert '"app.kubernetes.io/name": "quorumkit"' not in text
    assert documents["Service", "mynet-rpc"]["spec"]["selector"]["app.kubernetes.io/name"] == "ledger"


def test_containers_beside_the_node_may_do_no_more_than_it_unless_it_is_said() -> None:
    values = {
        "initContainers": [{"name": "first", "image": "a", "args": ["{{ .Release.Name }}"]}],
        "extraContainers": [{"name": "beside", "image": "b", "securityContext": {"runAsUser": 5}}],
    }
    pod = rendered(values)["StatefulSet", "mynet"]["spec"]["template"]["spec"]
    [first], [node, beside] = pod["initContainers"], pod["containers"]
    assert first["args"] == ["mynet"]
    assert first["securityContext"] == node["securityContext"]
    assert beside["securityContext"] == {"runAsUser": 5}
    assert pod["automountServiceAccountToken"] is False


def test_the_charts_own_names_of_containers_and_volumes_are_not_anybodys() -> None:
    for value in ("initContainers", "extraContainers"):
        assert f"{value}: node is the name of the chart's own container" in refused({value: [{"name": "node"}]})
    assert "extraVolumes: data is the name of a volume" in refused({"extraVolumes": [{"name": "data", "emptyDir": {}}]})


def test_variables_take_the_place_of_the_charts_own_and_secrets_are_kept_in_a_secret() -> None:
    values = {"extraEnv": [{"name": "QUORUMKIT_HEALTH", "value": "0.0.0.0:9545"}, {"name": "N", "value": 8}],
              "secretEnv": {"TOKEN": "hush"}, "envFrom": [{"configMapRef": {"name": "more"}}]}  # fmt: skip
    documents = rendered(values)
    [container] = documents["StatefulSet", "mynet"]["spec"]["template"]["spec"]["containers"]
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names))
    assert next(each for each in container["env"] if each["name"] == "N")["value"] == "8"
    assert documents["Secret", "mynet-env"]["stringData"] == {"TOKEN": "hush"}
    without = {key: document for key, document in documents.items() if key != ("Secret", "mynet-env")}
    assert "hush" not in json.dumps([*without.values()])
    assert "extraEnv: A is there twice" in refused({"extraEnv": [{"name": "A", "value": "1"}] * 2})


def test_a_claim_of_ones_own_is_one_nodes() -> None:
    mine = {"persistence": {"existingClaim": "mine"}}
    assert "one claim holds one node's keys and chain, not those of 4" in refused(mine | {"replicaCount": 4})
    pods = rendered(mine | {"replicaCount": 1})["StatefulSet", "mynet"]["spec"]
    assert "volumeClaimTemplates" not in pods
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}} in pods["template"]["spec"]["volumes"]


def test_the_ingress_takes_hosts_and_one_host_and_json_rpc_answers_to_all() -> None:
    ingress = {"enabled": True, "host": "a.example", "tlsSecret": "a-tls",
               "hosts": [{"host": "b.example", "paths": ["/x", {"path": "/y", "pathType": "Exact"}]},
                         {"host": "c.example"}],
               "tls": [{"secretName": "bc-tls", "hosts": ["b.example", "c.example"]}]}  # fmt: skip
    documents = rendered({"ingress": ingress})
    spec = documents["Ingress", "mynet-rpc"]["spec"]
    paths = {
        rule["host"]: [(path["path"], path["pathType"]) for path in rule["http"]["paths"]] for rule in spec["rules"]
    }
    assert paths == {"a.example": [("/", "Prefix")], "b.example": [("/x", "Prefix"), ("/y", "Exact")],
                     "c.example": [("/", "Prefix")]}  # fmt: skip
    assert [each["secretName"] for each in spec["tls"]] == ["a-tls", "bc-tls"]
    [container] = documents["StatefulSet", "mynet"]["spec"]["template"]["spec"]["containers"]
    names = next(each["value"] for each in container["env"] if each["name"] == "QUORUMKIT_RPC_NAMES").split(",")
    assert set(paths) <= set(names)


def test_the_budget_is_what_is_asked_for_zero_too() -> None:
    def budget(**values: Any) -> dict[str, Any]:
        budget = {"podDisruptionBudget": values, "network": ON_CLIQUE}
        spec = dict(rendered(budget)["PodDisruptionBudget", "mynet-validators"]["spec"])
        return {name: spec[name] for name in ("minAvailable", "maxUnavailable") if name in spec}

    assert budget() == {"minAvailable": 6}
    assert budget(minAvailable=0) == {"minAvailable": 0}
    assert budget(maxUnavailable="25%") == {"maxUnavailable": "25%"}
    assert "exclude each other" in refused({"podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}})


def test_a_monitor_in_another_namespace_looks_into_this_one() -> None:
    monitor = {"enabled": True, "namespace": "monitoring"}
    found = rendered({"serviceMonitor": monitor})["ServiceMonitor", "mynet"]
    assert found["metadata"]["namespace"] == "monitoring"
    assert found["spec"]["namespaceSelector"] == {"matchNames": ["default"]}


def test_pods_are_placed_alike_for_the_test() -> None:
    aliases = [{"ip": "10.0.0.1", "hostnames": ["a"]}]
    values = {"runtimeClassName": "gvisor", "schedulerName": "mine", "hostAliases": aliases,
              "priorityClassName": "high", "imagePullSecrets": [{"name": "r"}]}  # fmt: skip
    documents = rendered(values)
    for pod in (
        documents["StatefulSet", "mynet"]["spec"]["template"]["spec"],
        documents["Pod", "mynet-verify"]["spec"],
    ):
        assert {name: pod[name] for name in values} == values


def test_the_test_may_reach_the_nodes_and_nobody_the_test() -> None:
    documents = rendered()
    policy = documents["NetworkPolicy", "mynet-verify"]["spec"]
    labels = documents["Pod", "mynet-verify"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    nodes = documents["NetworkPolicy", "mynet"]["spec"]["podSelector"]
    assert policy["egress"][0]["to"] == [{"podSelector": nodes}]
    assert {port["port"] for port in policy["egress"][0]["ports"]} == {"rpc", "health"}
    assert ("NetworkPolicy", "mynet-verify") not in rendered({"networkPolicy": {"enabled": False}})


def test_what_json_rpc_serves_goes_into_the_spec() -> None:
    rpc = {"http": {"modules": ["eth", "debug"], "origins": ["https://app.example"]},
           "ws": {"enabled": True, "port": 8546}, "dangerousModules": ["debug", "admin"]}  # fmt: skip
    engine = {"verbosity": 5, "clientArguments": ["--snapshot=false"]}
    documents = rendered({"rpc": rpc, "network": {**ON_CLIQUE, "engine": engine}})
    spec = spec_in(documents)
    assert (spec.rpc.http.modules, spec.rpc.http.origins) == (("eth", "debug"), ("https://app.example",))
    assert (spec.rpc.ws.enabled, spec.rpc.ws.modules) == (True, SAFE_MODULES)
    assert (spec.engine.verbosity, spec.engine.client_arguments) == (5, ("--snapshot=false",))
    ports = {port["name"]: port["targetPort"] for port in documents["Service", "mynet-rpc"]["spec"]["ports"]}
    assert ports == {"rpc": "rpc", "ws": "rpc"}


@pytest.mark.parametrize("module", ["admin", "debug", "personal", "miner", "clique"])
@pytest.mark.parametrize("part", ["http", "ws"])
def test_what_can_change_the_node_is_not_served_without_consent_by_name(part: str, module: str) -> None:
    said = refused({"rpc": {part: {"modules": ["eth", module]}}, "network": ON_CLIQUE})
    assert f"rpc.{part}.modules: with {module}, whoever reaches JSON-RPC can change the node" in said


def test_the_chart_knows_the_clients_modules_and_the_flags_that_are_not_a_persons_to_set() -> None:
    schema = json.loads((CHART / "values.schema.json").read_bytes())
    modules = {module for recipe in recipes() for module in recipe.api_modules}
    assert set(schema["definitions"]["modules"]["items"]["enum"]) == modules
    assert "geth has no istanbul" in refused({"rpc": {"dangerousModules": ["istanbul"]}})
    for flag in ("--datadir=/x", "--http.api=admin", "--ws", "--cache=1", "--unlock"):
        said = refused({"network": {**ON_CLIQUE, "engine": {"clientArguments": [flag]}}})
        assert f"network.engine.clientArguments: {flag.partition('=')[0]} is set by" in said
    for flag in ("attach", "-datadir", "--a b"):
        values = {"network": {**ON_CLIQUE, "engine": {"clientArguments": [flag]}}}
        assert flag == "--a b" or "/network/engine/clientArguments/0" in refused(values)
    flags = ["--cache.gc=5", "--rpc.gascap=0", "--identity=http"]
    rendered({"network": {**ON_CLIQUE, "engine": {"clientArguments": flags}}})


@pytest.mark.parametrize("kind", ["qbft", "raft"])
def test_notes_name_the_consensus_kind(kind: str, cluster: None) -> None:
    settings = f"network.engine.kind=goquorum,network.consensus.kind={kind},replicaCount=4"
    words = ["helm", "install", "mynet", str(CHART), "--dry-run=client", "--set", settings]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.partition("\nNOTES:\n")[2]
    assert f"4 validators, {kind} " in said
    assert "clique" not in said
    assert ("when there are transactions" in said) == (kind == "raft")


@pytest.fixture
def umbrella(tmp_path: Path) -> Path:
    """A chart that has this one among its dependencies, behind a condition."""
    path = tmp_path / "umbrella"
    (path / "charts").mkdir(parents=True)
    shutil.copytree(CHART, path / "charts/quorumkit")
    dependency = {"name": "quorumkit", "version": "0.1.0", "condition": "quorumkit.enabled", "tags": ["ledger"]}
    chart = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": [dependency]}
    (path / "Chart.yaml").write_text(json.dumps(chart))
    (path / "values.yaml").write_text(json.dumps({"global": {"imageRegistry": "r.example", "n": 1}}))
    return path


def test_it_stands_in_a_chart_of_charts(umbrella: Path) -> None:
    values: dict[str, Any] = {"quorumkit": {"enabled": True, "replicaCount": 4, "network": {"name": None}},
                              "global": {"more": {"a": None}}}  # fmt: skip
    documents = rendered(values, umbrella)
    assert documents["StatefulSet", "mynet"]["spec"]["replicas"] == 4
    assert spec_in(documents).name == "mynet"
    off = copy.deepcopy(values)
    off["quorumkit"]["enabled"] = False
    assert rendered(off, umbrella) == {}


def test_nulls_from_a_chart_above_are_defaults_or_refused_by_name(umbrella: Path) -> None:
    for path in ("podSecurityContext", "probes.startup", "image.tag", "rpc.ws", "serviceAccount", "ingress.hosts"):
        assert ("StatefulSet", "mynet") in rendered({"quorumkit": at(path, None)}, umbrella), path
    done = run({"quorumkit": at("networkPolicy.enabled", None)}, umbrella)
    assert done.returncode != 0
    assert "networkPolicy" in done.stderr
