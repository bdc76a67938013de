"""URLs as they may be shown: without the passwords and tokens in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

HIDDEN = "***"

_USER = re.compile(r"(?P<scheme>\b(?!enode\b)[A-Za-z][A-Za-z0-9+.-]*://)(?P<user>[^\s:/@\"'<>]*)(?P<rest>[^\s\"'<>]*)@")
"""All before the last @ of a URL: a password may hold what stands for something else elsewhere. An enode URL has a
public key there."""

_PARAMETER = re.compile(
    r"(?P<name>[?&](?:[a-z_-]*(?:key|token|secret|passw(?:or)?d|auth|signature|sig)[a-z_-]*)=)[^&\s\"'<>#]+",
    re.IGNORECASE,
)
_SEGMENT = re.compile(r"(?<=/)(?=[^/?#]*[0-9])[A-Za-z0-9_-]{20,}(?=[/?#]|$)")
"""A part of a path that is a token more likely than a name."""


def hide_secrets(text: str) -> str:
    """The text with what URLs in it hold of secrets made unreadable: passwords, users without one (which are tokens),
    and parameters called key, token, secret and the like."""
    if "://" not in text:
        return text
    return _PARAMETER.sub(lambda match: match["name"] + HIDDEN, _USER.sub(_shown_user, text))


def _shown_user(match: re.Match[str]) -> str:
    user = f"{match['user']}:{HIDDEN}" if match["rest"].startswith(":") and match["user"] else HIDDEN
    return f"{match['scheme']}{user}@"


def shown_urls(urls: Iterable[str]) -> dict[str, str]:
    """What to call each of these URLs, by URL: different names for different ones, and no secret in any, those included
    that stand in their paths as with some providers."""
    names: dict[str, str] = {}
    for url in urls:
        name = plain = _SEGMENT.sub(HIDDEN, hide_secrets(url))
        number = 1
        while name in names.values():
            number += 1
            name = f"{plain} ({number})"
        names[url] = name
    return names
