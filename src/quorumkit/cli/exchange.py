"""Options of `quorumkit node run --exchange`, each of them also a variable of the environment."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorumkit.addresses import Endpoint
from quorumkit.cli.engine_words import CONSENSUS, DEFAULT_CONSENSUS, DEFAULT_ENGINE, ENGINE
from quorumkit.cli.options import WHOLE_NUMBER
from quorumkit.engines import named_ports, recipe_of
from quorumkit.errors import UsageError
from quorumkit.notation import is_literal_address
from quorumkit.render.containers import EXCHANGE_PORT, P2P_PORT, RPC_PORT, TM_PORT
from quorumkit.spec import NetworkSpec, parse_spec, read_spec

if TYPE_CHECKING:
    from quorumkit.exchange.names import Names
    from quorumkit.exchange.settings import ExchangeSettings, TlsFiles

_SPEC_OPTIONS = {
    "validators": ("nodes", "validators"),
    "observers": ("nodes", "observers"),
    "engine": ("engine", "kind"),
    "consensus": ("consensus", "kind"),
    "chain_id": ("chain_id",),
    "period": ("consensus", "period"),
    "free_gas": ("genesis", "free_gas"),
    "network_name": ("name",),
}


def _file(**more: Any) -> click.Path:
    return click.Path(dir_okay=False, path_type=Path, **more)


def exchange_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them; `settings_of` makes settings of their values."""
    options: list[tuple[str, dict[str, Any], str]] = [
        ("--exchange", {"is_flag": True}, "Agree with the other nodes over HTTP: nothing is shared but a secret."),
        ("--join-secret-file", {"type": _file()}, "The secret that all nodes of the network have; in a file."),
        ("--peers", {"metavar": "LIST"}, "All nodes by ordinal, this one too: HOST[:PORT],HOST[:PORT],…"),
        ("--peer-prefix", {"metavar": "TEXT"}, "Instead: what all nodes' names begin with, before their number."),
        ("--peer-suffix", {"metavar": "TEXT", "default": ""}, "What follows the number, such as a domain."),
        ("--first-index", {"type": click.IntRange(0, 1), "default": 1, "show_default": True},
         "The number in the first node's name: 0 for the pods of a StatefulSet."),
        ("--ordinal", {"type": click.IntRange(1, 2000)}, "Which node this is, from 1."),
        ("--node-name", {"metavar": "NAME"}, "Instead: its name, as in the list or with the prefix.  "
         "[default: this machine's host name]"),
        ("--host", {"metavar": "HOST"}, "What others look this node up by.  [default: from the list or prefix]"),
        ("--spec", {"type": _file(exists=True)}, "The network's quorumkit.yaml; or these options:"),
        ("--nodes", {"type": click.IntRange(1, 1000), "metavar": "N"}, "How many validators.  [default: 5]"),
        ("--observers", {"type": click.IntRange(0, 1000), "metavar": "M"}, "How many that only follow."),
        ("--engine", {"type": ENGINE}, f"The client.  [default: {DEFAULT_ENGINE}]"),
        ("--consensus", {"type": CONSENSUS}, f"Consensus kind.  [default: {DEFAULT_CONSENSUS}]"),
        ("--chain-id", {"type": WHOLE_NUMBER, "metavar": "ID"}, "Chain id.  [default: 1337]"),
        ("--free-gas", {"is_flag": True, "default": None}, "Transactions need not pay for gas, ever."),
        ("--period", {"type": WHOLE_NUMBER, "metavar": "SECONDS"}, "Seconds between blocks.  [default: 1]"),
        ("--network-name", {"metavar": "NAME"}, "Name of the network.  [default: quorum]"),
        ("--exchange-bind", {"metavar": "HOST:PORT", "default": f"0.0.0.0:{EXCHANGE_PORT}", "show_default": True},
         "Where the exchange is served; its port is the others' too where they are named without one."),
        ("--p2p-bind", {"metavar": "HOST:PORT", "default": f"0.0.0.0:{P2P_PORT}", "show_default": True},
         "Where the client listens for its peers."),
        ("--p2p-port", {"type": click.IntRange(1, 65535)}, "What others dial.  [default: --p2p-bind's]"),
        *((f"--{name}-port", {"type": click.IntRange(1, 65535), "default": port.number, "show_default": True},
           port.about) for name, port in named_ports().items()),
        ("--tm-bind", {"metavar": "HOST:PORT", "default": f"0.0.0.0:{TM_PORT}", "show_default": True},
         "Where the transaction manager listens for the others', where there is one."),
        ("--rpc-bind", {"metavar": "HOST:PORT", "default": f"127.0.0.1:{RPC_PORT}", "show_default": True},
         "Where the client serves JSON-RPC."),
        ("--rpc-url", {"metavar": "URL"}, "How people reach that."),
        ("--rpc-names", {"metavar": "LIST", "default": ""},
         "Further host names under which it answers, parted by commas.  [default: localhost and --host]"),
        ("--hosts-file", {"type": _file()}, "Look names up there first (hosts(5)); read each time."),
        ("--tls-cert", {"type": _file()}, "TLS for the exchange: this node's certificate (PEM)."),
        ("--tls-key", {"type": _file()}, "Its key (PEM)."),
        ("--tls-ca", {"type": _file()}, "The authority that signed all nodes' certificates (PEM)."),
    ]  # fmt: skip
    for name, more, text in reversed(options):
        variable = "QUORUMKIT_" + name.removeprefix("--").upper().replace("-", "_")
        names = [name, "validators"] if name == "--nodes" else [name]
        command = click.option(*names, envvar=variable, show_envvar=True, help=text, **more)(command)
    return command


