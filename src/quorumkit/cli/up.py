"""`quorumkit up`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from quorumkit.cli.options import directory_argument, json_option, provider_for, request_of, spec_options
from quorumkit.cli.output import ProgressLine, done, print_json, say
from quorumkit.cli.showing import show_started, show_verification, statuses_json, summary
from quorumkit.directory import NetworkDirectory
from quorumkit.identities import identities_of
from quorumkit.stages.moved import describe_moves
from quorumkit.stages.pinning import check_programs
from quorumkit.stages.request import requested_spec
from quorumkit.stages.start import start_network


@click.command()
@directory_argument
@spec_options
@click.option("--verify", is_flag=True, help="Then verify it, as `quorumkit verify` does.")
@click.option("--timeout", type=click.FloatRange(min=1), metavar="SECONDS", help="How long to wait for all nodes.")
@json_option
def up(directory: NetworkDirectory, as_json: bool, verify: bool, timeout: float | None, **asked: Any) -> None:
    """Start a network, and make it first where there is none.

    Returns when every node sees all its peers and blocks advance. Safe to repeat on a network that runs.

    \b
    quorumkit up -n 5 --verify
    quorumkit up mynet --json
    """
    request = request_of(asked)
    spec = requested_spec(directory, request)
    check = partial(check_programs, directory, spec, binary=request.engine_binary, tm_binary=request.tm_binary)
    provider = provider_for(directory, spec, request)
    identities = identities_of(directory, spec, provider)
    with ProgressLine(quiet=as_json) as progress:
        started = start_network(
            directory, spec, identities, provider, progress, check_programs=check, verify=verify, timeout=timeout
        )
    verification = started.verification
    if as_json:
        more: dict[str, Any] = {"moved": [move.to_json() for move in started.moved]} if started.moved else {}
        more |= {"changed": started.changed} if started.changed else {}
        more |= {"verify": verification.to_json()} if verification else {}
        print_json(statuses_json(started.network.spec, started.statuses) | more)
    else:
        done(f"{summary(started.network.spec)}: running")
        for line in [*started.changed, *describe_moves(started.moved)]:
            say(line)
        show_started(started.statuses)
        if verification:
            show_verification(verification)
    if verification and not verification.ok:
        raise click.exceptions.Exit(1)
