"""tm.conf: Constellation's configuration file (TOML), read and checked.

Every field of Constellation 0.3.2 is known, with the names of its 0.0.1 too. Four are added: `otherkeys`,
`networkinterface`, `privateport` and `classicresend`. What Constellation does and this transaction manager does not
is refused by name rather than ignored.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quorumkit.tm.config_fields import Fields
from quorumkit.tm.errors import TmConfigError, TmKeyError
from quorumkit.tm.keys import KeyPair, load_key_pair, load_public_key, password_lines

MAX_SOCKET_NAME = 80
"""Bytes of its file's name. In a deep directory the socket is reached through the directory's descriptor (see
`rpc.sockets`), and by a client that runs there by a relative path."""

DATABASE = "payloads.sqlite"

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class TlsConfig:
    """Mutual TLS between transaction managers: PEM files."""

    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path
    ca: Path | None
    """Who must have signed the others' certificates; None for the system's authorities."""


@dataclass(frozen=True)
class TmConfig:
    """A tm.conf that can be used: paths are absolute, URLs in one form."""

    source: Path
    url: str
    port: int
    interface: str
    """The address the public API listens on."""
    socket: Path | None
    """The private API's unix socket, which GoQuorum calls."""
    private_port: int | None
    """The private API's port on the loopback interface."""
    other_nodes: tuple[str, ...]
    """URLs of the network's other transaction managers: nobody else is spoken to."""
    other_keys: Mapping[bytes, str]
    """TM public keys of the others and their URLs. If there are any, no others are accepted."""
    public_keys: tuple[Path, ...]
    private_keys: tuple[Path, ...]
    always_send_to: tuple[Path, ...]
    passwords: Path | None
    database: Path
    ip_whitelist: frozenset[IpAddress]
    """Who may connect to the public API; empty for everybody."""
    classic_resend: frozenset[bytes]
    """TM public keys of others whose payloads are resent to whoever asks, without a proof: their managers know none."""
    tls: TlsConfig | None
    verbosity: int

    def load_keys(self) -> list[KeyPair]:
        """The node's TM key pairs. Raises TmConfigError (passwords), TmKeyError naming the fields and the file."""
        passwords: Sequence[bytes | None] = [None] * len(self.private_keys)
        if self.passwords is not None:
            passwords = self._read_passwords(self.passwords)
        triples = zip(self.public_keys, self.private_keys, passwords, strict=True)
        try:
            return [load_key_pair(public, private, password) for public, private, password in triples]
        except TmKeyError as error:
            raise self._about("publickeys, privatekeys", error) from error

    def load_always_send_to(self) -> tuple[bytes, ...]:
        """The TM public keys every payload is sent to as well. Raises TmKeyError naming the field and the file."""
        try:
            return tuple(load_public_key(path) for path in self.always_send_to)
        except TmKeyError as error:
            raise self._about("alwayssendto", error) from error

    def _about(self, fields: str, error: TmKeyError) -> TmKeyError:
        return TmKeyError(f"{self.source}: {fields}: {error.message}", hint=error.hint)

    def _read_passwords(self, path: Path) -> Sequence[bytes]:
        try:
            lines = password_lines(path.read_bytes())
        except OSError as error:
            raise TmConfigError(f"{self.source}: passwords: {path} cannot be read: {error.strerror}") from error
        if len(lines) != len(self.private_keys):
            raise TmConfigError(
                f"{self.source}: passwords: {path} has {len(lines)} lines for {len(self.private_keys)} private keys",
                hint="one line for every key, an empty one for a key that is not locked",
            )
        return lines


def read_config(path: Path) -> TmConfig:
    """Reads a tm.conf. Raises TmConfigError naming the file and the field."""
    try:
        content = path.read_bytes().decode()
    except OSError as error:
        raise TmConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise TmConfigError(f"{path}: line {line} is not UTF-8, and TOML is", hint="save it as UTF-8") from error
    return parse_config(content, path)


def parse_config(content: str, source: Path) -> TmConfig:
    """What a tm.conf says. Relative paths are relative to `workdir`, that one to the directory of `source`.

    Raises TmConfigError naming the file and the field.
    """
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise TmConfigError(f"{source}: not TOML: {error}") from error
    return _config(Fields(document, source))


