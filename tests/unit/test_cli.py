"""The command line: exit codes, messages, help. Nothing here starts a client."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from quorumkit import __version__
from quorumkit.cli import main
from quorumkit.cli.main import cli, run
from quorumkit.directory import NetworkDirectory

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def refused(capsys: Capture, *arguments: str, code: int = 2) -> str:
    """The message with which a command is refused: one line, and perhaps a hint."""
    assert run(list(arguments)) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0].startswith("error: ")
    assert all(line.startswith("  try: ") for line in lines[1:])
    assert len(lines) <= 2
    return captured.err


def error_json(capsys: Capture, *arguments: str) -> dict[str, Any]:
    assert run([*arguments, "--json"]) != 0
    captured = capsys.readouterr()
    assert captured.err == ""
    answer = json.loads(captured.out)
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"kind", "message", "hint"}
    error: dict[str, Any] = answer["error"]
    return error


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def test_init_describes_every_node(capsys: Capture) -> None:
    assert run(["init", "bank", "-n", "2", "--observers", "1"]) == 0
    out = capsys.readouterr().out
    for text in ("node1  validator", "node2  validator", "node3  observer", "enode://", "0x", "quorumkit up bank"):
        assert text in out
    for name in ("node1", "node2", "node3"):
        password = Path(f"bank/nodes/{name}/password").read_text().strip()
        assert password not in out


def test_init_as_json(capsys: Capture) -> None:
    assert run(["init", "bank", "-n", "1", "--chain-id", "7", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["network"], answer["chain_id"]) == ("bank", 7)
    (node,) = answer["nodes"]
    assert {"name", "ordinal", "role", "enode", "account", "rpc_url"} <= set(node)
    assert answer["directory"] == str(Path("bank").absolute())


def test_init_again_is_harmless(capsys: Capture) -> None:
    assert run(["init", "bank", "-n", "2", "--json"]) == 0
    first = capsys.readouterr().out
    assert run(["init", "bank", "--json"]) == 0
    assert capsys.readouterr().out == first


def test_options_become_the_spec() -> None:
    words = "init bank -n 2 --observers 3 --chain-id 99 --period 4 --name my-bank"
    assert run(words.split()) == 0
    spec = NetworkDirectory(Path("bank")).read_spec()
    assert (spec.nodes.validators, spec.nodes.observers, spec.chain_id) == (2, 3, 99)
    assert (spec.consensus.period, spec.name) == (4, "my-bank")


def test_the_transaction_manager_that_was_named_is_kept(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = here / "tessera"
    script.touch(mode=0o755)
    (here / "bin").mkdir()
    (here / "bin/java").touch(mode=0o755)
    monkeypatch.setenv("JAVA_HOME", str(here))
    words = "init bank --engine goquorum --transaction-manager tessera --tm-binary tessera"
    assert run(words.split()) == 0
    manager = NetworkDirectory(Path("bank")).read_spec().transaction_manager
    assert manager is not None
    assert (manager.kind, manager.binary) == ("tessera", str(script))


def test_a_transaction_manager_that_cannot_be_there_is_refused_later_too(here: Path, capsys: Capture) -> None:
    assert run(["init", "bank", "-n", "1"]) == 0
    capsys.readouterr()
    assert "transaction_manager: geth has no" in refused(capsys, "up", "bank", "--tm-binary", "tessera")


@pytest.mark.parametrize(
    ("directory", "name"),
    [("My Bank!", "my-bank"), ("---", "quorum"), ("Ünï", "n"), ("x" * 60, "x" * 40), ("a_b.c", "a-b-c")],
)
def test_a_directorys_name_becomes_the_networks(directory: str, name: str) -> None:
    assert run(["init", directory, "-n", "1"]) == 0 or directory.startswith("-")
    if not directory.startswith("-"):
        assert NetworkDirectory(Path(directory)).read_spec().name == name


@pytest.mark.parametrize("command", ["init", "up"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-n", "0"], "'-n'"),
        (["-n", "-1"], "'-n'"),
        (["-n", "x"], "'x' is not a valid integer"),
        (["-n", "2.5"], "'2.5' is not a valid integer"),
        (["-n", "1001"], "'-n'"),
        (["-n"], "'-n' requires an argument"),
        (["--observers", "-1"], "'--observers'"),
        (["--chain-id", "0"], "chain_id"),
        (["--chain-id", "99999999999999999999"], "chain_id"),
        (["--chain-id", "main"], "'--chain-id'"),
        (["--period", "0"], "consensus.period"),
        (["--period", "x"], "'--period'"),
        (["--name", "My Bank"], "name"),
        (["--transaction-manager", "crux"], "'--transaction-manager'"),
        (["--transaction-manager", "tessera"], "transaction_manager: geth has no private transactions"),
        (["--engine", "goquorum", "--tm-binary", "t.jar"], "transaction_manager.binary: builtin has none"),
        (["--wrong"], "--wrong"),
        (["bank", "more"], "unexpected extra argument"),
    ],
)
def test_wrong_options_are_misuse_and_write_nothing(
    command: str, options: list[str], told: str, here: Path, capsys: Capture
) -> None:
    assert told in refused(capsys, command, *options)
    assert list(here.iterdir()) == []


def test_errors_as_json(capsys: Capture) -> None:
    error = error_json(capsys, "init", "-n", "0")
    assert error["kind"] == "UsageError"
    assert "'-n'" in error["message"]
    error = error_json(capsys, "init", "--chain-id", "0")
    assert error["kind"] == "SpecError"
    assert "chain_id" in error["message"]
    error = error_json(capsys, "status", "nowhere")
    assert error["kind"] == "NotANetworkError"
    assert "quorumkit init nowhere" in error["hint"]


@pytest.mark.parametrize("command", ["verify", "status", "down", "destroy"])
def test_a_directory_that_is_no_network_is_misuse(command: str, here: Path, capsys: Capture) -> None:
    yes = ["--yes"] if command == "destroy" else []
    assert "no such directory" in refused(capsys, command, "nowhere", *yes)
    (here / "else").mkdir()
    (here / "else/thesis.tex").write_text("x")
    assert "no quorumkit.yaml in it" in refused(capsys, command, "else", *yes)
    assert (here / "else/thesis.tex").exists()
    if command != "destroy":
        assert "mynet" in refused(capsys, command)


@pytest.mark.parametrize("words", ["logs node1", "console node1", "exec node1 true", "node stop node1"])
def test_commands_about_a_node_need_a_network(words: str, capsys: Capture) -> None:
    assert "no such directory" in refused(capsys, *words.split())


def test_up_in_somebody_elses_directory_is_misuse(here: Path, capsys: Capture) -> None:
    (here / "thesis").mkdir()
    (here / "thesis/thesis.tex").write_text("x")
    assert "not a network, and not empty (thesis.tex)" in refused(capsys, "up", "thesis")


@pytest.mark.parametrize("command", ["init", "up", "verify", "status", "down"])
def test_a_network_of_a_newer_version_is_told(command: str, here: Path, capsys: Capture) -> None:
    (here / "mynet").mkdir()
    (here / "mynet/quorumkit.yaml").write_text("format: 99\nname: bank\nshards: 3\n")
    text = refused(capsys, command)
    assert "newer Quorumkit" in text
    assert "pip install --upgrade quorumkit" in text
    assert error_json(capsys, command)["kind"] == "NewerFormatError"


@pytest.mark.parametrize("command", ["init", "up", "verify", "status"])
def test_a_wrong_spec_is_told_with_file_and_field(command: str, here: Path, capsys: Capture) -> None:
    (here / "mynet").mkdir()
    (here / "mynet/quorumkit.yaml").write_text("name: bank\nnodes:\n  validators: 0\n")
    text = refused(capsys, command)
    assert "mynet/quorumkit.yaml: nodes.validators" in text


def test_what_is_asked_must_be_what_is_there(capsys: Capture) -> None:
    assert run(["init", "bank", "-n", "2"]) == 0
    capsys.readouterr()
    text = refused(capsys, "init", "bank", "-n", "3")
    assert "nodes.validators: 2, not 3" in text
    assert "leave the option out" in text


@pytest.mark.parametrize(
    ("typed", "meant"), [("statsu", "status"), ("veriffy", "verify"), ("destory", "destroy"), ("log", "logs")]
)
def test_an_unknown_command_is_told_with_the_one_that_was_meant(typed: str, meant: str, capsys: Capture) -> None:
    assert f"did you mean '{meant}'?" in refused(capsys, typed)


def test_an_unknown_command_like_none_is_told(capsys: Capture) -> None:
    text = refused(capsys, "xyzzy")
    assert "did you mean" not in text
    assert "quorumkit --help" in text


@pytest.mark.parametrize("path", list(commands(cli)), ids=" ".join)
def test_every_command_has_help_with_an_example(path: tuple[str, ...], capsys: Capture) -> None:
    assert run([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: quorumkit {' '.join(path)}")
    example = [line for line in text.splitlines() if line.strip().startswith(f"quorumkit {path[0]}")]
    assert example, text


def test_the_commands_of_the_manual_are_there() -> None:
    there = {" ".join(path) for path in commands(cli)}
    assert {"init", "up", "verify", "status", "logs", "console", "exec", "down", "destroy", "doctor"} <= there
    assert {"node stop", "node start", "node restart", "node run"} <= there


def test_help_lists_every_command(capsys: Capture) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for path in commands(cli):
        assert path[0] in text


def test_the_version_is_told(capsys: Capture) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"quorumkit {__version__}\n"


def test_without_anything_the_help_is_shown(capsys: Capture) -> None:
    assert run([]) == 2
    captured = capsys.readouterr()
    assert "quorumkit up -n 5 --verify" in captured.out + captured.err


def test_status_of_a_network_that_does_not_run(capsys: Capture) -> None:
    assert run(["init", "bank", "-n", "2"]) == 0
    capsys.readouterr()
    assert run(["status", "bank", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["network", "engine", "consensus", "nodes"]
    for node in answer["nodes"]:
        assert (node["state"], node["block"], node["peers"], node["pid"]) == ("stopped", None, None, None)
    assert run(["status", "bank"]) == 0
    assert "0 of 2 running" in capsys.readouterr().out


def test_a_network_is_destroyed_by_a_link_to_it() -> None:
    assert run(["init", "bank", "-n", "1", "--json"]) == 0
    Path("link").symlink_to("bank")
    assert run(["destroy", "link", "--yes", "--json"]) == 0
    assert not Path("bank").exists()
    assert not Path("link").is_symlink()


def test_what_does_not_run_can_be_stopped_and_destroyed(capsys: Capture) -> None:
    assert run(["init", "bank", "-n", "1"]) == 0
    assert run(["down", "bank", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("start it: quorumkit up bank\n")[2])["stopped"] is False
    assert "--yes" in refused(capsys, "destroy", "bank")
    assert Path("bank/quorumkit.yaml").exists()
    assert run(["destroy", "bank", "--yes", "--json"]) == 0
    assert not Path("bank").exists()


@pytest.mark.parametrize("words", ["verify bank", "node stop node1 -d bank", "logs node1 -d bank", "status -w bank"])
def test_what_needs_a_running_network_fails_and_says_how_to_start_it(words: str, capsys: Capture) -> None:
    assert run(["init", "bank", "-n", "1"]) == 0
    capsys.readouterr()
    assert "quorumkit up" in refused(capsys, *words.split(), code=1)


def test_the_network_is_the_one_of_the_environment_or_where_one_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert run(["init", "bank", "-n", "1"]) == 0
    assert run(["init", "-n", "2"]) == 0
    capsys.readouterr()

    def network() -> str:
        assert run(["status", "--json"]) == 0
        name: str = json.loads(capsys.readouterr().out)["network"]
        return name

    assert network() == "mynet"
    monkeypatch.chdir("bank")
    assert network() == "bank"
    monkeypatch.setenv("QUORUMKIT_NETWORK", "../mynet")
    assert network() == "mynet"


def test_doctor_tells_what_there_is(capsys: Capture) -> None:
    code = run(["doctor", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is (code == 0)
    assert {"python", "geth 1.13.15", "CometBFT 0.40.0", "go", "disk", "memory", "open files"} <= {
        one["subject"] for one in answer["findings"]
    }
    assert all(one["verdict"] in ("ok", "note", "missing") for one in answer["findings"])
    assert run(["doctor"]) == code
    assert "python" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, "no room on the disk"),
        (errno.EDQUOT, "no room on the disk"),
        (errno.EACCES, "Permission denied"),
        (errno.EROFS, "Read-only file system"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_the_systems_errors_are_told_in_words(
    number: int, told: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        import os

        raise OSError(number, os.strerror(number), "/some/file")

    monkeypatch.setattr("quorumkit.identities.generated.generate", fail)
    text = refused(capsys, "init", "bank", code=1)
    assert f"/some/file: {told}" in text


def test_ctrl_c_is_no_traceback(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("quorumkit.identities.generated.generate", interrupt)
    assert run(["init", "bank"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"


def test_the_command_ends_with_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["quorumkit", "status", "nowhere"])
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == 2


def test_commands_load_only_what_they_need() -> None:
    """A command's start is its imports; `--help` needs none of the core."""
    import subprocess
    import sys

    script = "import sys; from quorumkit.cli.main import run; run(['--version']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"aiohttp", "pydantic", "psutil", "coincurve", "rich"} & set(loaded)


@pytest.mark.parametrize("place", ["inside", "itself", "above"])
def test_a_cache_that_cannot_be_written_names_what_chooses_another(place: str, cache: Path) -> None:
    from quorumkit.cli.main import _explain

    path = {"inside": cache / "engines/geth", "itself": cache, "above": cache.parent}[place]
    told = _explain(PermissionError(errno.EACCES, "Permission denied", str(path)))
    assert told.hint and "QUORUMKIT_CACHE" in told.hint
    other = _explain(PermissionError(errno.EACCES, "Permission denied", str(cache.parent / "mynet")))
    assert other.hint and "QUORUMKIT_CACHE" not in other.hint


def test_the_list_of_commands_says_what_their_own_help_begins_with() -> None:
    """It is written without them, so that nobody waits for their imports."""
    for name, (_, about) in main._COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        assert command is not None and command.help is not None
        assert about == " ".join(command.help.partition("\n\n")[0].split())
        assert command.short_help is None and not command.hidden
