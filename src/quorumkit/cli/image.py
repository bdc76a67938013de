"""Commands about the node image."""

from __future__ import annotations

from pathlib import Path

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
@click.option("--tag", metavar="NAME", help="Name it so.  [default: quorumkit/node:VERSION-ENGINEVERSION]")
@click.option(
    "--engine", type=click.Choice(["geth", "goquorum"]), default="geth", show_default=True, help="The client in it."
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
@click.option("--no-cache", "again", is_flag=True, help="Build it anew even where nothing changed.")
@json_option
def build(
    tag: str | None, engine: str, engine_binary: Path | None, base: str | None, again: bool, as_json: bool
) -> None:
    """Build the node image: the client and the node program, on next to nothing.

    Needs Docker. The build reaches out for the base image and Debian packages only; all else is taken from here.

    \b
    quorumkit image build
    quorumkit image build --base debian:12-slim --tag registry.example/quorumkit:1
    quorumkit image build --engine goquorum --engine-binary /path/to/geth
    """
    from quorumkit.engines import engine_of
    from quorumkit.image.build import build_image, image_tag
    from quorumkit.spec import parse_spec

    wanted, client = parse_spec({"name": "image", "engine": {"kind": engine}}).engine, engine_of(engine)
    override = engine_binary and engine_binary.expanduser().absolute()
    with ProgressLine(quiet=as_json) as progress:
        binary = client.acquire(wanted.version, override=override, progress=progress)
        tag = tag or image_tag(wanted.kind, wanted.version)
        built = build_image(tag, client, binary, progress, base=base, again=again)
    if as_json:
        print_json(built.to_json())
    else:
        done(f"{built.tag}: {built.size / 1e6:.0f} MB, {built.id[:19]}")
