"""tm.conf, written: for a new node, and again for one that has one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quorumkit.tm.config import DATABASE
from quorumkit.tm.config_fields import OLD_NAMES
from quorumkit.tm.errors import TmConfigError


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
        *OLD_NAMES,
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
