"""The fields of a tm.conf by name: which there are, of which types, and every complaint with the file and the field."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from quorumkit.tm.errors import TmConfigError, TmKeyError
from quorumkit.tm.keys import parse_public_key
from quorumkit.tm.urls import normalise_url

_T = TypeVar("_T")

OLD_NAMES = {
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


class Fields:
    """The fields of one tm.conf. Its methods raise TmConfigError, which starts with the file and the field."""

    def __init__(self, document: dict[str, Any], source: Path) -> None:
        self.document = _modernise(document, source)
        self.source = source
        self._check_names_and_types()
        base = source.absolute().parent
        self.workdir = base / self.text("workdir", "")

    def _check_names_and_types(self) -> None:
        known = {
            **dict.fromkeys(_STRINGS, "a string"),
            **dict.fromkeys(_NUMBERS, "a number"),
            **dict.fromkeys(_LISTS, "a list of strings"),
        }
        for name, value in self.document.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {close[0]}?" if close else None
                raise self.wrong(name, "there is no such field", hint=hint)
            right = {
                "a string": isinstance(value, str),
                "a number": isinstance(value, int) and not isinstance(value, bool),
                "a list of strings": isinstance(value, list) and all(isinstance(item, str) for item in value),
            }[known[name]]
            if not right:
                raise self.wrong(name, f"must be {known[name]}, not {value!r}")

    def required(self, name: str) -> Any:
        """The value of a field that must be there."""
        if name not in self.document:
            raise self.wrong(name, "is missing")
        return self.document[name]

    def text(self, name: str, default: str) -> str:
        """A string."""
        return str(self.document.get(name, default))

    def texts(self, name: str) -> list[str]:
        """A list of strings; empty where the field is missing."""
        return list(self.document.get(name, []))

    def path(self, name: str) -> Path | None:
        """A file's path; None where the field is missing or empty."""
        text = self.text(name, "")
        return self.workdir / text if text else None

    def paths(self, name: str) -> tuple[Path, ...]:
        """The paths of several files."""
        texts = self.texts(name)
        if "" in texts:
            raise self.wrong(name, f"item {texts.index('') + 1} is empty; each names a file")
        return tuple(self.workdir / text for text in texts)

    def port(self, name: str, value: int) -> int:
        """`value`, which stands in that field, if it is a port's number."""
        if not 1 <= value <= 65535:
            raise self.wrong(name, f"must be from 1 to 65535, not {value}")
        return value

    def url(self, name: str, text: str) -> str:
        """The URL in `text`, which stands in that field, in the one form in which URLs are compared."""
        return self.parsed(name, normalise_url, text)

    def parsed(self, name: str, parse: Callable[[str], _T], text: str) -> _T:
        """What `parse`, which raises ValueError, makes of `text`, which stands in that field."""
        try:
            return parse(text)
        except ValueError as error:
            raise self.wrong(name, f"{text!r}: {error}") from error

    def key(self, name: str, text: str) -> bytes:
        """The TM public key in `text`, which stands in that field."""
        try:
            return parse_public_key(text)
        except TmKeyError as error:
            raise self.wrong(name, error.message) from error

    def wrong(self, name: str, what: str, *, hint: str | None = None) -> TmConfigError:
        """The complaint that a field is wrong."""
        return TmConfigError(f"{self.source}: {name}: {what}", hint=hint)


def _modernise(document: dict[str, Any], source: Path) -> dict[str, Any]:
    """The document under the names of Constellation 0.3.2, which went by `privateKeyPath` to know an old one.

    Raises TmConfigError where it has both names of a field: one would be ignored.
    """
    if "privateKeyPath" not in document:
        return document
    modern = {name: value for name, value in document.items() if name not in OLD_NAMES}
    for old, name in OLD_NAMES.items():
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
