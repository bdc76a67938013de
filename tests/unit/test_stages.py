"""What is done with a network, on a provider whose nodes run nowhere."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import planned, spec_of
from test_verify import Chain, FakeNode

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, NotRunningError, RpcError, UsageError, WaitTimeoutError
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network
from quorumkit.progress import silent
from quorumkit.spec import spec_to_yaml
from quorumkit.stages import replace as replacing
from quorumkit.stages import status as looking
from quorumkit.stages.change_nodes import Change, change_nodes
from quorumkit.stages.console import console_command
from quorumkit.stages.destroy import destroy_network
from quorumkit.stages.load import find_node
from quorumkit.stages.replace import replace_node
from quorumkit.stages.start import Started, start_network
from quorumkit.stages.status import statuses_of, watch_statuses
from quorumkit.stages.stop import stop_network
from quorumkit.stages.verify import VALUE, Verification
from quorumkit.stages.verify_network import verify_network
from quorumkit.stages.verify_urls import verify_urls
from support.fake_provider import FakeIdentities, FakeProvider


@pytest.fixture
def network() -> Network:
    return planned(spec_of(3))


@pytest.fixture
def directory(tmp_path: Path) -> NetworkDirectory:
    return NetworkDirectory(tmp_path / "my bank")


def with_clients(provider: FakeProvider, **fields: Any) -> FakeProvider:
    """Its nodes' clients answer, on one chain."""
    chain = Chain()
    provider.clients = {name: lambda: FakeNode(chain, **fields) for name in provider.states}
    return provider


def started(directory: NetworkDirectory, provider: FakeProvider, **options: Any) -> Started:
    options = {"check_programs": list, "timeout": 20.0, "progress": silent, **options}
    return start_network(directory, provider.network.spec, FakeIdentities(provider), provider, **options)


def test_a_new_network_is_formed_and_started(network: Network, directory: NetworkDirectory) -> None:
    provider = FakeProvider(network)
    checked: list[str] = []

    def check() -> list[str]:
        checked.append("checked")
        return ["geth changed"]

    result = started(directory, provider, check_programs=check)
    assert provider.calls == ["prepare", "acquire", "form", "start"]
    assert checked == ["checked"]  # noted for the next time; there is nothing that it could differ from
    assert [status.state for status in result.statuses] == ["running"] * 3
    assert (result.network, result.verification, result.changed, result.moved) == (network, None, [], [])


def test_what_changed_since_the_last_start_is_told(network: Network, directory: NetworkDirectory) -> None:
    directory.path.mkdir()
    directory.spec.write_bytes(spec_to_yaml(network.spec))
    provider = FakeProvider(network)
    assert started(directory, provider, check_programs=lambda: ["geth changed"]).changed == ["geth changed"]


def test_up_on_a_network_that_runs_starts_what_is_missing(network: Network, directory: NetworkDirectory) -> None:
    provider = FakeProvider(network, running=True)
    provider.states["node2"] = "stopped"
    assert [status.state for status in started(directory, provider).statuses] == ["running"] * 3
    assert "stop" not in provider.calls


def test_up_and_verify(network: Network, directory: NetworkDirectory) -> None:
    said: list[str] = []

    def progress(text: str, done: int | None = None, total: int | None = None) -> None:
        said.append(text)

    provider = with_clients(FakeProvider(network))
    result = started(directory, provider, verify=True, progress=progress)
    assert result.verification is not None
    assert result.verification.ok
    assert said[-1] == "reading a contract from every node"


def test_what_is_verified_and_wrong_is_a_result_and_no_error(network: Network, directory: NetworkDirectory) -> None:
    provider = with_clients(FakeProvider(network), value=7)
    verification = started(directory, provider, verify=True).verification
    assert verification is not None
    assert not verification.ok
    assert set(verification.reads.values()) == {7}


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("verify", [True, False])
def test_ctrl_c_in_the_middle_stops_what_was_started(
    verify: bool, network: Network, directory: NetworkDirectory
) -> None:
    provider = FakeProvider(network)
    provider.becomes["node3"] = "starting"
    provider.when_watched = press_ctrl_c
    with pytest.raises(KeyboardInterrupt):
        started(directory, provider, verify=verify)
    assert provider.calls[-2:] == ["start", "stop"]
    assert set(provider.states.values()) == {"stopped"}


def test_ctrl_c_leaves_a_network_that_ran_before(network: Network, directory: NetworkDirectory) -> None:
    provider = FakeProvider(network, running=True)
    provider.states["node3"] = "syncing"
    provider.when_watched = press_ctrl_c
    with pytest.raises(KeyboardInterrupt):
        started(directory, provider)
    assert "stop" not in provider.calls
    assert provider.states["node1"] == "running"


