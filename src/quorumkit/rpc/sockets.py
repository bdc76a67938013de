"""Unix sockets in deep directories.

A socket's path has room for 107 bytes (unix(7), sun_path). A longer one is reached through its directory's
descriptor, whose name under /proc is short.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_LONGEST = 100


@contextlib.contextmanager
def short_socket_path(path: Path) -> Iterator[str]:
    """A name of `path` that fits a socket address; good for bind or connect inside the block."""
    name = os.fspath(path)
    if len(os.fsencode(name)) <= _LONGEST:
        yield name
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
