"""Where something listens or is reached: a host and a port, an HTTP URL, an enode URL. Pure; the one place that takes
them apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from annotated_types import Interval

Port = Annotated[int, Interval(ge=1, le=65535)]
"""Of TCP."""

_BRACKETED = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?")
_PLAIN = re.compile(r"([^:\[\]\s]+)(?::(\d{1,5}))?")
_ENODE = re.compile(r"enode://(?P<key>[0-9a-f]{128})@(?P<place>[^\s/?#@]+)(?:\?(?P<query>[^\s#]*))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Endpoint:
    """An IP address or host name, and a TCP port."""

    host: str
    port: Port

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, *, default_port: int | None = None) -> Endpoint:
        """`HOST:PORT`, `[IPV6]:PORT`; `HOST` alone where there is a default port.

        Raises:
            ValueError: it is neither.
        """
        match = _BRACKETED.fullmatch(text) or _PLAIN.fullmatch(text)
        port = int(match[2]) if match and match[2] else default_port
        if match is None or port is None or not 0 < port < 65536:
            raise ValueError(f"{text!r} is not HOST:PORT")
        return cls(match[1], port)


@dataclass(frozen=True)
class HttpUrl:
    """A URL that begins with http:// or https://."""

    scheme: str
    place: Endpoint
    """Its host in lower case, and its port: the scheme's own where it names none."""
    rest: str = ""
    """What follows: path and query."""
    user: str | None = None
    """User and password, where it names them."""

    def __str__(self) -> str:
        user = "" if self.user is None else f"{self.user}@"
        return f"{self.scheme}://{user}{self.place}{self.rest}"

    @classmethod
    def parse(cls, text: str) -> HttpUrl:
        """Raises:
        ValueError: it is no such URL.
        """
        parts = urlsplit(text)
        if parts.scheme not in _DEFAULT_PORTS:
            raise ValueError("it must start with http:// or https://")
        if not parts.hostname:
            raise ValueError("it names no host")
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        user, at, _ = parts.netloc.rpartition("@")
        rest = parts._replace(scheme="", netloc="").geturl()
        return cls(parts.scheme, Endpoint(parts.hostname, port), rest, user if at else None)

    def with_port(self, port: int) -> HttpUrl:
        return replace(self, place=replace(self.place, port=port))


@dataclass(frozen=True)
class Enode:
    """Who a node is and where its peers dial it (devp2p, "enode URL")."""

    key: str
    """The nodekey's public half: 64 bytes in hex."""
    place: Endpoint
    query: str = "discport=0"
    """There is no discovery, so its port is 0."""

    def __str__(self) -> str:
        return f"enode://{self.key}@{self.place}{f'?{self.query}' if self.query else ''}"

    @classmethod
    def parse(cls, text: str) -> Enode:
        """Raises:
        ValueError: it is no enode URL with a host and a port.
        """
        match = _ENODE.fullmatch(text)
        if match is None:
            raise ValueError("not an enode URL")
        return cls(match["key"], Endpoint.parse(match["place"]), match["query"] or "")

    @staticmethod
    def key_in(text: str) -> str:
        """The key that an enode URL names, whatever the client says of where that node is."""
        return text.removeprefix("enode://").partition("@")[0]

    @property
    def fields(self) -> Mapping[str, str]:
        """Those of its query."""
        return dict(parse_qsl(self.query))

    def with_host(self, host: str) -> Enode:
        return replace(self, place=replace(self.place, host=host))
