"""Arguments and options that several commands share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorumkit.cli.engine_words import (
    ALWAYS_FREE,
    CONSENSUS,
    DEFAULT_CONSENSUS,
    DEFAULT_ENGINE,
    ENGINE,
    WITH_PRIVATE_TRANSACTIONS,
)
from quorumkit.directory import NetworkDirectory, default_directory
from quorumkit.errors import UsageError
from quorumkit.notation import whole_number

if TYPE_CHECKING:
    from quorumkit.providers import Provider
    from quorumkit.spec import NetworkSpec
    from quorumkit.stages.request import Request


class _Directory(click.ParamType):  # type: ignore[type-arg]
    name = "dir"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> NetworkDirectory:
        return value if isinstance(value, NetworkDirectory) else NetworkDirectory(Path(value).expanduser())


class _WholeNumber(click.ParamType):  # type: ignore[type-arg]
    """An integer as the spec takes it: `0x539` and `1e6` are some."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = whole_number(value)
        try:
            return number if isinstance(number, int) else int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)


WHOLE_NUMBER = _WholeNumber()


def directory_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """The network directory as an argument, or as the option that commands about nodes have."""

    @functools.wraps(command)
    def with_one(directory: NetworkDirectory | None, named: NetworkDirectory | None, **others: Any) -> Any:
        if directory and named and directory.path.absolute() != named.path.absolute():
            raise UsageError(f"two network directories: {directory.path} and {named.path}", hint="name one")
        return command(directory or named or NetworkDirectory(default_directory()), **others)

    option = click.option("-d", "--dir", "named", type=_Directory(), help="The same as DIR.  [default: ., or mynet]")
    argument = click.argument("directory", metavar="[DIR]", type=_Directory(), required=False)
    return argument(option(with_one))


directory_option = click.option(
    "-d", "--dir", "directory", type=_Directory(), default=default_directory, show_default="., or mynet",
    help="The network directory.",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What a new network is to be; an existing one must be so already."""
    for option in reversed(
        [
            click.option("-n", "--nodes", "validators", type=click.IntRange(1, 1000), metavar="N",
                         help="How many validators.  [default: 5]"),
            click.option("--observers", type=click.IntRange(0, 1000), metavar="M",
                         help="How many nodes only follow.  [default: 0]"),
            click.option("--chain-id", type=WHOLE_NUMBER, metavar="ID", help="Chain id.  [default: 1337]"),
            click.option("--free-gas", is_flag=True, default=None,
                         help="Transactions need not pay for gas, ever.  "
                              f"[default: with bft; with {ALWAYS_FREE} always]"),
            click.option("--period", type=WHOLE_NUMBER, metavar="SECONDS",
                         help="Seconds between blocks.  [default: 1]"),
            click.option("--name", metavar="NAME", help="Name of the network.  [default: the directory's]"),
            click.option("--runtime", type=click.Choice(["process", "compose", "kubernetes"]),
                         help="Where the nodes run.  [default: process]"),
            click.option("--exchange", "--no-shared-data", "identities", flag_value="exchanged",
                         help="Each node makes its own keys, and they agree over HTTP."),
            click.option("--engine", type=ENGINE,
                         help=f"The client that implements a node.  [default: {DEFAULT_ENGINE}]"),
            click.option("--consensus", type=CONSENSUS,
                         help=f"How validators agree.  [default: {DEFAULT_CONSENSUS}]"),
            click.option("--engine-binary", type=click.Path(path_type=Path), metavar="PATH",
                         help="A client binary to use instead of building one."),
            click.option("--transaction-manager", type=click.Choice(["builtin", "tessera"]),
                         help=f"What keeps private payloads.  [default: builtin with {WITH_PRIVATE_TRANSACTIONS}]"),
            click.option("--tm-binary", type=click.Path(path_type=Path), metavar="PATH",
                         help="Tessera's bin/tessera, or a .jar of it.  [default: the tessera on PATH]"),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


_SPEC_FIELDS = {
    "validators": "nodes.validators",
    "observers": "nodes.observers",
    "chain_id": "chain_id",
    "period": "consensus.period",
    "free_gas": "genesis.free_gas",
    "name": "name",
    "runtime": "runtime",
    "engine": "engine.kind",
    "consensus": "consensus.kind",
    "identities": "identities",
    "transaction_manager": "transaction_manager.kind",
}
"""The field of the spec that each of those options is about."""


def request_of(given: dict[str, Any]) -> Request:
    """What the values of `spec_options` ask for."""
    from quorumkit.stages.request import Request

    fields = {path: given[option] for option, path in _SPEC_FIELDS.items()}
    return Request(fields, given["engine_binary"], given["tm_binary"])


def provider_for(directory: NetworkDirectory, spec: NetworkSpec, request: Request) -> Provider:
    """What runs the network, with the programs that were asked for."""
    from quorumkit.providers import provider_of

    return provider_of(directory, spec, binary=request.engine_binary, tm_binary=request.tm_binary)
