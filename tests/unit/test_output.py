"""What commands print on terminals of all kinds, into pipes, and where nothing can be printed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quorumkit.cli.main import run
from quorumkit.cli.output import table_lines

COLUMNS = ["NODE", "STATE", "RPC", "PID"]
ROWS = [[f"node{n}", "running", f"http://127.0.0.1:{8545 + n}", str(4000 + n)] for n in range(1, 12)]


def test_a_table_that_fits_is_one() -> None:
    whole = table_lines(COLUMNS, ROWS, None)
    assert whole[0] == "NODE    STATE    RPC                    PID"
    assert table_lines(COLUMNS, ROWS, max(map(len, whole))) == whole


@pytest.mark.parametrize("room", [24, 30, 40])
def test_on_a_narrow_terminal_urls_stand_on_lines_of_their_own(room: int) -> None:
    lines = table_lines(COLUMNS, ROWS, room)
    assert len(lines) == 1 + 2 * len(ROWS)
    assert max(map(len, lines)) <= max(room, 24)
    assert lines[0].split() == ["NODE", "STATE", "PID"]
    assert [line.strip() for line in lines[2::2]] == [row[2] for row in ROWS]


def test_on_a_very_narrow_one_every_cell_does() -> None:
    lines = table_lines(COLUMNS, ROWS, 20)
    assert lines[:4] == ["node1", "  STATE  running", "  RPC    http://127.0.0.1:8546", "  PID    4001"]


def on_a_terminal(*arguments: str | Path, **environment: str) -> str:
    """What a person sees of the command on a terminal of 60 columns."""
    ours, theirs = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | environment
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "quorumkit", *map(str, arguments)], stdout=theirs, stderr=theirs, stdin=theirs,
        env=environment | {"COLUMNS": "60", "TERM": environment.get("TERM", "xterm")},
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # the other side is closed
        pass
    process.wait()
    os.close(ours)
    return seen.decode()


@pytest.fixture
def network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(["init", "-n", "2", str(tmp_path / "bank")]) == 0
    capsys.readouterr()
    return tmp_path / "bank"


def test_colours_only_where_they_are_wanted(network: Path) -> None:
    assert "\x1b[" in on_a_terminal("status", network)
    assert "\x1b[" in on_a_terminal("status", "nowhere")
    for wish in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b[" not in on_a_terminal("status", network, **wish)
        assert "\x1b[" not in on_a_terminal("status", "nowhere", **wish)


def test_no_url_is_broken_at_60_columns(network: Path) -> None:
    lines = on_a_terminal("status", network, NO_COLOR="1").splitlines()
    urls = [line for line in lines if "http://" in line]
    assert len(urls) == 2
    assert all(len(line) <= 60 for line in urls)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_traceback(network: Path, closed: str) -> None:
    for words, code in (("status", 0), ("status --json", 0), ("console node1 --dir", 1)):
        command = f"{sys.executable} -P -m quorumkit {words} {network} {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode == code


def test_head_ends_a_command_quietly(network: Path) -> None:
    command = f"{{ {sys.executable} -P -m quorumkit status {network}; echo $? >{network}/code; }} | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.startswith("bank: ")
    assert (network / "code").read_text().strip() in ("0", str(128 + signal.SIGPIPE))


@pytest.mark.parametrize(
    ("words", "errors_too"),
    [
        ("status {}", False),
        ("status {}", True),
        ("status nowhere --json", False),
        ("status nowhere", True),
        ("nosuch --json", False),
        ("--help", False),
        ("status --help", False),
    ],
)
def test_what_nobody_reads_ends_a_command_as_sigpipe_would(network: Path, words: str, errors_too: bool) -> None:
    """The reader has gone before the first line, as `head` may on a busy machine."""
    reading, writing = os.pipe()
    os.close(reading)
    errors = writing if errors_too else subprocess.PIPE
    command = [sys.executable, "-P", "-m", "quorumkit", *words.format(network).split()]
    done = subprocess.run(command, stdout=writing, stderr=errors, text=True, check=False)
    os.close(writing)
    assert not done.stderr
    assert done.returncode == 128 + signal.SIGPIPE


def test_a_stopped_node_has_no_console(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ([], ["--exec", "1"]):
        assert run(["console", "node1", "--dir", str(network), *more]) == 1
        said = capsys.readouterr().err
        assert "node1: stopped, so its client has no console" in said
        assert "quorumkit node start node1" in said


def test_another_programs_json_option_is_not_ours(network: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["exec", "node9", "--dir", str(network), "--", "tool", "--json"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "no node 'node9'" in shown.err
    assert run(["exec", "--json", "node9", "--dir", str(network), "--", "tool"]) == 2
    assert '"error"' in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "down", "init", "verify", "up", "destroy"])
def test_commands_about_a_network_take_it_as_an_option_too(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--dir", "one", "two"]) == 2
    assert "network" in capsys.readouterr().err
    if command in ("status", "down", "verify"):
        assert run([command, "--dir", "nowhere"]) == 2
        assert "nowhere: not a network" in capsys.readouterr().err
