"""Where the console's script lies inside a container, and which account is sent from."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, cast

import pytest
from samples import planned, spec_of

from quorumkit.engines import Binary, recipe_of
from quorumkit.engines.go_acquirer import GoAcquirer
from quorumkit.errors import RpcError
from quorumkit.files import to_json
from quorumkit.providers.inside import console_inside
from quorumkit.providers.ownership import give
from quorumkit.render.node_files import record_of
from quorumkit.rpc import Rpc
from quorumkit.stages.sender import own_account


def test_the_consoles_script_lies_where_only_the_node_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its JavaScript runs with the node's rights, so nobody else may have a hand in it; nor is a link followed."""
    node, common, treasure = tmp_path / "node", tmp_path / "common", tmp_path / "treasure"
    common.mkdir()
    (node / "data").mkdir(parents=True)
    treasure.write_text("precious")
    network = planned(spec_of(1))
    (node / "node.json").write_bytes(to_json(record_of(network, network.node(1)).model_dump()))
    (node / recipe_of("geth", "clique").ipc).touch()
    for folder in (common, node / ".state"):
        folder.mkdir(exist_ok=True)
        (folder / "quorumkit-console.js").symlink_to(treasure)
        (folder / "console.js").symlink_to(treasure)
    monkeypatch.setattr(tempfile, "tempdir", str(common))
    monkeypatch.setattr(GoAcquirer, "find", lambda *args, **given: Binary(Path("/bin/true"), "1", ""))

    command = console_inside(node, execute="1")

    script = Path(command.arguments[command.arguments.index("--preload") + 1])
    assert script.parent == node / ".state"
    assert not script.is_symlink()
    assert "var storage" in script.read_text()
    assert stat.S_IMODE(script.stat().st_mode) == 0o600
    assert treasure.read_text() == "precious"


@pytest.mark.skipif(os.geteuid() != 0, reason="for root")
def test_what_a_link_points_at_is_not_given_away(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    node = tmp_path / "node1"
    (node / "data").mkdir(parents=True)
    (node / "data/key").write_text("x")
    (node / "folder").symlink_to(outside)
    (node / "data/link").symlink_to(outside / "file")
    give(node, 10001, 10001)
    assert {path.lstat().st_uid for path in (node, node / "data", node / "data/key", node / "data/link")} == {10001}
    assert {path.stat().st_uid for path in (outside, outside / "file")} == {0}


class Client:
    """A client with some accounts, of which it can sign with one."""

    def __init__(self, accounts: Any, opened: str = "") -> None:
        self._accounts = accounts
        self._opened = opened

    async def call(self, method: str, *params: Any) -> Any:
        if method == "eth_accounts":
            return self._accounts
        if params[0] != self._opened:
            raise RpcError("authentication needed: password or unlock")
        return "0x12"


@pytest.mark.parametrize(
    ("accounts", "opened", "sender"),
    [(["0xa"], "", "0xa"), (["0xa", "0xb"], "0xb", "0xb"), (["0xa", "0xb"], "0xa", "0xa"), (["0xa", "0xb"], "", "0xa")],
)
def test_a_node_sends_from_the_account_that_it_can_sign_with(accounts: list[str], opened: str, sender: str) -> None:
    assert asyncio.run(own_account(cast(Rpc, Client(accounts, opened)))) == sender


@pytest.mark.parametrize("accounts", [[], None, "0xa", 7])
def test_a_client_without_accounts_is_told(accounts: object) -> None:
    with pytest.raises(RpcError, match="no account"):
        asyncio.run(own_account(cast(Rpc, Client(accounts))))