def test_who_is_late_is_named_with_what_to_do(network: Network, directory: NetworkDirectory) -> None:
    provider = FakeProvider(network)
    provider.becomes["node3"] = "syncing"
    provider.errors["node3"] = "no blocks yet"
    with pytest.raises(WaitTimeoutError) as caught:
        started(directory, provider, timeout=0.05)
    assert caught.value.message == "not complete after 0.05 s: node3 is syncing with 2 of 2 peers (no blocks yet)"
    assert "`quorumkit status '" in str(caught.value.hint)
    assert f"`quorumkit logs NODE -d '{directory.path}'`" in str(caught.value.hint)
    assert set(provider.states.values()) == {"running", "syncing"}  # left as it is


def test_a_node_that_cannot_run_ends_the_wait(network: Network, directory: NetworkDirectory) -> None:
    provider = FakeProvider(network)
    provider.becomes["node2"] = "failed"
    provider.errors["node2"] = "no such file"
    with pytest.raises(NodeError, match="node2: no such file") as caught:
        started(directory, provider)
    assert f"`quorumkit down '{directory.path}'` stops the rest" in str(caught.value.hint)


def test_hints_are_short_for_the_default_network(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    provider = FakeProvider(network)
    provider.becomes["node2"] = "failed"
    with pytest.raises(NodeError) as caught:
        started(NetworkDirectory(Path("mynet")), provider)
    assert caught.value.hint == "see `quorumkit logs node2`; `quorumkit down` stops the rest"


def verified(directory: NetworkDirectory, provider: FakeProvider) -> Verification:
    return asyncio.run(verify_network(directory, provider.network, provider, silent, 5))


def test_a_network_is_verified(network: Network, directory: NetworkDirectory) -> None:
    result = verified(directory, with_clients(FakeProvider(network, running=True)))
    assert result.ok
    assert result.reads == dict.fromkeys(("node1", "node2", "node3"), VALUE)


def test_blocks_that_do_not_come_are_told_with_where_to_look(network: Network, directory: NetworkDirectory) -> None:
    provider = with_clients(FakeProvider(network, running=True), heights=(3,))
    with pytest.raises(WaitTimeoutError) as caught:
        asyncio.run(verify_network(directory, network, provider, silent, 0.1))
    assert f"`quorumkit status '{directory.path}'`" in str(caught.value.hint)


def test_what_does_not_run_is_not_verified(network: Network, directory: NetworkDirectory) -> None:
    with pytest.raises(NotRunningError) as caught:
        verified(directory, FakeProvider(network))
    assert caught.value.hint == f"start it: quorumkit up '{directory.path}'"


def test_a_node_that_stops_beside_verify_is_named(network: Network, directory: NetworkDirectory) -> None:
    provider = with_clients(FakeProvider(network, running=True))
    provider.states["node2"] = "stopped"
    result = verified(directory, provider)
    assert not result.ok
    assert list(result.errors) == ["node2"]
    assert (result.reads["node1"], result.reads["node2"]) == (VALUE, None)


def test_a_network_that_stops_beside_verify_is_an_error(network: Network, directory: NetworkDirectory) -> None:
    """Its clients end between two requests."""
    provider = with_clients(FakeProvider(network, running=True), broken="eth_chainId")
    with pytest.raises(RpcError, match="connection lost"):
        verified(directory, provider)


@pytest.mark.parametrize(
    ("urls", "health", "message"),
    [
        (["node1:8545"], [], "--rpc: 'node1:8545' is not a URL"),
        (["http://a", "http://a"], [], "--rpc: a URL was given twice"),
        (["http://a"], ["ftp://a"], "--health: 'ftp://a' is not a URL"),
        (["http://a", "http://b"], ["http://a"], "--health: 1 URLs for 2 of --rpc"),
    ],
)
def test_wrong_urls_are_misuse(urls: list[str], health: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        asyncio.run(verify_urls(urls, health, silent, 5))
    assert caught.value.message == message


def test_stopping_tells_whether_anything_ran(network: Network) -> None:
    provider = FakeProvider(network, running=True)
    assert asyncio.run(stop_network(provider, silent)) is True
    assert asyncio.run(stop_network(provider, silent)) is False


def test_a_network_is_stopped_before_it_is_removed(generated: NetworkDirectory) -> None:
    provider = FakeProvider(generated.load(), running=True)
    assert asyncio.run(destroy_network(generated, provider, silent)) == []
    assert provider.calls == ["stop", "discard"]
    assert not generated.path.exists()


def test_what_cannot_be_stopped_is_not_removed(generated: NetworkDirectory) -> None:
    provider = FakeProvider(generated.load(), running=True)

    async def refuse(progress: Any) -> bool:
        raise NodeError("it does not end")

    provider.stop = refuse  # type: ignore[method-assign]
    with pytest.raises(NodeError):
        asyncio.run(destroy_network(generated, provider, silent))
    assert generated.exists()
    generated.load()


@pytest.mark.parametrize(
    ("change", "call"), [("stop", "stop_nodes"), ("start", "start_nodes"), ("restart", "restart_nodes")]
)
def test_nodes_are_changed_by_the_names_people_use(change: Change, call: str, network: Network) -> None:
    provider = FakeProvider(network, running=True)
    assert asyncio.run(change_nodes(change, network, provider, ["3", "node1"])) == ["node3", "node1"]
    assert provider.calls == [(call, "node3", "node1")]


def test_a_node_that_is_not_there_is_misuse(network: Network) -> None:
    with pytest.raises(UsageError) as caught:
        find_node(network, "node4")
    assert caught.value.hint == "its nodes are node1 to node3"


def test_a_console_is_a_running_clients(network: Network, directory: NetworkDirectory) -> None:
    provider = FakeProvider(network, running=True)
    node = find_node(network, "2")
    assert console_command(directory, network, provider, node, execute="1").arguments == ["echo", "node2", "1"]
    provider.states["node2"] = "stopped"
    with pytest.raises(NotRunningError, match="node2: stopped, so its client has no console") as caught:
        console_command(directory, network, provider, node, execute=None)
    assert caught.value.hint == f"start it: quorumkit node start node2 -d '{directory.path}'"
    provider.states["node2"], provider.errors["node2"] = "exchanging", "waits for node3"
    with pytest.raises(
        NotRunningError, match=r"exchanging, so its client has no console \(waits for node3\)"
    ) as caught:
        console_command(directory, network, provider, node, execute=None)
    assert caught.value.hint is None


def taken(watching: Callable[[], Any], count: int, after: Callable[[int], None]) -> list[list[NodeStatus]]:
    """That many of the statuses that are seen; `after` each of them something happens."""

    async def take() -> list[list[NodeStatus]]:
        seen: list[list[NodeStatus]] = []
        async with asyncio.timeout(10):
            async for statuses in watching():
                seen.append(statuses)
                after(len(seen))
                if len(seen) == count:
                    break
        return seen

    return asyncio.run(take())


def test_each_change_is_seen(generated: NetworkDirectory) -> None:
    provider = FakeProvider(generated.load(), running=True)
    spec = generated.read_spec()
    seen = taken(
        lambda: watch_statuses(generated, spec, provider), 2, lambda count: provider.put({"node2": "restarting"})
    )
    assert [statuses[1].state for statuses in seen] == ["running", "restarting"]


def test_watching_ends_when_the_network_does(generated: NetworkDirectory) -> None:
    provider = FakeProvider(generated.load(), running=True)
    with pytest.raises(NotRunningError):
        taken(
            lambda: watch_statuses(generated, generated.read_spec(), provider),
            2,
            lambda count: provider.put(dict.fromkeys(provider.states, "stopped")),
        )


def test_nodes_that_have_not_agreed_are_watched_until_they_have(
    generated: NetworkDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "_LOOK_EVERY", 0.01)
    network = generated.load()
    provider = FakeProvider(network)
    provider.put(dict.fromkeys(provider.states, "exchanging"))
    spec = spec_of(3, 1, identities="exchanged")
    record = generated.node("node1") / "node.json"
    hidden = record.rename(record.with_suffix(".hidden"))

    def go_on(count: int) -> None:
        if count == 1:
            provider.put({"node2": "starting"})
        elif count == 2:
            hidden.rename(record)
            provider.put(dict.fromkeys(provider.states, "running"))

    seen = taken(lambda: watch_statuses(generated, spec, provider), 3, go_on)
    assert [statuses[1].state for statuses in seen] == ["exchanging", "starting", "running"]


def test_the_status_of_nodes_that_never_ran_says_so(network: Network, directory: NetworkDirectory) -> None:
    spec = spec_of(3, identities="exchanged")
    directory.path.mkdir()
    directory.spec.write_bytes(spec_to_yaml(spec))
    provider = FakeProvider(network)
    with pytest.raises(NotRunningError) as caught:
        asyncio.run(statuses_of(directory, spec, provider))
    assert caught.value.hint == f"start it: quorumkit up '{directory.path}'"


def test_other_nodes_sign_for_one_that_lost_its_disk(
    network: Network, directory: NetworkDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacing, "_LOOK_EVERY", 0.01)
    provider = FakeProvider(network, running=True)
    identities = FakeIdentities(provider, exchanged=True)
    provider.states["node1"] = "stopped"

    def sign(asked: str, lost: str) -> dict[str, Any]:
        return {"name": lost, "replaced": True, "signed": [asked], "enode_key": network.node(3).identity.enode_key}

    provider.answers["node_replace"] = sign
    collected = asyncio.run(replace_node(directory, identities, provider, network.nodes, "node3"))
    assert collected.complete
    assert collected.failures == {"node1": "node1: not running"}
    assert provider.calls == [("node1", "node_replace", "node3"), ("node2", "node_replace", "node3")]


def test_a_lost_node_is_replaced_only_where_nodes_make_their_keys(
    network: Network, directory: NetworkDirectory
) -> None:
    provider = FakeProvider(network, running=True)
    with pytest.raises(UsageError, match="generated together"):
        asyncio.run(replace_node(directory, FakeIdentities(provider), provider, network.nodes, "node3"))
    stopped = FakeProvider(network)
    identities = FakeIdentities(stopped, exchanged=True)
    with pytest.raises(NotRunningError) as caught:
        asyncio.run(replace_node(directory, identities, stopped, network.nodes, "node3"))
    assert caught.value.hint == f"start the network: quorumkit up '{directory.path}'"
