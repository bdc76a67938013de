"""Other programs run for a command: in its place, or beside it for what they print."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NoReturn

import click

from quorumkit.errors import QuorumkitError

if TYPE_CHECKING:
    from quorumkit.providers import Command


def replace_by(command: Command) -> NoReturn:
    """The command takes this process's place: its terminal, its signals, its exit code.

    Raises:
        QuorumkitError: it cannot be run.
    """
    os.chdir(command.directory)
    try:
        os.execvpe(command.arguments[0], command.arguments, _environment(command))  # noqa: S606
    except OSError as error:
        raise _cannot_run(command, error) from None


def run_for_output(command: Command) -> subprocess.CompletedProcess[str]:
    """Runs it to its end; what it prints is kept.

    Raises:
        QuorumkitError: it cannot be run.
    """
    try:
        return subprocess.run(
            command.arguments, cwd=command.directory, env=_environment(command), capture_output=True, check=False,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise _cannot_run(command, error) from None


def run_and_pass_on(command: Command) -> int:
    """Runs a command whose output says whether it failed, and prints the rest of it; its exit code, or 1 where its
    output says that it failed."""
    failed = False
    with subprocess.Popen(
        command.arguments, cwd=command.directory, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.rstrip("\n") == command.failure:
                failed = True
            else:
                click.echo(line, nl=False)
    return process.returncode or int(failed)


def _environment(command: Command) -> dict[str, str]:
    return os.environ | command.environment


def _cannot_run(command: Command, error: OSError) -> QuorumkitError:
    return QuorumkitError(f"{command.arguments[0]}: {error.strerror or error}", hint="is it installed, and on PATH?")
