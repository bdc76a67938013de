"""What commands about a network print, on a provider whose nodes run nowhere."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_verify import Chain, FakeNode

import quorumkit.cli.destroy
import quorumkit.cli.down
import quorumkit.cli.init
import quorumkit.cli.status
import quorumkit.cli.up
import quorumkit.stages.load
from quorumkit.cli import showing
from quorumkit.cli.main import run
from quorumkit.directory import NetworkDirectory
from quorumkit.providers import Command
from quorumkit.stages.moved import Move
from quorumkit.stages.verify import VALUE, Verification
from quorumkit.stages.verify_private import PrivateVerification
from support.clique import CLIQUE
from support.fake_provider import FakeIdentities, FakeProvider

Capture = pytest.CaptureFixture[str]


def with_clients(provider: FakeProvider, **values: int) -> None:
    """The nodes' clients answer, on a new chain; `values` are what the contract holds on some of them."""
    chain = Chain()
    for name in provider.states:
        provider.clients[name] = partial(FakeNode, chain, value=values.get(name, VALUE))


@pytest.fixture
def provider(generated: NetworkDirectory, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    """What runs `bank`, where the command stands."""
    monkeypatch.chdir(generated.path.parent)
    provider = FakeProvider(generated.load())
    with_clients(provider)

    def provider_of(*arguments: Any, **options: Any) -> FakeProvider:
        return provider

    monkeypatch.setattr("quorumkit.providers.provider_of", provider_of)
    for module in (quorumkit.cli.destroy, quorumkit.cli.down, quorumkit.cli.status, quorumkit.stages.load):
        monkeypatch.setattr(module, "provider_of", provider_of)
    for with_identities in (quorumkit.cli.init, quorumkit.cli.up):
        monkeypatch.setattr(with_identities, "identities_of", lambda *arguments: FakeIdentities(provider))
    monkeypatch.setattr(quorumkit.cli.up, "check_programs", lambda *arguments, **options: [])
    return provider


def printed(capsys: Capture, *words: str, code: int = 0) -> str:
    assert run(list(words)) == code
    return capsys.readouterr().out


def test_up_shows_the_nodes(provider: FakeProvider, capsys: Capture) -> None:
    out = printed(capsys, "up", "bank").splitlines()
    assert out[0] == "bank: 3 validators, 1 observer, geth 1.13.15, clique every 1 s, chain id 1337: running"
    assert out[1].split() == ["NODE", "ROLE", "STATE", "BLOCK", "PEERS", "RPC"]
    assert out[2].split() == ["node1", "validator", "running", "7", "3", "http://127.0.0.1:10001"]
    assert len(out) == 6


def test_up_and_verify_shows_both(provider: FakeProvider, capsys: Capture) -> None:
    out = printed(capsys, "up", "bank", "--verify")
    assert "holds 42 on all 4 nodes at block 5, with the same hash" in out.splitlines()[-1]
    with_clients(provider)
    answer = json.loads(printed(capsys, "up", "bank", "--verify", "--json"))
    assert list(answer) == ["network", "engine", "consensus", "nodes", "verify"]
    assert answer["verify"]["ok"] is True


def test_up_exits_with_1_where_verification_fails(provider: FakeProvider, capsys: Capture) -> None:
    with_clients(provider, node2=7)
    assert "  node2: reads 7, not 42" in printed(capsys, "up", "bank", "--verify", code=1)
    with_clients(provider, node2=7)
    assert json.loads(printed(capsys, "verify", "bank", "--json", code=1))["reads"]["node2"] == 7


def test_up_tells_what_changed(provider: FakeProvider, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorumkit.cli.up, "check_programs", lambda *arguments, **options: ["geth is another one"])
    moved = [Move("node1", "http://a", "http://b", "port 1 is taken")]
    monkeypatch.setattr("quorumkit.stages.start.moved_urls", lambda *arguments: moved)
    out = printed(capsys, "up", "bank")
    assert "geth is another one\nRPC URLs changed: node1 had http://a and has http://b: port 1 is taken\n" in out
    answer = json.loads(printed(capsys, "up", "bank", "--json"))
    assert answer["changed"] == ["geth is another one"]
    assert answer["moved"] == [moved[0].to_json()]


def test_status_shows_what_is_wrong(provider: FakeProvider, capsys: Capture) -> None:
    provider.put(dict.fromkeys(provider.states, "running"))
    provider.put({"node2": "stalled"})
    provider.errors["node2"] = "its client does not answer"
    out = printed(capsys, "status", "bank").splitlines()
    assert out[0].endswith(": 3 of 4 running")
    assert out[1].split()[:7] == ["NODE", "STATE", "ROLE", "BLOCK", "PEERS", "RPC", "PID"]
    assert out[3].split()[:5] == ["node2", "stalled", "validator", "7", "3/3"]
    assert out[-1] == "node2: its client does not answer"


def test_a_watched_status_is_a_line_for_each_change(provider: FakeProvider, capsys: Capture) -> None:
    provider.put(dict.fromkeys(provider.states, "running"))
    provider.when_watched = lambda: provider.put(dict.fromkeys(provider.states, "stopped"))
    assert run(["status", "bank", "--watch", "--json"]) == 1
    first, *_, last = capsys.readouterr().out.splitlines()
    assert [node["state"] for node in json.loads(first)["nodes"]] == ["running"] * 4
    assert last == "}"  # of the error: it does not run any more
    provider.put(dict.fromkeys(provider.states, "running"))
    provider.when_watched = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    assert "4 of 4 running  (Ctrl-C ends)" in printed(capsys, "status", "bank", "-w", code=130)


def test_down_and_destroy_tell_what_became_of_it(provider: FakeProvider, capsys: Capture) -> None:
    assert printed(capsys, "down", "bank") == "bank: was not running\n"
    provider.put({"node1": "running"})
    assert json.loads(printed(capsys, "down", "bank", "--json")) == {"network": "bank", "stopped": True}
    assert json.loads(printed(capsys, "destroy", "bank", "--yes", "--json")) == {"network": "bank", "destroyed": True}
    assert provider.calls[-2:] == ["stop", "discard"]
    assert not Path("bank").exists()


def test_nodes_are_stopped_started_and_restarted(provider: FakeProvider, capsys: Capture) -> None:
    assert printed(capsys, "node", "stop", "2", "node3", "-d", "bank") == "node2, node3: stopped\n"
    answer = json.loads(printed(capsys, "node", "restart", "1", "-d", "bank", "--json"))
    assert answer == {"network": "bank", "nodes": ["node1"], "done": "restarted"}
    assert printed(capsys, "node", "start", "2", "-d", "bank") == "node2: started\n"


def test_logs_as_json_are_one_nodes(provider: FakeProvider, capsys: Capture) -> None:
    line = json.loads(printed(capsys, "logs", "2", "-d", "bank", "--json", "--lines", "3"))
    assert line == {"node": "node2", "line": "node2 follow=False lines=3"}
    assert run(["logs", "-d", "bank", "--json"]) == 2


def test_a_command_runs_where_the_node_does(provider: FakeProvider, capsys: Capture) -> None:
    words = ["exec", "node2", "-d", "bank", "--json", "--"]
    answer = json.loads(printed(capsys, *words, "sh", "-c", "echo $QUORUMKIT_NODE; echo x >&2; exit 3", code=3))
    assert answer == {"node": "node2", "exit_code": 3, "stdout": "node2\n", "stderr": "x\n"}
    assert run([*words, "no-such-program"]) == 1
    assert "is it installed, and on PATH?" in capsys.readouterr().out


def test_without_json_the_command_takes_our_place(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, list[str], str]] = []

    class Replaced(Exception):
        pass

    def execvpe(program: str, arguments: list[str], environment: dict[str, str]) -> None:
        ran.append((program, arguments, environment.get("QUORUMKIT_NODE", "")))
        raise Replaced

    monkeypatch.setattr("os.execvpe", execvpe)
    for words in (["exec", "node2", "-d", "bank", "ls"], ["logs", "-d", "bank", "-f"]):
        with pytest.raises(Replaced):
            run(words)
    assert ran[0] == ("ls", ["ls"], "node2")
    assert ran[1][1] == ["echo", "node1", "node2", "node3", "node4", "follow=True", "lines=100"]


