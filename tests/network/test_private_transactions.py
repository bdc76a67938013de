"""The code of docs/how-to/private-transactions.md, as it stands there, and the console's `storage`, with the clients
that people use. Needs a GoQuorum 24.4.1 binary in QUORUMKIT_GOQUORUM; web3.py and web3js-quorum are fetched."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from networks import PATIENCE, RunningNetwork, brought_up, eventually

from support.goquorum import GOQUORUM, needs_goquorum
from support.ports import free_ports

PAGE = Path(__file__).parents[2] / "docs/how-to/private-transactions.md"
FETCH_PATIENCE = 300
pytestmark = [
    pytest.mark.network,
    needs_goquorum,
]

Run = Callable[[str, str], list[str]]


def code_below(title: str, language: str) -> str:
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    (code,) = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    return str(code)


def fetched(command: list[str], directory: Path) -> None:
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=FETCH_PATIENCE, check=False)
    if done.returncode:
        pytest.skip(f"{command[0]} fetched nothing: {(done.stderr or done.stdout).strip()[-300:]}")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    """Three nodes; the first one's transaction manager has a port, which `up` left in its tm.conf."""
    path = tmp_path_factory.mktemp("n") / "bank"
    arguments = ("-n", "3", "--engine", "goquorum", "--engine-binary", str(GOQUORUM))
    with brought_up(path, *arguments) as network:
        assert network.down() is True
        conf = path / "nodes/node1/tm/tm.conf"
        conf.write_text(f"{conf.read_text()}privateport = {free_ports(1)[0]}\n")
        network.up()
        yield network


def manager_port(network: RunningNetwork) -> str:
    (port,) = re.findall(r"^privateport = (\d+)$", (network.node(1) / "tm/tm.conf").read_text(), re.MULTILINE)
    return str(port)


def key_of(network: RunningNetwork, number: int) -> str:
    return (network.node(number) / "tm/tm.pub").read_text().strip()


def environment(network: RunningNetwork) -> dict[str, str]:
    status = network.status()
    return {
        "RPC_URLS": " ".join(status[f"node{number}"]["rpc_url"] for number in (1, 2, 3)),
        "PARTY": key_of(network, 2),
        "MANAGER": f"http://127.0.0.1:{manager_port(network)}",
    }


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, network: RunningNetwork) -> Run:
    directory = tmp_path_factory.mktemp("python")
    pip = [shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv", "pip", "install", "--quiet"]
    fetched([*pip, "--python", sys.executable, "--target", str(directory / "lib"), "web3==7.12.0"], directory)
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(directory / 'lib')!r}); "]
    return lambda title, language: run_code(
        [*command[:-1], command[-1] + "exec(sys.stdin.read())"], directory, code_below(title, language), network
    )


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory, network: RunningNetwork) -> Run:
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    directory = tmp_path_factory.mktemp("javascript")
    packages = ("web3@1.10.4", "web3js-quorum@22.4.0")
    fetched(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", *packages], directory)
    return lambda title, language: run_code(["node", "-"], directory, code_below(title, language), network)


def run_code(command: list[str], directory: Path, code: str, network: RunningNetwork) -> list[str]:
    shutil.copy(str(files("quorumkit.contracts").joinpath("Storage.json")), directory / "Storage.json")
    done = subprocess.run(
        command, input=code, cwd=directory, env=os.environ | environment(network), capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("title", ["With web3.py", "Step by step", "With a key of your own"])
def test_from_python(python: Run, title: str) -> None:
    assert python(title, "python") == ["42", "42", "None"]


def test_from_javascript(javascript: Run) -> None:
    assert javascript("With web3.js", "js")[-3:] == ["42", "42", "null"]  # it tells of its waiting


def console(network: RunningNetwork, number: int, code: str, *, exit_code: int = 0) -> str:
    result = network.on_node("console", f"node{number}", "--exec", code, code=exit_code)
    return (result.out + result.err).strip()


def test_in_the_console(network: RunningNetwork) -> None:
    made = f"var c = storage.deploy(7, ['{key_of(network, 2)}']); storage.set(c, 8); c.address + ' ' + c.get()"
    address, value = console(network, 1, made).strip('"').split()
    assert value == "8"
    read = f"storage.at('{address}').get()"
    eventually(lambda: console(network, 2, read) == "8", "the value at the party")
    assert console(network, 3, f"eth.getCode('{address}')") == '"0x"'


def test_what_is_no_list_of_parties_never_makes_a_public_contract(network: RunningNetwork) -> None:
    calls = [
        *(f"storage.deploy(7, {parties})" for parties in ("['x']", "'x'", "[]", "null", "undefined", "['AAAA']")),
        *("storage.deploy(7, ['x'], 1)", "storage.deploy(['x'])", "storage.set(c, 9, null)", "storage.set(c, 9, '')"),
    ]
    code = "var c = storage.deploy(7), before = eth.getTransactionCount(eth.accounts[0]), said = [];"
    code += "".join(
        f"try {{ {call}; said.push('done') }} catch (error) {{ said.push(error.message) }};" for call in calls
    )
    answer = console(network, 1, f"{code} JSON.stringify([eth.getTransactionCount(eth.accounts[0]) - before, said])")
    sent, said = json.loads(json.loads(answer))
    assert sent == 0
    assert len(said) == len(calls)
    assert all(re.search("list of TM public keys|not a TM public key|usage: |is a number", told) for told in said)


def test_the_console_waits_for_no_block_that_does_not_come(tmp_path: Path) -> None:
    """With raft there is a block where there is a transaction, and may be none after it."""
    arguments = ("-n", "2", "--engine", "goquorum", "--consensus", "raft", "--engine-binary", str(GOQUORUM))
    with brought_up(tmp_path / "raft", *arguments) as network:
        deployed = console(
            network, 1, "for (var i = 0, read = 0; i < 12; i++) read += storage.deploy(i).get() * 1; read"
        )
        assert deployed == "66"
