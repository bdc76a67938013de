"""`quorumkit node`: commands about single nodes, and the node program itself."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import click

from quorumkit.cli.node_replace import replace
from quorumkit.cli.node_run import run_
from quorumkit.cli.node_status import node_status
from quorumkit.cli.options import directory_option, json_option
from quorumkit.cli.output import done, print_json
from quorumkit.directory import NetworkDirectory
from quorumkit.stages.change_nodes import Change, change_nodes
from quorumkit.stages.load import load_network


@click.group()
def node() -> None:
    """Stop, start or restart one node; run the node program.

    \b
    quorumkit node stop node3
    """


def _command(change: Change, past: str) -> click.Command:
    @click.command(
        change, help=f"{change.capitalize()} nodes of a running network.\n\n\b\nquorumkit node {change} node3"
    )
    @click.argument("names", metavar="NODE...", nargs=-1, required=True)
    @directory_option
    @json_option
    def command(names: tuple[str, ...], directory: NetworkDirectory, as_json: bool) -> None:
        network, provider = load_network(directory)
        chosen = asyncio.run(change_nodes(change, network, provider, names))
        if as_json:
            print_json({"network": network.spec.name, "nodes": chosen, "done": past})
        else:
            done(f"{', '.join(chosen)}: {past}")

    return command


@node.command("call", hidden=True)
@click.argument("method")
@click.option("--through", type=click.Path(path_type=Path, file_okay=False), envvar="QUORUMKIT_NODE_DIR", required=True)
@json_option
def call_(method: str, through: Path, as_json: bool) -> None:
    """Pass a request on to the node program of the node in that directory.

    Its parameters are JSON on standard input. This is how programs in containers and pods are reached.

    \b
    quorumkit node call node_status --through mynet/nodes/node1 <<< '[]'
    """
    from quorumkit.stages.ask_program import ask_program

    print_json({"result": asyncio.run(ask_program(through, method, json.load(sys.stdin)))})


node.add_command(_command("stop", "stopped"))
node.add_command(_command("start", "started"))
node.add_command(_command("restart", "restarted"))
node.add_command(node_status)
node.add_command(replace)
node.add_command(run_)