def test_a_console_is_asked_for_what_it_evaluates(provider: FakeProvider, capsys: Capture) -> None:
    provider.put({"node2": "running"})
    answer = json.loads(printed(capsys, "console", "2", "-d", "bank", "--exec", "eth.blockNumber", "--json"))
    assert answer == {"node": "2", "result": "node2 eth.blockNumber"}
    assert run(["console", "2", "-d", "bank", "--json"]) == 2
    assert run(["console", "1", "-d", "bank", "--exec", "1"]) == 1
    assert "quorumkit node start node1 -d bank" in capsys.readouterr().err
    assert run(["console", "-d", "bank"]) == 2


def test_javascript_that_fails_is_an_exit_code(provider: FakeProvider, capsys: Capture) -> None:
    provider.put({"node1": "running"})
    failing = Command(["printf", "some words\nFAILED\n"], Path(), failure="FAILED")
    provider.console = lambda node, *, execute: failing  # type: ignore[method-assign]
    assert printed(capsys, "console", "1", "-d", "bank", "--exec", "x", code=1) == "some words\n"
    answer = json.loads(printed(capsys, "console", "1", "-d", "bank", "--exec", "x", "--json", code=1))
    assert answer["error"]["message"] == "some words"
    failing = Command(["sh", "-c", "echo broken >&2; exit 4"], Path(), failure="FAILED")
    assert printed(capsys, "console", "1", "-d", "bank", "--exec", "x", code=4) == ""
    answer = json.loads(printed(capsys, "console", "1", "-d", "bank", "--exec", "x", "--json", code=1))
    assert answer["error"]["message"] == "broken"


