"""Commands about the node image."""

from __future__ import annotations

import click

from quorumkit.cli.options import json_option
from quorumkit.cli.output import ProgressLine, done, print_json


@click.group()
def image() -> None:
    """Make the node image that containers run.

    \b
    quorumkit image build
    """


@image.command()
@click.option("--tag", metavar="NAME", help="Name it so.  [default: quorumkit/node:VERSION-gethVERSION]")
@click.option(
    "--base",
    metavar="IMAGE",
    help="A Debian 12 image to build in.  [default: that of the image that is there, else debian:bookworm-slim]",
)
@click.option("--no-cache", "again", is_flag=True, help="Build it anew even where nothing changed.")
@json_option
def build(tag: str | None, base: str | None, again: bool, as_json: bool) -> None:
    """Build the node image: the client and the node program, on next to nothing.

    Needs Docker. The build reaches out for the base image and Debian packages only; all else is taken from here.

    \b
    quorumkit image build
    quorumkit image build --base debian:12-slim --tag registry.example/quorumkit:1
    """
    from quorumkit.engines.geth import VERSION, Geth
    from quorumkit.image.build import build_image, image_tag

    with ProgressLine(quiet=as_json) as progress:
        binary = Geth().acquire(VERSION, progress=progress)
        built = build_image(tag or image_tag("geth", VERSION), Geth(), binary, progress, base=base, again=again)
    if as_json:
        print_json(built.to_json())
    else:
        done(f"{built.tag}: {built.size / 1e6:.0f} MB, {built.id[:19]}")
