"""`quorumkit status`."""

from __future__ import annotations

import asyncio
import signal

import click

from quorumkit.cli.options import directory_argument, json_option
from quorumkit.cli.showing import show_statuses
from quorumkit.directory import NetworkDirectory
from quorumkit.providers import provider_of
from quorumkit.stages.status import statuses_of, watch_statuses


@click.command()
@directory_argument
@click.option("-w", "--watch", is_flag=True, help="Show it again whenever something changes, until Ctrl-C.")
@json_option
def status(directory: NetworkDirectory, as_json: bool, watch: bool) -> None:
    """Show every node: state, role, block, peers, RPC URL, process id.

    \b
    quorumkit status
    quorumkit status mynet --watch
    quorumkit status --json
    """
    spec = directory.read_spec()
    provider = provider_of(directory, spec)

    async def show_changes() -> None:
        async for statuses in watch_statuses(directory, spec, provider):
            show_statuses(spec, statuses, as_json=as_json, watched=True)

    if watch:
        try:
            asyncio.run(show_changes())
        except KeyboardInterrupt:  # that is how it ends; whoever called it still sees that it did
            raise click.exceptions.Exit(128 + signal.SIGINT) from None
    else:
        show_statuses(spec, asyncio.run(statuses_of(directory, spec, provider)), as_json=as_json)
