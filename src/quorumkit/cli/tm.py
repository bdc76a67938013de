"""`quorumkit tm`: the builtin transaction manager and its keys."""

from __future__ import annotations

from pathlib import Path

import click

from quorumkit.errors import UsageError


@click.group()
def tm() -> None:
    """The transaction manager for GoQuorum's private transactions.

    \b
    quorumkit tm run mynet/nodes/node1/tm/tm.conf
    """


@tm.command()
@click.argument("conf", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--recover", is_flag=True, help="Have all other parties resend what they hold for this node.")
def run(conf: Path, recover: bool) -> None:
    """Run a transaction manager with the tm.conf CONF until SIGTERM or SIGINT.

    \b
    quorumkit tm run mynet/nodes/node1/tm/tm.conf
    """
    from quorumkit.tm.config import read_config
    from quorumkit.tm.server import run as run_manager

    run_manager(read_config(conf), recover=recover)


@tm.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option("--name", default="tm", show_default=True, help="Writes NAME.key and NAME.pub.")
@click.option(
    "--password-file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Lock the private key with the first line of this file.",
)
def keygen(directory: Path, name: str, password_file: Path | None) -> None:
    """Make a TM key pair in DIRECTORY and print the public key.

    \b
    quorumkit tm keygen keys --name tm
    """
    from quorumkit.files import private_directory
    from quorumkit.tm.keys import generate_key_pair, password_lines, write_key_files

    password = None
    if password_file is not None:
        password = (password_lines(password_file.read_bytes()) or [b""])[0]
        if not password:
            raise UsageError(f"{password_file}: the first line is empty")
    private_directory(directory)
    for path in (directory / f"{name}.key", directory / f"{name}.pub"):
        if path.exists():
            raise UsageError(f"{path} already exists", hint="give another --name, or move the old key away")
    pair = generate_key_pair()
    write_key_files(pair, directory, name=name, password=password)
    click.echo(pair.public_base64)
