"""What geth logs, and what was made from it: lines that say nothing, and its last words."""

from __future__ import annotations

import re

from quorumkit.process_spec import Noise

_FATAL = re.compile(
    r"^Fatal: (?P<fatal>.*)|^CRIT .*?\] (?P<critical>.*)|^panic: (?P<panic>.*)|^(?P<usage>flag provided but .*)"
)
_LOW_DISK = re.compile(r"^ERROR\s*\[[^]]*\] Low disk space\. .*?available=(\S+ ?[KMG]?i?B?)")
"""With so little left a client ends itself, with exit code 0 (cmd/utils/cmd.go, monitorFreeDiskSpace)."""

SIGNED_RECENTLY = Noise(
    # Clique's validators take turns, and geth warns each time that this one had its turn a moment ago.
    re.compile(
        r'^WARN \[[^]]*\] Block sealing failed\s+err="signed recently, must wait for others"\s*$'
        r"|^INFO \[[^]]*\] Signed recently, must wait for others\s*$"
    ),
    "signed recently, must wait for others",
)


def why_it_ends(line: str) -> str | None:
    """What a line of the client's log says of why it ends, if it does."""
    if low := _LOW_DISK.match(line):
        return f"low disk space, and the client ends itself with so little left ({low[1].strip()})"
    match = _FATAL.match(line)
    return next(filter(None, match.groups())).strip() if match else None
