"""What a node must know to agree with the others, from the options of `quorumkit node run --exchange`."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from typing import Any

from quorumkit.addresses import Endpoint
from quorumkit.errors import UsageError
from quorumkit.exchange.names import Names, parse_endpoint, parse_peers
from quorumkit.exchange.settings import ExchangeSettings, TlsFiles
from quorumkit.notation import is_literal_address
from quorumkit.spec import NetworkSpec, parse_spec, read_spec
from quorumkit.stages.request import with_fields

_SPEC_FIELDS = {
    "validators": "nodes.validators",
    "observers": "nodes.observers",
    "engine": "engine.kind",
    "consensus": "consensus.kind",
    "chain_id": "chain_id",
    "period": "consensus.period",
    "free_gas": "genesis.free_gas",
    "network_name": "name",
}
"""The field of the spec that each of those options is about."""


def settings_of(given: Mapping[str, Any]) -> ExchangeSettings:
    """The settings that these options ask for; `given` are their values by name, with _ for -, None for what was not
    given.

    Raises:
        UsageError: one is missing or wrong.
    """
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
        ports={name: given[f"{name}_port"] for name in spec.recipe.ports(spec.consensus.kind)},
        tm_bind=_literal(parse_endpoint(given["tm_bind"])) if spec.transaction_manager else None,
        hosts_file=given["hosts_file"],
        tls=_tls(given),
    )


def _spec(given: Mapping[str, Any]) -> NetworkSpec:
    fields = {path: given[option] for option, path in _SPEC_FIELDS.items() if given[option] is not None}
    if given["spec"] is not None:
        if fields:
            raise UsageError(
                f"--spec and {', '.join(fields)} were both given",
                hint="write it into the spec file, or leave the file out",
            )
        return read_spec(given["spec"])
    return parse_spec(with_fields({"name": "quorum"}, fields), source="the options given")


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


def _tls(given: Mapping[str, Any]) -> TlsFiles | None:
    files = [given[name] for name in ("tls_cert", "tls_key", "tls_ca")]
    if not any(files):
        return None
    if not all(files):
        raise UsageError("TLS needs all of --tls-cert, --tls-key and --tls-ca", hint="give the missing ones, or none")
    return TlsFiles(*files)
