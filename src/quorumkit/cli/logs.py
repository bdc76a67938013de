"""`quorumkit logs`."""

from __future__ import annotations

import json
import subprocess

import click

from quorumkit.cli.options import directory_option, json_option
from quorumkit.cli.terminal import replace_by
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import UsageError
from quorumkit.stages.load import find_node, load_network


@click.command()
@click.argument("names", metavar="NODE...", nargs=-1)
@directory_option
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they come, until Ctrl-C.")
@click.option(
    "--lines", type=click.IntRange(min=0), default=100, show_default=True, help="How many past lines to begin with."
)
@json_option
def logs(names: tuple[str, ...], directory: NetworkDirectory, follow: bool, lines: int, as_json: bool) -> None:
    """Show the log of a node's client, or of all nodes' clients if none is named.

    \b
    quorumkit logs node2 -f
    """
    network, provider = load_network(directory)
    chosen = [find_node(network, name).name for name in names] or [node.name for node in network.nodes]
    command = provider.logs(chosen, follow=follow, lines=lines)
    if not as_json:
        replace_by(command)
    if len(chosen) != 1:
        raise UsageError("--json needs exactly one node", hint="quorumkit logs node1 --json")
    with subprocess.Popen(
        command.arguments, cwd=command.directory, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            click.echo(json.dumps({"node": chosen[0], "line": line.rstrip("\n")}))