def test_nodes_that_make_their_own_keys_have_none_before_they_run(
    provider: FakeProvider, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        quorumkit.cli.init, "identities_of", lambda *arguments: FakeIdentities(provider, exchanged=True)
    )
    words = ["init", "other", "-n", "2", "--runtime", "compose", "--no-shared-data"]
    assert printed(capsys, *words).splitlines() == [
        "other: 2 nodes that will make their own keys, in other",
        "start it: quorumkit up other",
        "or with Compose alone: quorumkit image build --dir other, then docker compose up -d in other",
    ]
    answer = json.loads(printed(capsys, *words, "--json"))
    assert answer == {"network": "other", "directory": str(Path("other").absolute()), "nodes": []}


def shown(capsys: Capture, **fields: Any) -> str:
    showing.show_verification(Verification(seconds=1.0, **fields))
    return capsys.readouterr().out


def test_a_failed_verification_says_what_each_node_answers(capsys: Capture) -> None:
    text = shown(
        capsys, reads={"node1": 42, "node2": 41, "node3": None, "node4": None}, errors={"node4": "gone"}, block=5
    )
    assert text.splitlines() == [
        "NOT verified after 1.0 s",
        "  node2: reads 41, not 42",
        "  node3: has not reached the block",
        "  node4: gone",
    ]
    assert "the nodes do not agree on block 5" in shown(capsys, reads={"node1": 42}, block=5)


def test_what_became_of_a_private_contract_is_told(capsys: Capture) -> None:
    fields: dict[str, Any] = {"reads": {"node1": 42, "node2": 42}, "hashes_equal": True, "block": 5}
    private = PrivateVerification(True, ["node1", "node2"])
    assert "reads 42 on node1 and node2, and nothing on any other" in shown(capsys, ok=True, private=private, **fields)
    leaked = PrivateVerification(False, ["node1", "node2"], {"node3": 42})
    assert "the private contract of node1 and node2: {'node3': 42}" in shown(capsys, private=leaked, **fields)
    assert "on its one node at block" in shown(capsys, ok=True, reads={"node1": 42}, block=5)


