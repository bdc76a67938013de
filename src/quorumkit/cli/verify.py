"""`quorumkit verify`."""

from __future__ import annotations

import asyncio

import click

from quorumkit.cli.options import directory_argument, json_option
from quorumkit.cli.output import ProgressLine, print_json
from quorumkit.cli.showing import show_verification
from quorumkit.directory import NetworkDirectory
from quorumkit.stages.load import load_network
from quorumkit.stages.verify import TIMEOUT
from quorumkit.stages.verify_network import verify_network
from quorumkit.stages.verify_urls import verify_urls


@click.command()
@directory_argument
@click.option(
    "--rpc",
    "urls",
    metavar="URL",
    multiple=True,
    help="Instead of DIR: a node's JSON-RPC URL, once for each node; the first sends. Waits for those not up yet.",
)
@click.option(
    "--health",
    "health_urls",
    metavar="URL",
    multiple=True,
    help="With --rpc, in the same order: each node program's --health URL, which gives its transaction manager's key.",
)
@click.option("--timeout", type=click.FloatRange(min=1), default=TIMEOUT, show_default=True,
              metavar="SECONDS")  # fmt: skip
@json_option
def verify(
    directory: NetworkDirectory, urls: tuple[str, ...], health_urls: tuple[str, ...], as_json: bool, timeout: float
) -> None:
    """Prove that a network works: a contract created through node 1 is read from every node.

    Deploys `storage`, sets it to 42, reads it from every node at the same block, and compares that block's hash on all.
    Where there are transaction managers, a private contract from node 1 for node 2 must be readable by these two only.
    Exits with 1 if a node answers anything else. Works under any load, and does not disturb the accounts' own
    transactions.

    \b
    quorumkit verify mynet
    quorumkit verify --rpc http://node1:8545 --rpc http://node2:8545
    """
    with ProgressLine(quiet=as_json) as progress:
        if urls or health_urls:
            verification = asyncio.run(verify_urls(urls, health_urls, progress, timeout))
        else:
            network, provider = load_network(directory)
            verification = asyncio.run(verify_network(directory, network, provider, progress, timeout))
    if as_json:
        print_json(verification.to_json())
    else:
        show_verification(verification)
    if not verification.ok:
        raise click.exceptions.Exit(1)
