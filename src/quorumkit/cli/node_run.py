"""`quorumkit node run`: the node program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from quorumkit.cli.exchange import exchange_options
from quorumkit.errors import UsageError


@click.command("run")
@click.argument("nodes", metavar="NODE_DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--state", type=click.Path(path_type=Path), help="Where the control socket is.  [default: NODE_DIR/.state]"
)
@click.option("--logs", type=click.Path(path_type=Path), help="Write rotated logs here, not to standard output.")
@click.option(
    "--health", metavar="HOST:PORT", envvar="QUORUMKIT_HEALTH", help="Serve /healthz, /readyz and /metrics there."
)
@click.option(
    "--health-names", metavar="LIST", default="", envvar="QUORUMKIT_HEALTH_NAMES",
    help="Further host names that it answers to, separated by commas; * is any.  [default: those of the nodes]",
)  # fmt: skip
@click.option(
    "--engine-binary", type=click.Path(path_type=Path), envvar="QUORUMKIT_ENGINE_BINARY", help="The client to run."
)
@click.option(
    "--tm-binary",
    type=click.Path(path_type=Path),
    envvar="QUORUMKIT_TM_BINARY",
    help="The transaction manager to run, if it is not Quorumkit's own.",
)
@exchange_options
@click.option("--ready-descriptor", type=int, hidden=True)
def run_(
    nodes: tuple[Path, ...],
    state: Path | None,
    logs: Path | None,
    health: str | None,
    health_names: str,
    engine_binary: Path | None,
    tm_binary: Path | None,
    ready_descriptor: int | None,
    exchange: bool,
    **given: Any,
) -> None:  # fmt: skip
    """The node program: run the nodes in these directories, heal them, until SIGTERM.

    With --exchange the one directory may be empty: the node makes its keys there, and agrees on the genesis with the
    others, of which it needs to know only the names and the join secret.

    \b
    quorumkit node run mynet/nodes/node1 --health 127.0.0.1:9100
    quorumkit node run /node --exchange --nodes 5 --peer-prefix node --join-secret-file /run/secrets/join
    """
    from quorumkit.node.program import Options, run

    settings = None
    if exchange:
        from quorumkit.stages.exchange_settings import settings_of

        if len(nodes) != 1:
            raise UsageError("--exchange runs one node", hint="start one node program for each node")
        settings = settings_of(given)

    run(
        Options(
            nodes=nodes,
            state=state or nodes[0] / ".state",
            binary=engine_binary,
            tm_binary=tm_binary,
            logs=logs,
            health=_host_and_port(health) if health else None,
            health_names=frozenset(health_names.replace(",", " ").split()),
            exchange=settings,
            ready_descriptor=ready_descriptor,
        )
    )


def _host_and_port(value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--health: {value!r} is not HOST:PORT", hint="for example 127.0.0.1:9100")
    return host.strip("[]"), int(port)
