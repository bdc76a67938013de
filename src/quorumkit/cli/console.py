"""`quorumkit console`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from quorumkit.cli.options import directory_option, json_option
from quorumkit.cli.output import print_json
from quorumkit.cli.terminal import replace_by, run_and_pass_on, run_for_output
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import QuorumkitError, UsageError
from quorumkit.providers.inside import console_inside
from quorumkit.stages.console import console_command
from quorumkit.stages.load import find_node, load_network


@click.command()
@click.argument("name", metavar="NODE", required=False)
@directory_option
@click.option("--exec", "execute", metavar="JAVASCRIPT", help="Evaluate this and print it, instead of a prompt.")
@json_option
def console(name: str | None, directory: NetworkDirectory, execute: str | None, as_json: bool) -> None:
    """Open the client's JavaScript console on a running node. Inside a node's container, NODE is that node.

    `storage` is loaded in it: storage.last().get() reads the newest storage contract on the chain. With --exec the exit
    code is 1 if the JavaScript fails.

    \b
    quorumkit console node2
    quorumkit console node2 --exec 'storage.last().get()'
    """
    inside = os.environ.get("QUORUMKIT_NODE_DIR")
    if name is None and inside is None:
        raise UsageError("which node?", hint="quorumkit console node1")
    if name is None:
        command = console_inside(Path(str(inside)), execute=execute)
    else:
        network, provider = load_network(directory)
        command = console_command(directory, network, provider, find_node(network, name), execute=execute)
    if not as_json and command.failure is None:
        replace_by(command)
    if execute is None:
        raise UsageError("--json needs --exec", hint="quorumkit console node1 --exec eth.blockNumber --json")
    if not as_json:
        raise click.exceptions.Exit(run_and_pass_on(command))
    answer = run_for_output(command)
    lines = answer.stdout.splitlines()
    text = "\n".join(line for line in lines if line != command.failure).strip()
    if command.failure in lines:
        raise QuorumkitError(text)
    if answer.returncode != 0:
        raise QuorumkitError(answer.stderr.strip() or text or f"exit code {answer.returncode}")
    print_json({"node": name or "", "result": text}, as_it_is=True)
