"""`quorumkit destroy`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import click

from quorumkit.cli.options import json_option
from quorumkit.cli.output import ProgressLine, done, is_terminal, print_json, say, warn
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import UsageError
from quorumkit.providers import provider_of
from quorumkit.stages.destroy import destroy_network, linked_places
from quorumkit.stages.stop import read_what_runs


@click.command()
@click.argument("path", metavar="DIR", type=click.Path(path_type=Path), required=False)
@click.option("-d", "--dir", "named", type=click.Path(path_type=Path), help="The same as DIR, which has no default.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--linked", is_flag=True, help="Remove what links in the nodes' directories lead to, too.")
@json_option
def destroy(path: Path | None, named: Path | None, as_json: bool, yes: bool, linked: bool) -> None:
    """Stop a network and remove its directory: keys, chain, everything.

    Where a node's directory, or something in it, is a link to another place, what is there stays and is named, unless
    --linked is given or the second question is answered with yes.

    \b
    quorumkit destroy mynet --yes
    """
    directory = NetworkDirectory(_the_one_named(path, named))
    what = read_what_runs(directory)
    if what.problem and not as_json:
        warn(what.problem)
    places = linked_places(directory)
    if not yes:
        if as_json or not is_terminal(sys.stdin):
            raise UsageError("this removes all keys and the chain for good", hint="say so with --yes")
        count = what.spec.nodes.total
        click.confirm(f"Remove {directory.path} with the keys and the chain of {count} nodes, for good?", abort=True)
        if places and not linked:
            for place in places:
                say(f"{place.link} leads to {place.target}")
            linked = click.confirm("Remove what these links lead to as well?")
    agreed = places if linked else []
    with ProgressLine(quiet=as_json) as progress:
        provider = provider_of(directory, what.spec)
        left = asyncio.run(destroy_network(directory, provider, progress, linked=agreed))
    if as_json:
        more: dict[str, Any] = {"left": [str(place.target) for place in left]} if left else {}
        more |= {"warning": what.problem} if what.problem else {}
        print_json({"network": what.spec.name, "destroyed": True} | more)
        return
    done(f"{what.spec.name}: destroyed, {directory.path} is gone")
    for place in left:
        say(f"{place.target} is still there, with the keys that may be in it: {place.link} was only a link to it")


def _the_one_named(path: Path | None, named: Path | None) -> Path:
    if (path is None) == (named is None):
        raise UsageError("which network?", hint="name it once: quorumkit destroy mynet")
    chosen = path or named
    assert chosen is not None
    return chosen
