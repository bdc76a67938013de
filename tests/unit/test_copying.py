"""A file is copied out of a node's directory whole, or not at all, and nothing else is."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from quorumkit.errors import NodeError, RuntimeUnavailableError, UsageError
from quorumkit.providers.copying import copy_by, copy_local, reading


@pytest.fixture
def node(tmp_path: Path) -> Path:
    directory = tmp_path / "node1"
    (directory / "geth").mkdir(parents=True)
    (directory / "geth" / "nodekey").write_bytes(b"key\n\x00")
    return directory


def test_a_file_is_copied_for_its_owner_alone(node: Path, tmp_path: Path) -> None:
    copy_local(node, "geth/nodekey", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"key\n\x00"
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600


def test_what_leads_out_of_the_directory_is_refused(node: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    for path in ("../secret", "/etc/passwd", "geth/../../secret", "", "."):
        with pytest.raises(UsageError):
            copy_local(node, path, tmp_path / "copy")
    (node / "link").symlink_to(tmp_path / "secret")
    (node / "folder").symlink_to(tmp_path)
    os.mkfifo(node / "pipe")
    for path in ("link", "folder/secret", "pipe", "geth", "gone"):
        with pytest.raises(NodeError):
            copy_local(node, path, tmp_path / "copy")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["node1", "secret"]


def copied_by(script: str, to: Path) -> None:
    asyncio.run(copy_by([sys.executable, "-c", script], to, what="node1: file"))


def test_what_a_command_writes_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    to = tmp_path / "copy"
    copied_by(r"import os; os.write(1, b'6\n'); os.write(1, b'a\n\x00b\n\n')", to)
    assert to.read_bytes() == b"a\n\x00b\n\n"
    to.unlink()
    with pytest.raises(NodeError, match="cut off after 3 of 6 bytes"):
        copied_by(r"import os; os.write(1, b'6\nabc')", to)
    with pytest.raises(NodeError, match="cannot be copied: gone"):
        copied_by(
            "import sys; print(6); sys.stdout.write('abcdef'); sys.exit('gone\\ncommand terminated with exit code 1')",
            to,
        )
    with pytest.raises(NodeError, match="no reason given"):
        copied_by("", to)
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeUnavailableError, match="no-such-program is not on PATH"):
        asyncio.run(copy_by(["no-such-program"], tmp_path / "copy", what="node1: file"))


def test_the_file_is_named_to_the_shell_and_not_written_into_its_script() -> None:
    *_, script, path = reading("geth/$(reboot) x")
    assert path == "/node/geth/$(reboot) x" and "reboot" not in script
