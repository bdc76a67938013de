"""Text that others wrote: a peer, a client, whoever answers at a URL."""

from __future__ import annotations

LONGEST = 500
"""Characters."""


def one_line(text: object, longest: int = LONGEST) -> str:
    """It as one printable line of bounded length: no line ends, no control characters, no terminal's escapes, nothing
    that cannot be encoded."""
    line = "".join(
        character if character.isprintable() else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in str(text)[: longest + 1]
    )
    return line if len(line) <= longest else line[: longest - 1] + "…"
