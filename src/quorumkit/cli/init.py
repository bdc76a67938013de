"""`quorumkit init`."""

from __future__ import annotations

from typing import Any

import click

from quorumkit.cli.options import directory_argument, json_option, provider_for, request_of, spec_options
from quorumkit.cli.output import ProgressLine, done, print_json
from quorumkit.cli.showing import network_json, show_next_step, show_nodes, summary
from quorumkit.directory import NetworkDirectory
from quorumkit.identities import identities_of
from quorumkit.stages.request import requested_spec


@click.command()
@directory_argument
@spec_options
@json_option
def init(directory: NetworkDirectory, as_json: bool, **asked: Any) -> None:
    """Make a network directory: spec, keys, genesis, every node's files. Starts nothing.

    In a directory that is a network already, makes what is missing and touches nothing else.

    \b
    quorumkit init -n 5 mynet
    quorumkit init -n 4 --observers 2 --period 5 bank
    """
    request = request_of(asked)
    spec = requested_spec(directory, request)
    identities = identities_of(directory, spec, provider_for(directory, spec, request))
    with ProgressLine(quiet=as_json) as progress:
        network = identities.init(progress)
    if as_json:
        nothing = {"network": spec.name, "directory": str(directory.path.absolute()), "nodes": []}
        print_json(network_json(directory, network) if network else nothing)
        return
    if network:
        done(f"{summary(network.spec)}, in {directory.path}")
        show_nodes(network)
    else:
        done(f"{spec.name}: {spec.nodes.total} nodes that will make their own keys, in {directory.path}")
    show_next_step(directory, spec)
