"""To whom a network directory's files belong where containers, which never run as root, must read them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

IMAGE_USER = 10001
"""Whom the nodes' files are given to where root makes them: containers never run as root."""


def give(directory: Path, uid: int, gid: int) -> None:
    """Makes a node's directory and all in it belong to somebody else; only root can.

    By descriptors: a container that runs could put a link in a folder's place meanwhile, and what it points at would
    be given away.
    """
    for _, _, names, folder in os.fwalk(directory, follow_symlinks=False):
        if os.fstat(folder).st_uid != uid:
            os.fchown(folder, uid, gid)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid != uid:
                    os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)


def container_user(owned: Path) -> tuple[int, int]:
    """As whom (user and group) containers read what belongs to the owner of this path: never as root."""
    stat = owned.stat()
    if os.geteuid() == 0 and stat.st_uid == 0:
        return IMAGE_USER, IMAGE_USER
    return stat.st_uid, stat.st_gid