def _config(fields: Fields) -> TmConfig:
    url = fields.url("url", fields.required("url"))
    other_nodes = tuple(fields.url("othernodes", other) for other in fields.texts("othernodes"))
    public_keys = fields.paths("publickeys")
    private_keys = fields.paths("privatekeys")
    if not public_keys:
        raise fields.wrong("publickeys", "at least one is needed", hint="make one with: quorumkit tm keygen")
    if len(public_keys) != len(private_keys):
        raise fields.wrong("privatekeys", f"{len(private_keys)} private keys for {len(public_keys)} public keys")
    return TmConfig(
        source=fields.source,
        url=url,
        port=fields.port("port", fields.required("port")),
        interface=_interface(fields),
        socket=_socket(fields),
        private_port=fields.port("privateport", fields.document["privateport"])
        if "privateport" in fields.document
        else None,
        other_nodes=tuple(dict.fromkeys(other for other in other_nodes if other != url)),
        other_keys=_other_keys(fields, other_nodes, url),
        public_keys=public_keys,
        private_keys=private_keys,
        always_send_to=fields.paths("alwayssendto"),
        passwords=fields.path("passwords"),
        database=_database(fields),
        ip_whitelist=frozenset(
            fields.parsed("ipwhitelist", ipaddress.ip_address, text) for text in fields.texts("ipwhitelist")
        ),
        classic_resend=frozenset(fields.key("classicresend", text) for text in fields.texts("classicresend")),
        tls=_tls(fields, url, other_nodes),
        verbosity=_verbosity(fields),
    )


def _interface(fields: Fields) -> str:
    text = fields.text("networkinterface", "0.0.0.0")  # noqa: S104  Constellation's, and containers need it
    if text == "localhost":
        return "127.0.0.1"
    return str(fields.parsed("networkinterface", ipaddress.ip_address, text))


def _verbosity(fields: Fields) -> int:
    value = int(fields.document.get("verbosity", 1))
    if value < 0:
        raise fields.wrong("verbosity", f"must be from 0 (errors) to 3 (everything), not {value}")
    return value


def _socket(fields: Fields) -> Path | None:
    path = fields.path("socket")
    if path is not None and (length := len(os.fsencode(path.name))) > MAX_SOCKET_NAME:
        raise fields.wrong(
            "socket",
            f"{path.name} has {length} bytes; the name of a unix socket may have {MAX_SOCKET_NAME} here",
            hint="give it a shorter name",
        )
    return path


def _other_keys(fields: Fields, other_nodes: tuple[str, ...], url: str) -> dict[bytes, str]:
    texts = fields.texts("otherkeys")
    if texts and len(texts) != len(other_nodes):
        raise fields.wrong("otherkeys", f"{len(texts)} keys for {len(other_nodes)} URLs in othernodes")
    keys: dict[bytes, str] = {}
    for text, other in zip(texts, other_nodes, strict=False):
        key = fields.key("otherkeys", text)
        if keys.get(key, other) != other:
            raise fields.wrong("otherkeys", f"{text} stands for both {keys[key]} and {other}")
        if other != url:
            keys[key] = other
    return keys


def _database(fields: Fields) -> Path:
    text = fields.text("storage", "dir:storage")
    if text == "memory":
        raise fields.wrong(
            "storage",
            "'memory' is not offered: what is acknowledged to others must be on the disk",
            hint="dir:memory for a directory of that name, which this meant until now",
        )
    kind, colon, rest = text.partition(":")
    if not colon:
        kind, rest = "dir", text
    if kind not in ("dir", "sqlite") or not rest:
        raise fields.wrong(
            "storage",
            f"{text!r}: payloads are kept in SQLite only",
            hint="sqlite:FILE, or dir:DIRECTORY (payloads.sqlite is made in it)",
        )
    return fields.workdir / rest if kind == "sqlite" else fields.workdir / rest / DATABASE


def _tls(fields: Fields, url: str, other_nodes: tuple[str, ...]) -> TlsConfig | None:
    mode = fields.text("tls", "strict" if url.startswith("https:") else "off")
    if mode not in ("strict", "off"):
        raise fields.wrong("tls", f"must be strict or off, not {mode!r}")
    if mode == "off":
        return None
    for name, checked in (("url", url), *(("othernodes", other) for other in other_nodes)):
        if not checked.startswith("https:"):
            raise fields.wrong(name, f"{checked}: with tls = strict it must start with https://")
    for name in ("tlsservertrust", "tlsclienttrust"):
        if fields.text(name, "ca") != "ca":
            raise fields.wrong(
                name,
                f"{fields.text(name, '')!r} is not offered",
                hint="ca: certificates signed by an authority, which tlsca can name",
            )
    for name in ("tlsserverchain", "tlsclientchain"):
        if fields.texts(name):
            raise fields.wrong(name, "is not read", hint="append the chain to the certificate's own file")
    files = {}
    for name in ("tlsservercert", "tlsserverkey", "tlsclientcert", "tlsclientkey"):
        files[name] = fields.workdir / str(fields.required(name))
        if not files[name].is_file():
            raise fields.wrong(name, f"{files[name]} is not there")
    ca = fields.path("tlsca")
    if ca is not None and not ca.is_file():
        raise fields.wrong("tlsca", f"{ca} is not there")
    return TlsConfig(files["tlsservercert"], files["tlsserverkey"], files["tlsclientcert"], files["tlsclientkey"], ca)
