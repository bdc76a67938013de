"""Commands about the node image."""

from __future__ import annotations

from pathlib import Path

import click

from quorumkit.cli.engine_words import CONSENSUS, DEFAULT_CONSENSUS, DEFAULT_ENGINE, ENGINE
from quorumkit.cli.options import json_option
from quorumkit.cli.output import ProgressLine, done, print_json


@click.group()
def image() -> None:
    """Make the node image that containers run.

    \b
    quorumkit image build
    """


@image.command()
@click.option(
    "-d",
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    help="Build the image that this network directory needs.",
)
@click.option("--tag", metavar="NAME", help="The image's name.  [default: quorumkit/node:VERSION-ENGINEVERSION]")
@click.option("--engine", type=ENGINE, help=f"The client in it.  [default: that of --dir, else {DEFAULT_ENGINE}]")
@click.option(
    "--consensus",
    type=CONSENSUS,
    help=f"The consensus kind that it is for.  [default: that of --dir, else {DEFAULT_CONSENSUS}]",
)
@click.option(
    "--engine-binary",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A client binary to use instead of building one.",
)
@click.option(
    "--base",
    metavar="IMAGE",
    help="A Debian 12 image to build in.  [default: that of the image that is there, else debian:bookworm-slim]",
)
@click.option("--no-cache", "again", is_flag=True, help="Build it again even if nothing changed.")
@json_option
def build(
    directory: Path | None,
    tag: str | None,
    engine: str | None,
    consensus: str | None,
    engine_binary: Path | None,
    base: str | None,
    again: bool,
    as_json: bool,
) -> None:
    """Build the node image: the client and the node program, on next to nothing.

    Needs Docker. The build downloads only the base image and Debian packages; everything else comes from this machine.

    \b
    quorumkit image build
    quorumkit image build --dir mynet
    quorumkit image build --base debian:12-slim --tag registry.example/quorumkit:1
    quorumkit image build --engine goquorum --engine-binary /path/to/geth
    """
    from quorumkit.stages.build_image import build_node_image

    with ProgressLine(quiet=as_json) as progress:
        built = build_node_image(
            progress, directory=directory, engine=engine, consensus=consensus, engine_binary=engine_binary, tag=tag,
            base=base, again=again,
        )  # fmt: skip
    if as_json:
        print_json(built.to_json())
    else:
        done(f"{built.tag}: {built.size / 1e6:.0f} MB, {built.id[:19]}")
