"""`quorumkit node replace`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from quorumkit.cli.options import directory_option, json_option
from quorumkit.cli.output import done, print_json
from quorumkit.directory import NetworkDirectory


@click.command()
@click.argument("name", metavar="NODE")
@directory_option
@click.option(
    "--through", type=click.Path(path_type=Path, file_okay=False), envvar="QUORUMKIT_NODE_DIR",
    help="Ask the node that runs in this directory, in a network whose nodes share nothing.",
)  # fmt: skip
@json_option
def replace(name: str, directory: NetworkDirectory, through: Path | None, as_json: bool) -> None:
    """Admit the new identity of a node that lost its disk, in a network whose nodes exchange their identities.

    The node must be running, with its new keys, under its old name. More than half of the sitting validators must sign.
    All nodes that can be reached from here are asked to; operators of other nodes run this command too, and the last
    signature that is needed completes it. From then on the node follows the others. If it was a validator, the genesis
    still names its old account, and the others go on without it. Its old keys are refused from then on.

    The exit code is 3 while signatures are missing. Inside a node's container the command signs with that node.

    \b
    quorumkit node replace node3
    docker compose exec node1 quorumkit node replace node3
    """
    from quorumkit.identities import identities_of
    from quorumkit.providers import provider_of
    from quorumkit.stages.ask_program import ask_program
    from quorumkit.stages.replace import Collected, nodes_to_ask, outcome, replace_node

    if through is not None:
        collected = Collected(asyncio.run(ask_program(through, "node_replace", [name])), {})
    else:
        spec = directory.read_spec()
        nodes = nodes_to_ask(directory, spec, name)
        provider = provider_of(directory, spec)
        identities = identities_of(directory, spec, provider)
        collected = asyncio.run(replace_node(directory, identities, provider, nodes, name))
    if as_json:
        print_json(collected.to_json())
    else:
        for other, reason in collected.failures.items():
            click.echo(f"{other}: {reason}", err=True)
        done(outcome(collected.answer))
    if not collected.complete:
        raise click.exceptions.Exit(3)
