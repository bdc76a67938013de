"""`quorumkit exec`."""

from __future__ import annotations

import click

from quorumkit.cli.options import directory_option, json_option
from quorumkit.cli.output import print_json
from quorumkit.cli.terminal import replace_by, run_for_output
from quorumkit.directory import NetworkDirectory
from quorumkit.stages.load import find_node, load_network


@click.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="NODE")
@click.argument("arguments", metavar="COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@directory_option
@json_option
def exec_(name: str, arguments: tuple[str, ...], directory: NetworkDirectory, as_json: bool) -> None:
    """Run a command where a node runs: in its directory or container.

    The variables QUORUMKIT_NODE, _ENODE, _ACCOUNT, _RPC_URL and _IPC describe that node to it.

    \b
    quorumkit exec node1 -- sh -c 'echo $QUORUMKIT_RPC_URL'
    """
    network, provider = load_network(directory)
    command = provider.execute(find_node(network, name), arguments)
    if not as_json:
        replace_by(command)
    answer = run_for_output(command)
    result = {"node": name, "exit_code": answer.returncode, "stdout": answer.stdout, "stderr": answer.stderr}
    print_json(result, as_it_is=True)
    raise click.exceptions.Exit(answer.returncode)