def settings_of(given: dict[str, Any]) -> ExchangeSettings:
    """The settings that those options say.

    Raises:
        UsageError: one is missing or wrong.
    """
    from quorumkit.exchange.names import Names, parse_endpoint, parse_peers
    from quorumkit.exchange.settings import ExchangeSettings

    bind = parse_endpoint(given["exchange_bind"])
    p2p_bind, rpc_bind = parse_endpoint(given["p2p_bind"]), parse_endpoint(given["rpc_bind"])
    names = Names(
        bind.port,
        parse_peers(given["peers"] or "", bind.port),
        given["peer_prefix"],
        given["peer_suffix"],
        given["first_index"],
    )
    if not names.hosts and names.prefix is None:
        raise UsageError(
            "--exchange: which nodes are there?",
            hint="name them with --peers (QUORUMKIT_PEERS) or --peer-prefix (QUORUMKIT_PEER_PREFIX)",
        )
    if given["join_secret_file"] is None:
        raise UsageError("--exchange: no join secret", hint="give --join-secret-file (QUORUMKIT_JOIN_SECRET_FILE)")
    ordinal = given["ordinal"] or names.ordinal(given["node_name"] or socket.gethostname())
    host = given["host"] or _host(names, ordinal)
    spec = _spec(given)
    local = rpc_bind.host == "localhost" or _is_loopback(rpc_bind.host)
    return ExchangeSettings(
        spec=spec,
        ordinal=ordinal,
        names=names,
        secret=given["join_secret_file"],
        host=host,
        bind=bind,
        p2p_bind=_literal(p2p_bind),
        p2p_port=given["p2p_port"] or p2p_bind.port,
        rpc_bind=_literal(rpc_bind),
        rpc_url=given["rpc_url"] or f"http://{rpc_bind if local else Endpoint(host, rpc_bind.port)}",
        rpc_names=tuple(
            dict.fromkeys(
                [
                    "localhost",
                    *([] if local or is_literal_address(host) else [host]),
                    *(name for name in re.split(r"[,\s]+", given["rpc_names"]) if name),
                ]
            )
        ),
        ports={name: given[f"{name}_port"] for name in recipe_of(spec.engine.kind).ports(spec.consensus.kind)},
        tm_bind=_literal(parse_endpoint(given["tm_bind"])) if spec.transaction_manager else None,
        hosts_file=given["hosts_file"],
        tls=_tls(given),
    )


def _spec(given: dict[str, Any]) -> NetworkSpec:
    asked = {path: given[option] for option, path in _SPEC_OPTIONS.items() if given[option] is not None}
    if given["spec"] is not None:
        if asked:
            raise UsageError(
                f"--spec and {', '.join('.'.join(path) for path in asked)} were both given",
                hint="write it into the spec file, or leave the file out",
            )
        return read_spec(given["spec"])
    value: dict[str, Any] = {"name": "quorum"}
    for path, wanted in asked.items():
        part = value
        for step in path[:-1]:
            part = part.setdefault(step, {})
        part[path[-1]] = wanted
    return parse_spec(value, source="the options given")


def _host(names: Names, ordinal: int) -> str:
    endpoint = names.endpoint(ordinal)
    if endpoint is None:
        raise UsageError(
            f"ordinal {ordinal} is not in the peer list",
            hint="give --host (QUORUMKIT_HOST): what the others are to look this node up by",
        )
    return endpoint.host


def _literal(bind: Endpoint) -> Endpoint:
    if not is_literal_address(bind.host):
        raise UsageError(f"{bind}: a client listens on an address, not a name", hint="for example 0.0.0.0:30303")
    return bind


def _is_loopback(host: str) -> bool:
    return is_literal_address(host) and ipaddress.ip_address(host).is_loopback


def _tls(given: dict[str, Any]) -> TlsFiles | None:
    from quorumkit.exchange.settings import TlsFiles

    files = [given[name] for name in ("tls_cert", "tls_key", "tls_ca")]
    if not any(files):
        return None
    if not all(files):
        raise UsageError("TLS needs all of --tls-cert, --tls-key and --tls-ca", hint="give the missing ones, or none")
    return TlsFiles(*files)
