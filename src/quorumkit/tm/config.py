"""tm.conf: Constellation's configuration file (TOML), read, checked and written.

Every field of Constellation 0.3.2 is known, with the names of its 0.0.1 too. Four are added: `otherkeys`,
`networkinterface`, `privateport` and `classicresend`. What Constellation does and this transaction manager does not
is refused by name rather than ignored.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from quorumkit.addresses import HttpUrl
from quorumkit.tm.errors import TmConfigError, TmKeyError
from quorumkit.tm.keys import KeyPair, load_key_pair, load_public_key, parse_public_key, password_lines

MAX_SOCKET_NAME = 80
"""Bytes of its file's name. In a deep directory the socket is reached through the directory's descriptor (see
`rpc.sockets`), and by a client that runs there by a relative path."""

DATABASE = "payloads.sqlite"

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_T = TypeVar("_T")

_OLD_NAMES = {
    "socketPath": "socket",
    "otherNodeUrls": "othernodes",
    "publicKeyPath": "publickeys",
    "privateKeyPath": "privatekeys",
    "archivalPublicKeyPath": "alwayssendto",
    "archivalPrivateKeyPath": "",
    "storagePath": "storage",
    "ipWhitelist": "ipwhitelist",
}
"""Constellation 0.0.1's names. One with the archival keys needs both pairs, see `_modernise`."""

_STRINGS = (
    *("url", "networkinterface", "socket", "workdir", "passwords", "storage", "tls", "tlsca"),
    *("tlsservercert", "tlsserverkey", "tlsservertrust", "tlsknownclients"),
    *("tlsclientcert", "tlsclientkey", "tlsclienttrust", "tlsknownservers"),
)
_NUMBERS = ("port", "privateport", "verbosity")
_LISTS = (
    *("othernodes", "otherkeys", "publickeys", "privatekeys", "alwayssendto", "ipwhitelist", "classicresend"),
    *("tlsserverchain", "tlsclientchain"),
)


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
    return _Fields(_modernise(document, source), source).config()


def render_tm_conf(
    *,
    url: str,
    port: int,
    socket: str | None = "tm.ipc",
    private_port: int | None = None,
    other_nodes: Sequence[str] = (),
    other_keys: Sequence[str] = (),
    public_keys: Sequence[str] = ("tm.pub",),
    private_keys: Sequence[str] = ("tm.key",),
    always_send_to: Sequence[str] = (),
    passwords: str | None = None,
    storage: str = f"sqlite:{DATABASE}",
    workdir: str | None = None,
    interface: str | None = None,
    ip_whitelist: Sequence[str] = (),
    classic_resend: Sequence[str] = (),
    tls: Mapping[str, str] | None = None,
    verbosity: int = 1,
) -> bytes:
    """The bytes of a tm.conf; the same arguments give the same bytes.

    `other_keys` are TM public keys in base64, one for each of `other_nodes` in the same order.
    `tls` holds the names of PEM files under `tlsservercert`, `tlsserverkey`, `tlsclientcert`, `tlsclientkey`
    and, unless the system's authorities sign the certificates, `tlsca`. Paths are relative to the file's directory.
    """
    import tomli_w

    document: dict[str, Any] = {
        "url": url,
        "port": port,
        "networkinterface": interface,
        "socket": socket,
        "privateport": private_port,
        "workdir": workdir,
        "othernodes": list(other_nodes),
        "otherkeys": list(other_keys) or None,
        "publickeys": list(public_keys),
        "privatekeys": list(private_keys),
        "alwayssendto": list(always_send_to) or None,
        "passwords": passwords,
        "storage": storage,
        "ipwhitelist": list(ip_whitelist) or None,
        "classicresend": list(classic_resend) or None,
        "tls": "strict" if tls else "off",
        **(tls or {}),
        "verbosity": verbosity,
    }
    written = {name: value for name, value in document.items() if value is not None}
    return tomli_w.dumps(written).encode()


RENDERED = frozenset(
    {
        *("url", "port", "networkinterface", "socket", "workdir", "othernodes", "otherkeys"),
        *("publickeys", "privatekeys", "storage", "tls"),
        *_OLD_NAMES,
    }
)
"""Fields that follow from the network, so that a file that is written anew has them anew, or not any more."""


