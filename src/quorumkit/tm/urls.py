"""URLs of transaction managers."""

from __future__ import annotations

from urllib.parse import urlsplit


def normalise_url(text: str) -> str:
    """A transaction manager's URL in the one form in which URLs are compared: `SCHEME://HOST:PORT/`.

    Raises ValueError.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError("it must start with http:// or https://")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("it must be SCHEME://HOST:PORT/ and no more")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}/"
