"""Text that somebody else wrote: a peer, another program, a server that is asked.

It reaches logs, `/readyz`, `status` and terminals only as one printable line. Whoever takes in such text passes it
through `one_line` at the place where it comes in, so that nobody further on has to think of it.
"""

from __future__ import annotations

LONGEST = 300
"""Characters of foreign text that are kept, where nothing else is said."""

_ELLIPSIS = "…"
# Unicode's general categories that `str.isprintable` refuses are Cc, Cf, Cs, Co, Cn, Zl, Zp and Zs but the space: so
# line feeds, escape sequences, bidirectional controls (UAX 9), lone surrogates and invisible letters all go.


def one_line(text: object, *, longest: int = LONGEST) -> str:
    """The text as one printable line of at most `longest` characters.

    White space becomes single spaces; what a terminal would obey, or what cannot be seen or encoded, becomes `?`; what
    is too long ends in `…`. Never raises, whatever `str(text)` holds; bytes are read as UTF-8.
    """
    if isinstance(text, bytes | bytearray):
        text = bytes(text[: 8 * longest]).decode("utf-8", "replace")
    try:
        # Of a huge text only so much is looked at that the rest cannot matter.
        words = str(text)[: 8 * longest].split()
    except Exception:
        return _ELLIPSIS
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(words))
    return line if len(line) <= longest else line[: longest - 1] + _ELLIPSIS
