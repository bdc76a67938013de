"""Commands about the node image."""

from __future__ import annotations

from pathlib import Path

import click

from quorumkit.cli.options import json_option
from quorumkit.cli.output import ProgressLine, done, print_json
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import UsageError


@click.group()
def image() -> None:
    """Make the node image that containers run.

    \b
    quorumkit image build
    """


@image.command()
@click.option(
    "-d", "--dir", "directory", type=click.Path(path_type=Path), help="The image that this network directory asks for."
)
@click.option("--tag", metavar="NAME", help="Name it so.  [default: quorumkit/node:VERSION-ENGINEVERSION]")
@click.option(
    "--engine", type=click.Choice(["geth", "goquorum"]), help="The client in it.  [default: that of --dir, else geth]"
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
    directory: Path | None,
    tag: str | None,
    engine: str | None,
    engine_binary: Path | None,
    base: str | None,
    again: bool,
    as_json: bool,
) -> None:
    """Build the node image: the client and the node program, on next to nothing.

    Needs Docker. The build reaches out for the base image and Debian packages only; all else is taken from here.

    \b
    quorumkit image build
    quorumkit image build --dir mynet
    quorumkit image build --base debian:12-slim --tag registry.example/quorumkit:1
    quorumkit image build --engine goquorum --engine-binary /path/to/geth
    """
    from quorumkit.engines import engine_of
    from quorumkit.image.build import build_image, image_tag
    from quorumkit.spec import parse_spec

    override = engine_binary and engine_binary.expanduser().absolute()
    if directory is not None:
        network = NetworkDirectory(directory)
        spec = network.read_spec()
        if engine not in (None, spec.engine.kind):
            raise UsageError(f"{directory}: its engine is {spec.engine.kind}, not {engine}", hint="leave --engine out")
        override = override or network.engine_override(spec)
    else:
        spec = parse_spec({"name": "image", "engine": {"kind": engine or "geth"}})
    wanted, client = spec.engine, engine_of(spec.engine.kind)
    with ProgressLine(quiet=as_json) as progress:
        binary = client.acquire(wanted.version, override=override, image=wanted.image, progress=progress)
        tag = tag or image_tag(wanted.kind, wanted.version)
        built = build_image(tag, client, binary, progress, base=base, again=again)
    if as_json:
        print_json(built.to_json())
    else:
        done(f"{built.tag}: {built.size / 1e6:.0f} MB, {built.id[:19]}")
