"""Entry point: finds the command, and turns every error into one message and an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from quorumkit import __version__
from quorumkit.cli.output import print_error
from quorumkit.errors import QuorumkitError, UsageError

_COMMANDS = {
    "init": ("init:init", "Make a network directory: spec, keys, genesis, every node's files. Starts nothing."),
    "up": ("up:up", "Start a network, and make it first where there is none."),
    "verify": (
        "verify:verify",
        "Prove that a network works: a contract created through node 1 is read from every node.",
    ),
    "status": ("status:status", "Show every node: state, role, block, peers, RPC URL, process id."),
    "down": ("down:down", "Stop a network. Its chain and keys stay; `quorumkit up` goes on where it was."),
    "destroy": ("destroy:destroy", "Stop a network and remove its directory: keys, chain, everything."),
    "logs": ("logs:logs", "Show the log of a node's client, or of all nodes' clients if none is named."),
    "console": (
        "console:console",
        "Open the client's JavaScript console on a running node. Inside a node's container, NODE is that node.",
    ),
    "exec": ("exec:exec_", "Run a command where a node runs: in its directory or container."),
    "node": ("node:node", "Stop, start or restart one node; run the node program."),
    "image": ("image:image", "Make the node image that containers run."),
    "tm": ("tm:tm", "The transaction manager for GoQuorum's private transactions."),
    "doctor": (
        "doctor:doctor",
        "Show what this machine has and lacks for each runtime and engine, and what to do about it.",
    ),
}
"""By name, in the order of the help text: where it is, and what its help begins with. A command is loaded when it is
asked for, so that none waits for another's imports, and the list of them for no imports at all."""


class _NobodyReadsError(Exception):
    """What is printed into was closed by who reads it, as with `| head`."""


@contextlib.contextmanager
def _own_broken_pipe() -> Iterator[None]:
    """click takes a broken pipe for itself, and exits with 1, which says that the command failed."""
    try:
        yield
    except BrokenPipeError as error:
        raise _NobodyReadsError from error


class _Listing(click.Group):
    """Commands that are only listed, in their order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class _Commands(click.Group):
    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        with _own_broken_pipe():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: click.Context) -> Any:
        with _own_broken_pipe():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f"quorumkit.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = {name: click.Command(name, help=about) for name, (_, about) in _COMMANDS.items()}
        _Listing(commands=commands).format_commands(ctx, formatter)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        import difflib

        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], _COMMANDS, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            ctx.fail(f"no command {args[0]!r}; {hint}`quorumkit --help` lists them")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, message="quorumkit %(version)s")
def cli() -> None:
    """Permissioned Ethereum networks of N nodes, built and kept running.

    \b
    quorumkit up -n 5 --verify     five nodes in ./mynet, started and verified
    quorumkit status               what runs
    quorumkit down                 stop it; `up` goes on where it was
    """


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 failed, 2 misuse, 130 interrupted."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code. Where nobody reads what it prints that is a shell's of SIGPIPE, 141."""
    try:
        with _own_broken_pipe():
            return _run(arguments)
    except _NobodyReadsError:
        _drop_what_is_unread()
        return 128 + signal.SIGPIPE


def _run(arguments: list[str]) -> int:
    # What stands behind -- is another program's.
    as_json = "--json" in arguments[: arguments.index("--") if "--" in arguments else None]
    try:
        code = cli.main(arguments, prog_name="quorumkit", standalone_mode=False)
    except QuorumkitError as error:
        print_error(error, as_json=as_json)
        return error.exit_code
    except click.ClickException as error:
        print_error(_as_usage_error(error), as_json=as_json)
        return 2
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return 128 + signal.SIGINT
    except OSError as error:
        print_error(_explain(error), as_json=as_json)
        return 1
    return code if isinstance(code, int) else 0


def _drop_what_is_unread() -> None:
    """Python would try again to write it when it exits, and say so."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _as_usage_error(error: click.ClickException) -> UsageError:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    return UsageError(message[:1].lower() + message[1:], hint=f"{context.command_path} --help" if context else None)


def _is_of_the_cache(name: object) -> bool:
    """Whether a file that cannot be written is the cache, in it, or a directory that it would be made in."""
    from quorumkit.cache import cache_directory

    if not isinstance(name, str | os.PathLike):
        return False
    path, cache = Path(name).absolute(), cache_directory()
    return path.is_relative_to(cache) or cache.is_relative_to(path)


def _explain(error: OSError) -> QuorumkitError:
    """The system's own errors, in words: what a full or forbidden disk does."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return QuorumkitError(
            f"{where}no room on the disk", hint="free some room and run the same command again: it finishes the work"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and _is_of_the_cache(error.filename):
        return QuorumkitError(
            f"{where}{error.strerror}",
            hint="set QUORUMKIT_CACHE to a directory that is yours to write: clients are built and kept there",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return QuorumkitError(f"{where}{error.strerror}", hint="use a directory that is yours to write")
    return QuorumkitError(f"{where}{error.strerror or error}")
