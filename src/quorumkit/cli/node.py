"""Commands about one node, and the node program itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from quorumkit.cli.exchange import exchange_options, settings_of
from quorumkit.cli.node_status import node_status
from quorumkit.cli.options import directory_option, find_node, json_option
from quorumkit.cli.output import done, print_json
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NotRunningError, QuorumkitError, UsageError
from quorumkit.identities import identities_of
from quorumkit.plan import node_name
from quorumkit.providers import Command, provider_of
from quorumkit.providers.inside import console_inside
from quorumkit.stages.known import known_network


@click.command()
@click.argument("names", metavar="NODE...", nargs=-1)
@directory_option
@click.option("-f", "--follow", is_flag=True, help="Go on with new lines, until Ctrl-C.")
@click.option("--lines", type=click.IntRange(min=0), default=100, show_default=True, help="How many to begin with.")
@json_option
def logs(names: tuple[str, ...], directory: NetworkDirectory, follow: bool, lines: int, as_json: bool) -> None:
    """Show what a node's client logs; of all nodes if none is named.

    \b
    quorumkit logs node2 -f
    """
    network = known_network(directory)
    chosen = [find_node(network, name).name for name in names] or [node.name for node in network.nodes]
    command = provider_of(directory, network.spec).logs(chosen, follow=follow, lines=lines)
    if not as_json:
        _replace_by(command)
    if len(chosen) != 1:
        raise UsageError("--json wants one node", hint="quorumkit logs node1 --json")
    with subprocess.Popen(
        command.arguments, cwd=command.directory, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            click.echo(json.dumps({"node": chosen[0], "line": line.rstrip("\n")}))


WITHOUT_CLIENT = ("stopped", "exchanging", "admitting", "failed", "restarting")
"""States of a node in which no client of it runs."""


@click.command()
@click.argument("name", metavar="NODE", required=False)
@directory_option
@click.option("--exec", "execute", metavar="JAVASCRIPT", help="Evaluate this and print it, instead of a prompt.")
@json_option
def console(name: str | None, directory: NetworkDirectory, execute: str | None, as_json: bool) -> None:
    """Open the client's JavaScript console on a running node. Inside a node's container, NODE is that node.

    `storage` is loaded in it: storage.last().get() reads the newest storage contract on the chain. With --exec the exit
    code is 1 where the JavaScript fails.

    \b
    quorumkit console node2
    quorumkit console node2 --exec 'storage.last().get()'
    """
    inside = os.environ.get("QUORUMKIT_NODE_DIR")
    if name is None and inside is None:
        raise UsageError("which node?", hint="quorumkit console node1")
    if name is None:
        command = console_inside(Path(str(inside)), execute=execute)
    else:
        network = known_network(directory)
        node, runtime = find_node(network, name), provider_of(directory, network.spec)
        (status,) = [one for one in asyncio.run(runtime.status(network)) if one.name == node.name]
        if status.state in WITHOUT_CLIENT:
            why = f" ({status.error})" if status.error else ""
            raise NotRunningError(
                f"{node.name}: {status.state}, so its client has no console{why}",
                hint=f"start it: quorumkit node start {node.name}" if status.state == "stopped" else None,
            )
        command = runtime.console(node, execute=execute)
    if not as_json and command.failure is None:
        _replace_by(command)
    if execute is None:
        raise UsageError("--json wants --exec", hint="quorumkit console node1 --exec eth.blockNumber --json")
    if not as_json:
        raise click.exceptions.Exit(_tell(command))
    answer = subprocess.run(
        command.arguments, cwd=command.directory, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    lines = answer.stdout.splitlines()
    said = "\n".join(line for line in lines if line != command.failure).strip()
    if command.failure in lines:
        raise QuorumkitError(said)
    if answer.returncode != 0:
        raise QuorumkitError(answer.stderr.strip() or said or f"exit code {answer.returncode}")
    print_json({"node": name or "", "result": said}, as_it_is=True)


def _tell(command: Command) -> int:
    """Runs a command whose output tells whether it failed, and passes on the rest of it; its exit code."""
    failed = False
    with subprocess.Popen(
        command.arguments, cwd=command.directory, stdout=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.rstrip("\n") == command.failure:
                failed = True
            else:
                click.echo(line, nl=False)
    return process.returncode or int(failed)


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="NODE")
@click.argument("arguments", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@directory_option
@json_option
def exec_(name: str, arguments: tuple[str, ...], directory: NetworkDirectory, as_json: bool) -> None:
    """Run a command where a node runs: in its directory or container.

    QUORUMKIT_NODE, _ENODE, _ACCOUNT, _RPC_URL and _IPC tell it which node that is.

    \b
    quorumkit exec node1 -- sh -c 'echo $QUORUMKIT_RPC_URL'
    """
    network = known_network(directory)
    command = provider_of(directory, network.spec).execute(find_node(network, name), arguments)
    if not as_json:
        _replace_by(command)
    try:
        answer = subprocess.run(
            command.arguments, cwd=command.directory, env=_environment(command), capture_output=True, check=False,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise _cannot_run(command, error) from None
    told = {"node": name, "exit_code": answer.returncode, "stdout": answer.stdout, "stderr": answer.stderr}
    print_json(told, as_it_is=True)
    raise click.exceptions.Exit(answer.returncode)


@click.group()
def node() -> None:
    """Stop, start or restart one node; run the node program.

    \b
    quorumkit node stop node3
    """


def _change(action: str, past: str) -> click.Command:
    @click.command(
        action, help=f"{action.capitalize()} nodes of a running network.\n\n\b\nquorumkit node {action} node3"
    )
    @click.argument("names", metavar="NODE...", nargs=-1, required=True)
    @directory_option
    @json_option
    def command(names: tuple[str, ...], directory: NetworkDirectory, as_json: bool) -> None:
        network = known_network(directory)
        chosen = [find_node(network, name).name for name in names]
        runtime = provider_of(directory, network.spec)
        asyncio.run(getattr(runtime, f"{action}_nodes")(chosen))
        if as_json:
            print_json({"network": network.spec.name, "nodes": chosen, "done": past})
        else:
            done(f"{', '.join(chosen)}: {past}")

    return command


for _action, _past in (("stop", "stopped"), ("start", "started"), ("restart", "restarted")):
    node.add_command(_change(_action, _past))
node.add_command(node_status)


@node.command()
@click.argument("name", metavar="NODE")
@directory_option
@click.option(
    "--through", type=click.Path(path_type=Path, file_okay=False), envvar="QUORUMKIT_NODE_DIR",
    help="Tell the node that runs in this directory, of a network whose nodes share nothing.",
)  # fmt: skip
@json_option
def replace(name: str, directory: NetworkDirectory, through: Path | None, as_json: bool) -> None:
    """Admit the new identity of a node that lost its disk, in a network whose nodes exchange their identities.

    The node must run, with its new keys, under its old name. More than half of the sitting validators must sign: all
    nodes that can be reached from here are asked to; where others have theirs, they run this command too, and the last
    one that is needed brings it about. The node follows from then on; if it was a validator, the genesis still names
    its old account, and the others go on without it. Its old keys are refused for ever.

    The exit code is 3 while signatures are missing. Inside a node's container the command signs with that node.

    \b
    quorumkit node replace node3
    docker compose exec node1 quorumkit node replace node3
    """
    from quorumkit.providers.program import NodeProgram
    from quorumkit.stages.replacement import Collected, outcome, recorded_nodes, replace_node

    if through is not None:
        program = NodeProgram(through / ".state", [through], network=through)
        collected = Collected(asyncio.run(program.call("node_replace", name)), {})
    else:
        spec = directory.read_spec()
        # What is lost may be a record here too: the names are the spec's.
        if name not in (names := [node_name(ordinal) for ordinal in range(1, spec.nodes.total + 1)]):
            raise UsageError(f"no node {name!r}", hint=f"there are {names[0]} to {names[-1]}")
        known = recorded_nodes(directory, spec) or known_network(directory).nodes
        provider = provider_of(directory, spec)
        collected = asyncio.run(replace_node(provider, identities_of(directory, spec, provider), known, name))
    if as_json:
        print_json(collected.to_json())
    else:
        for other, reason in collected.failures.items():
            click.echo(f"{other}: {reason}", err=True)
        done(outcome(collected.told))
    if not collected.complete:
        raise click.exceptions.Exit(3)


@node.command("call", hidden=True)
@click.argument("method")
@click.option("--through", type=click.Path(path_type=Path, file_okay=False), envvar="QUORUMKIT_NODE_DIR", required=True)
@json_option
def call_(method: str, through: Path, as_json: bool) -> None:
    """Pass a request on to the node program of the node in that directory.

    Its parameters are JSON on standard input. This is how programs in containers and pods are reached.

    \b
    quorumkit node call node_status --through mynet/nodes/node1 <<< '[]'
    """
    from quorumkit.providers.program import NodeProgram

    program = NodeProgram(through / ".state", [through], network=through)
    print_json({"result": asyncio.run(program.call(method, *json.load(sys.stdin)))})


@node.command("run")
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
    help="Further host names under which it answers, parted by commas; * is any.  [default: those of the nodes]",
)  # fmt: skip
@click.option(
    "--engine-binary", type=click.Path(path_type=Path), envvar="QUORUMKIT_ENGINE_BINARY", help="The client to run."
)
@click.option(
    "--tm-binary",
    type=click.Path(path_type=Path),
    envvar="QUORUMKIT_TM_BINARY",
    help="The transaction manager to run, where it is not Quorumkit's own.",
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
    others, of which it needs to know names and the join secret only.

    \b
    quorumkit node run mynet/nodes/node1 --health 127.0.0.1:9100
    quorumkit node run /node --exchange --nodes 5 --peer-prefix node --join-secret-file /run/secrets/join
    """
    from quorumkit.node.supervisor import Options, run

    if exchange and len(nodes) != 1:
        raise UsageError("--exchange runs one node", hint="start one node program for each node")

    run(
        Options(
            nodes=nodes,
            state=state or nodes[0] / ".state",
            binary=engine_binary,
            tm_binary=tm_binary,
            logs=logs,
            health=_host_and_port(health) if health else None,
            health_names=frozenset(health_names.replace(",", " ").split()),
            exchange=settings_of(given) if exchange else None,
            ready_descriptor=ready_descriptor,
        )
    )


def _host_and_port(value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--health: {value!r} is not HOST:PORT", hint="for example 127.0.0.1:9100")
    return host.strip("[]"), int(port)


def _environment(command: Command) -> dict[str, str]:
    return os.environ | command.environment


def _replace_by(command: Command) -> None:
    """The command takes this process's place: its terminal, its signals, its exit code."""
    os.chdir(command.directory)
    try:
        os.execvpe(command.arguments[0], command.arguments, _environment(command))  # noqa: S606
    except OSError as error:
        raise _cannot_run(command, error) from None


def _cannot_run(command: Command, error: OSError) -> QuorumkitError:
    return QuorumkitError(f"{command.arguments[0]}: {error.strerror or error}", hint="is it installed, and on PATH?")
