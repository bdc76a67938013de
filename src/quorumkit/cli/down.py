"""`quorumkit down`."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from quorumkit.cli.options import directory_argument, json_option
from quorumkit.cli.output import ProgressLine, done, print_json, warn
from quorumkit.directory import NetworkDirectory
from quorumkit.providers import provider_of
from quorumkit.stages.stop import read_what_runs, stop_network


@click.command()
@directory_argument
@json_option
def down(directory: NetworkDirectory, as_json: bool) -> None:
    """Stop a network. Its chain and keys stay; `quorumkit up` goes on where it was.

    \b
    quorumkit down mynet
    """
    what = read_what_runs(directory)
    if what.problem and not as_json:
        warn(what.problem)
    with ProgressLine(quiet=as_json) as progress:
        ran = asyncio.run(stop_network(provider_of(directory, what.spec), progress))
    if as_json:
        more: dict[str, Any] = {"warning": what.problem} if what.problem else {}
        print_json({"network": what.spec.name, "stopped": ran} | more)
    else:
        done(f"{what.spec.name}: stopped" if ran else f"{what.spec.name}: was not running")