def keep_fields(present: bytes, rendered: bytes, *, source: Path) -> bytes:
    """`rendered` with those fields of the file it replaces that do not follow from the network (`RENDERED`).

    Raises TmConfigError where what is there cannot be read: nobody could tell what it was meant to say.
    """
    import tomli_w

    try:
        before = tomllib.loads(present.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TmConfigError(
            f"{source}: not TOML: {error}", hint="mend it, or remove it: it is written again, without what was added"
        ) from error
    document = tomllib.loads(rendered.decode())
    merged = document | {name: value for name, value in before.items() if name not in RENDERED}
    return rendered if merged == document else tomli_w.dumps(merged).encode()


def normalise_url(text: str) -> str:
    """A transaction manager's URL in the one form in which URLs are compared: `SCHEME://HOST:PORT/`.

    Raises ValueError.
    """
    url = HttpUrl.parse(text)
    if url.rest not in ("", "/") or url.user is not None:
        raise ValueError("it must be SCHEME://HOST:PORT/ and no more")
    return str(replace(url, rest="/"))


def _modernise(document: dict[str, Any], source: Path) -> dict[str, Any]:
    """The document under the names of Constellation 0.3.2, which went by `privateKeyPath` to know an old one.

    Raises TmConfigError where it has both names of a field: one would be ignored.
    """
    if "privateKeyPath" not in document:
        return document
    modern = {name: value for name, value in document.items() if name not in _OLD_NAMES}
    for old, name in _OLD_NAMES.items():
        if name and old in document:
            if name != old and name in document:
                raise TmConfigError(f"{source}: {old}: stands there as {name} too", hint=f"leave {name} alone in it")
            value = document[old]
            modern[name] = [value] if old.endswith("KeyPath") else f"dir:{value}" if old == "storagePath" else value
    if "archivalPublicKeyPath" in document:
        modern["publickeys"] = [*modern.get("publickeys", []), document["archivalPublicKeyPath"]]
    if "archivalPrivateKeyPath" in document:
        modern["privatekeys"] = [*modern["privatekeys"], document["archivalPrivateKeyPath"]]
    return modern


class _Fields:
    """The fields of one tm.conf; every complaint starts with the file and the field."""

    def __init__(self, document: dict[str, Any], source: Path) -> None:
        self._document = document
        self._source = source
        self._check_names_and_types()
        base = source.absolute().parent
        self._workdir = base / self._string("workdir", "")

    def config(self) -> TmConfig:
        url = self._url("url", self._required("url"))
        other_nodes = tuple(self._url("othernodes", other) for other in self._list("othernodes"))
        public_keys = self._paths("publickeys")
        private_keys = self._paths("privatekeys")
        if not public_keys:
            raise self._wrong("publickeys", "at least one is needed", hint="make one with: quorumkit tm keygen")
        if len(public_keys) != len(private_keys):
            raise self._wrong("privatekeys", f"{len(private_keys)} private keys for {len(public_keys)} public keys")
        return TmConfig(
            source=self._source,
            url=url,
            port=self._port("port", self._required("port")),
            interface=self._interface(),
            socket=self._socket(),
            private_port=self._port("privateport", self._document["privateport"])
            if "privateport" in self._document
            else None,
            other_nodes=tuple(dict.fromkeys(other for other in other_nodes if other != url)),
            other_keys=self._other_keys(other_nodes, url),
            public_keys=public_keys,
            private_keys=private_keys,
            always_send_to=self._paths("alwayssendto"),
            passwords=self._path("passwords"),
            database=self._database(),
            ip_whitelist=frozenset(
                self._parsed("ipwhitelist", ipaddress.ip_address, text) for text in self._list("ipwhitelist")
            ),
            classic_resend=frozenset(self._key("classicresend", text) for text in self._list("classicresend")),
            tls=self._tls(url, other_nodes),
            verbosity=self._verbosity(),
        )

    def _check_names_and_types(self) -> None:
        known = {
            **dict.fromkeys(_STRINGS, "a string"),
            **dict.fromkeys(_NUMBERS, "a number"),
            **dict.fromkeys(_LISTS, "a list of strings"),
        }
        for name, value in self._document.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]}?" if close else None
                raise self._wrong(name, "there is no such field", hint=hint)
            right = {
                "a string": isinstance(value, str),
                "a number": isinstance(value, int) and not isinstance(value, bool),
                "a list of strings": isinstance(value, list) and all(isinstance(item, str) for item in value),
            }[known[name]]
            if not right:
                raise self._wrong(name, f"must be {known[name]}, not {value!r}")

    def _required(self, name: str) -> Any:
        if name not in self._document:
            raise self._wrong(name, "is missing")
        return self._document[name]

    def _string(self, name: str, default: str) -> str:
        return str(self._document.get(name, default))

    def _list(self, name: str) -> list[str]:
        return list(self._document.get(name, []))

    def _path(self, name: str) -> Path | None:
        text = self._string(name, "")
        return self._workdir / text if text else None

    def _paths(self, name: str) -> tuple[Path, ...]:
        texts = self._list(name)
        if "" in texts:
            raise self._wrong(name, f"item {texts.index('') + 1} is empty; each names a file")
        return tuple(self._workdir / text for text in texts)

    def _port(self, name: str, value: int) -> int:
        if not 1 <= value <= 65535:
            raise self._wrong(name, f"must be from 1 to 65535, not {value}")
        return value

    def _interface(self) -> str:
        text = self._string("networkinterface", "0.0.0.0")  # noqa: S104  Constellation's, and containers need it
        if text == "localhost":
            return "127.0.0.1"
        return str(self._parsed("networkinterface", ipaddress.ip_address, text))

    def _verbosity(self) -> int:
        value = int(self._document.get("verbosity", 1))
        if value < 0:
            raise self._wrong("verbosity", f"must be from 0 (errors) to 3 (everything), not {value}")
        return value

    def _url(self, name: str, text: str) -> str:
        return self._parsed(name, normalise_url, text)

    def _parsed(self, name: str, parse: Callable[[str], _T], text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise self._wrong(name, f"{text!r}: {error}") from error

    def _socket(self) -> Path | None:
        path = self._path("socket")
        if path is not None and (length := len(os.fsencode(path.name))) > MAX_SOCKET_NAME:
            raise self._wrong(
                "socket",
                f"{path.name} has {length} bytes; the name of a unix socket may have {MAX_SOCKET_NAME} here",
                hint="give it a shorter name",
            )
        return path

    def _key(self, name: str, text: str) -> bytes:
        try:
            return parse_public_key(text)
        except TmKeyError as error:
            raise self._wrong(name, error.message) from error

    def _other_keys(self, other_nodes: tuple[str, ...], url: str) -> dict[bytes, str]:
        texts = self._list("otherkeys")
        if texts and len(texts) != len(other_nodes):
            raise self._wrong("otherkeys", f"{len(texts)} keys for {len(other_nodes)} URLs in othernodes")
        keys: dict[bytes, str] = {}
        for text, other in zip(texts, other_nodes, strict=False):
            key = self._key("otherkeys", text)
            if keys.get(key, other) != other:
                raise self._wrong("otherkeys", f"{text} stands for both {keys[key]} and {other}")
            if other != url:
                keys[key] = other
        return keys

    def _database(self) -> Path:
        text = self._string("storage", "dir:storage")
        if text == "memory":
            raise self._wrong(
                "storage",
                "'memory' is not offered: what others were told is kept must be on the disk",
                hint="dir:memory for a directory of that name, which this meant until now",
            )
        kind, colon, rest = text.partition(":")
        if not colon:
            kind, rest = "dir", text
        if kind not in ("dir", "sqlite") or not rest:
            raise self._wrong(
                "storage",
                f"{text!r}: payloads are kept in SQLite only",
                hint="sqlite:FILE, or dir:DIRECTORY (payloads.sqlite is made in it)",
            )
        return self._workdir / rest if kind == "sqlite" else self._workdir / rest / DATABASE

    def _tls(self, url: str, other_nodes: tuple[str, ...]) -> TlsConfig | None:
        mode = self._string("tls", "strict" if url.startswith("https:") else "off")
        if mode not in ("strict", "off"):
            raise self._wrong("tls", f"must be strict or off, not {mode!r}")
        if mode == "off":
            return None
        for name, checked in (("url", url), *(("othernodes", other) for other in other_nodes)):
            if not checked.startswith("https:"):
                raise self._wrong(name, f"{checked}: with tls = strict it must start with https://")
        for name in ("tlsservertrust", "tlsclienttrust"):
            if self._string(name, "ca") != "ca":
                raise self._wrong(
                    name,
                    f"{self._string(name, '')!r} is not offered",
                    hint="ca: certificates signed by an authority, which tlsca can name",
                )
        for name in ("tlsserverchain", "tlsclientchain"):
            if self._list(name):
                raise self._wrong(name, "is not read", hint="append the chain to the certificate's own file")
        files = {}
        for name in ("tlsservercert", "tlsserverkey", "tlsclientcert", "tlsclientkey"):
            files[name] = self._workdir / str(self._required(name))
            if not files[name].is_file():
                raise self._wrong(name, f"{files[name]} is not there")
        ca = self._path("tlsca")
        if ca is not None and not ca.is_file():
            raise self._wrong("tlsca", f"{ca} is not there")
        return TlsConfig(
            files["tlsservercert"], files["tlsserverkey"], files["tlsclientcert"], files["tlsclientkey"], ca
        )

    def _wrong(self, name: str, what: str, *, hint: str | None = None) -> TmConfigError:
        return TmConfigError(f"{self._source}: {name}: {what}", hint=hint)