def replacement(signed: list[str], *, replaced: bool) -> dict[str, Any]:
    return {
        "name": "node3", "replaced": replaced, "signed": signed, "missing": ["node2", "node3"], "needed": 2,
        "counts": True, "account": "0xab", "enode_key": "cd",
    }  # fmt: skip


@pytest.fixture
def exchanged(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    """A network whose nodes made their own keys; all run."""
    monkeypatch.setattr(
        "quorumkit.identities.identities_of", lambda *arguments: FakeIdentities(provider, exchanged=True)
    )
    monkeypatch.setattr("quorumkit.stages.replace._RECORDED_WITHIN", 0.01)
    provider.put(dict.fromkeys(provider.states, "running"))
    return provider


def test_a_node_is_replaced_once_enough_have_signed(exchanged: FakeProvider, capsys: Capture) -> None:
    answers = {"node1": replacement(["node1"], replaced=False), "node2": replacement(["node1", "node2"], replaced=True)}
    exchanged.answers["node_replace"] = lambda name, lost: answers[name]
    out = printed(capsys, "node", "replace", "node3", "-d", "bank")
    assert out == "node3: replaced; its account is now 0xab, and it follows the others' blocks\n"
    assert [call[0] for call in exchanged.calls] == ["node1", "node2"]


def test_while_signatures_are_missing_the_exit_code_is_3(exchanged: FakeProvider, capsys: Capture) -> None:
    exchanged.answers["node_replace"] = lambda name, lost: replacement(["node1"], replaced=False)
    exchanged.put({"node2": "stopped"})
    assert run(["node", "replace", "node3", "-d", "bank"]) == 3
    captured = capsys.readouterr()
    assert captured.out.startswith("node3: 1 of 2 signatures (node1); it takes effect when 1 more of node2 have signed")
    assert captured.err == "node2: node2: not running\n"
    answer = json.loads(printed(capsys, "node", "replace", "node3", "-d", "bank", "--json", code=3))
    assert answer["failures"] == {"node2": "node2: not running"}
    assert run(["node", "replace", "node9", "-d", "bank"]) == 2
    assert "there are node1 to node4" in capsys.readouterr().err


def test_the_image_of_a_network_is_built_with_its_client(
    generated: NetworkDirectory, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    from quorumkit.image.build import Image
    from quorumkit.stages import build_image as building

    built: list[tuple[Any, ...]] = []

    def build(tag: str, recipe: Any, binary: Any, progress: Any, **options: Any) -> Image:
        built.append((tag, recipe.kind, binary, options))
        return Image(tag=tag, id="sha256:0123456789abcdef", size=140_000_000, inputs="", base="debian:12")

    class Acquirer:
        def acquire(self, version: str, *, override: Path | None, **options: Any) -> tuple[str, Path | None]:
            return version, override

    monkeypatch.setattr(building, "build_image", build)
    monkeypatch.setattr(building, "acquirer_of", lambda kind, consensus: Acquirer())
    assert printed(capsys, "image", "build", "--dir", str(generated.path), "--tag", "bank:1") == (
        "bank:1: 140 MB, sha256:0123456789ab\n"
    )
    assert built[0] == ("bank:1", "geth", ("1.13.15", None), {"base": None, "again": False})
    binary = Path("client").absolute()
    answer = json.loads(
        printed(capsys, "image", "build", "--engine", "goquorum", "--engine-binary", "client", "--json")
    )
    assert answer["tag"].startswith("quorumkit/node:")
    assert built[1][1:3] == ("goquorum", ("24.4.1", binary))
    assert run(["image", "build", "--dir", str(generated.path), "--engine", "goquorum"]) == 2
    assert "its engine is geth, not goquorum" in capsys.readouterr().err
    printed(capsys, "image", "build", *CLIQUE)
    assert built[2][1:3] == ("geth", ("1.13.15", None))
    assert run(["image", "build", "--dir", str(generated.path), "--consensus", "raft"]) == 2
    assert "its consensus is clique, not raft" in capsys.readouterr().err
    assert run(["image", "build", "--consensus", "raft"]) == 2
    assert "consensus.kind: geth has no raft" in capsys.readouterr().err
