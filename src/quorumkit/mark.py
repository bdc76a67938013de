"""A network's own mark: a random id in its directory, written on whatever is kept of it outside.

Names are given by people, and two networks may have the same one. What is found under a name (a volume, a claim, a
release) is a network's own only where it bears its mark.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from quorumkit.errors import CorruptFileError
from quorumkit.files import write_atomic

MARK_NAME = "network-id"
DOCKER_LABEL = "org.quorumkit.network"
KUBERNETES_LABEL = "quorumkit.org/network"

_BYTES = 8
_PATTERN = re.compile(r"[0-9a-f]{16}")


def read_mark(directory: Path) -> str | None:
    """The mark in a network directory; none in one that was made before there were marks.

    Raises:
        CorruptFileError: the file holds something else.
    """
    path = directory / MARK_NAME
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    if not _PATTERN.fullmatch(text):
        raise CorruptFileError(
            f"{path}: not a network's id (16 hexadecimal digits)",
            hint="put it back from a backup: without it, volumes and claims are not known to be this network's. "
            "Where the nodes are processes of this machine, remove it: another is made",
        )
    return text


def ensure_mark(directory: Path) -> str:
    """The mark, made where there is none. To be called under the directory's lock.

    Raises:
        CorruptFileError: see `read_mark`.
    """
    present = read_mark(directory)
    if present is not None:
        return present
    # A letter first: nothing that reads YAML takes it for a number.
    mark = secrets.choice("abcdef") + secrets.token_hex(_BYTES)[1:]
    write_atomic(directory / MARK_NAME, f"{mark}\n".encode())
    return mark
