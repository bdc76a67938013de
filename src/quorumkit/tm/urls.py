"""URLs of transaction managers."""

from __future__ import annotations

from dataclasses import replace

from quorumkit.addresses import HttpUrl


def normalise_url(text: str) -> str:
    """A transaction manager's URL in the one form in which URLs are compared: `SCHEME://HOST:PORT/`.

    Raises ValueError.
    """
    url = HttpUrl.parse(text)
    if url.rest not in ("", "/") or url.user is not None:
        raise ValueError("it must be SCHEME://HOST:PORT/ and no more")
    return str(replace(url, rest="/"))
