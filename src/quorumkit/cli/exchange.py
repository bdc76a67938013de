"""Options of `quorumkit node run --exchange`, each of them also a variable of the environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from quorumkit.cli.engine_words import CONSENSUS, DEFAULT_CONSENSUS, DEFAULT_ENGINE, ENGINE
from quorumkit.cli.options import WHOLE_NUMBER
from quorumkit.engines import named_ports
from quorumkit.render.containers import EXCHANGE_PORT, P2P_PORT, RPC_PORT, TM_PORT


def _file(**more: Any) -> click.Path:
    return click.Path(dir_okay=False, path_type=Path, **more)


def exchange_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them; `stages.exchange_settings.settings_of` makes settings of their values."""
    options: list[tuple[str, dict[str, Any], str]] = [
        ("--exchange", {"is_flag": True}, "Agree with the other nodes over HTTP: nothing is shared but a secret."),
        ("--join-secret-file", {"type": _file()}, "The secret that all nodes of the network have; in a file."),
        ("--peers", {"metavar": "LIST"}, "All nodes in order, including this one: HOST[:PORT],HOST[:PORT],…"),
        ("--peer-prefix", {"metavar": "TEXT"},
         "Instead of --peers: what all nodes' names begin with, before their number."),
        ("--peer-suffix", {"metavar": "TEXT", "default": ""}, "What follows the number, such as a domain."),
        ("--first-index", {"type": click.IntRange(0, 1), "default": 1, "show_default": True},
         "The number in the first node's name: 0 for the pods of a StatefulSet."),
        ("--ordinal", {"type": click.IntRange(1, 2000)}, "Which node this is, from 1."),
        ("--node-name", {"metavar": "NAME"}, "Instead of --ordinal: its name, as in the list or with the prefix.  "
         "[default: this machine's host name]"),
        ("--host", {"metavar": "HOST"},
         "The name or address by which others find this node.  [default: from the list or prefix]"),
        ("--spec", {"type": _file(exists=True)}, "The network's quorumkit.yaml; or these options:"),
        ("--nodes", {"type": click.IntRange(1, 1000), "metavar": "N"}, "How many validators.  [default: 5]"),
        ("--observers", {"type": click.IntRange(0, 1000), "metavar": "M"}, "How many nodes only follow."),
        ("--engine", {"type": ENGINE}, f"The client.  [default: {DEFAULT_ENGINE}]"),
        ("--consensus", {"type": CONSENSUS}, f"Consensus kind.  [default: {DEFAULT_CONSENSUS}]"),
        ("--chain-id", {"type": WHOLE_NUMBER, "metavar": "ID"}, "Chain id.  [default: 1337]"),
        ("--free-gas", {"is_flag": True, "default": None}, "Transactions need not pay for gas, ever."),
        ("--period", {"type": WHOLE_NUMBER, "metavar": "SECONDS"}, "Seconds between blocks.  [default: 1]"),
        ("--network-name", {"metavar": "NAME"}, "Name of the network.  [default: quorum]"),
        ("--exchange-bind", {"metavar": "HOST:PORT", "default": f"0.0.0.0:{EXCHANGE_PORT}", "show_default": True},
         "Where the exchange is served; its port is also that of others that are named without one."),
        ("--p2p-bind", {"metavar": "HOST:PORT", "default": f"0.0.0.0:{P2P_PORT}", "show_default": True},
         "Where the client listens for its peers."),
        ("--p2p-port", {"type": click.IntRange(1, 65535)}, "What others dial.  [default: --p2p-bind's]"),
        *((f"--{name}-port", {"type": click.IntRange(1, 65535), "default": port.number, "show_default": True},
           port.about) for name, port in named_ports().items()),
        ("--tm-bind", {"metavar": "HOST:PORT", "default": f"0.0.0.0:{TM_PORT}", "show_default": True},
         "Where the transaction manager listens for the others', where there is one."),
        ("--rpc-bind", {"metavar": "HOST:PORT", "default": f"127.0.0.1:{RPC_PORT}", "show_default": True},
         "Where the client serves JSON-RPC."),
        ("--rpc-url", {"metavar": "URL"}, "The URL by which people reach it."),
        ("--rpc-names", {"metavar": "LIST", "default": ""},
         "Further host names that it answers to, separated by commas.  [default: localhost and --host]"),
        ("--hosts-file", {"type": _file()}, "A hosts(5) file in which names are looked up first; read each time."),
        ("--tls-cert", {"type": _file()}, "TLS for the exchange: this node's certificate (PEM)."),
        ("--tls-key", {"type": _file()}, "Its key (PEM)."),
        ("--tls-ca", {"type": _file()}, "The authority that signed all nodes' certificates (PEM)."),
    ]  # fmt: skip
    for name, more, text in reversed(options):
        variable = "QUORUMKIT_" + name.removeprefix("--").upper().replace("-", "_")
        names = [name, "validators"] if name == "--nodes" else [name]
        command = click.option(*names, envvar=variable, show_envvar=True, help=text, **more)(command)
    return command
