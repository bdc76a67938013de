"""`quorumkit node status`: what a node program says of its nodes, asked from where it runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from quorumkit.cli.options import json_option
from quorumkit.cli.output import print_json, say
from quorumkit.errors import UsageError


@click.command("status")
@click.argument(
    "directory", metavar="[NODE_DIR]", required=False, type=click.Path(path_type=Path, file_okay=False),
    envvar="QUORUMKIT_NODE_DIR",
)  # fmt: skip
@json_option
def node_status(directory: Path | None, as_json: bool) -> None:
    """Show what the node in this directory does and what it is waiting for. In a node's container, NODE_DIR is set.

    Asks the node program itself, so it also answers before there is a network and while the node is not ready.

    \b
    quorumkit node status mynet/nodes/node1
    kubectl exec mynet-0 -- quorumkit node status
    docker compose exec node1 quorumkit node status
    """
    from quorumkit.stages.ask_program import ask_statuses

    if directory is None:
        raise UsageError(
            "which node's directory?",
            hint="quorumkit node status NODE_DIR; or `quorumkit status` for a whole network",
        )
    statuses = asyncio.run(ask_statuses(directory))
    if as_json:
        print_json([status.to_json() for status in statuses])
    for status in [] if as_json else statuses:
        say(status.line())
