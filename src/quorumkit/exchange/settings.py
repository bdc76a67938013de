"""How a node takes part in an exchange: what its command line and environment say."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from quorumkit.addresses import Endpoint
from quorumkit.errors import UsageError
from quorumkit.exchange.names import Names
from quorumkit.spec import NetworkSpec


@dataclass(frozen=True)
class TlsFiles:
    """Certificates in PEM files. Both sides show one, and both must be signed by the authority."""

    certificate: Path
    key: Path
    authority: Path

    def server(self) -> ssl.SSLContext:
        """Raises:
        UsageError: the files are not certificates and a key.
        """
        return self._load(ssl.Purpose.CLIENT_AUTH)

    def client(self) -> ssl.SSLContext:
        """Raises:
        UsageError: the files are not certificates and a key.
        """
        return self._load(ssl.Purpose.SERVER_AUTH)

    def _load(self, purpose: ssl.Purpose) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(purpose, cafile=self.authority)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"exchange TLS: {self.certificate}, {self.key}, {self.authority}: {error}",
                hint="give a PEM certificate, its key, and the authority that signed all nodes' certificates",
            ) from None
        return context


@dataclass(frozen=True)
class ExchangeSettings:
    """One node's part in it."""

    spec: NetworkSpec
    """What network is wanted: the same on all nodes, but for what is a node's own affair (see `terms_of`)."""
    ordinal: int
    names: Names
    secret: Path
    """The join secret's file."""
    host: str
    """What the others look this node up by."""
    bind: Endpoint
    """Where the exchange is served."""
    p2p_bind: Endpoint
    p2p_port: int
    """What the others dial."""
    rpc_bind: Endpoint
    rpc_url: str
    rpc_names: tuple[str, ...] = ("localhost",)
    ports: Mapping[str, int] = field(default_factory=dict, hash=False)
    """What its kind of client needs beyond those for peers and for JSON-RPC, by name."""
    tm_bind: Endpoint | None = None
    """Where the node's transaction manager listens for the others', where it has one."""
    hosts_file: Path | None = None
    """Names to be looked up there first (hosts(5))."""
    tls: TlsFiles | None = None
