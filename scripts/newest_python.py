"""Prints where the newest CPython of this machine is, if it is newer than the one that runs this; else nothing.

    python3 scripts/newest_python.py

Looks on PATH and among what pyenv has installed. One that is there but does not run, such as a shim for a version that
is not chosen, is passed over; so is one that is not finished yet (an alpha, a beta, a release candidate).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

_ASK = "import sys; v = sys.version_info; print(sys.implementation.name, v.major, v.minor, v.releaselevel)"


def newest(than: int = sys.version_info.minor) -> Path | None:
    """The newest one whose minor version is above `than`."""
    for minor in range(than + 20, than, -1):
        for python in _places(minor):
            if _answer(python) == f"cpython 3 {minor} final":
                return python
    return None


def _places(minor: int) -> Iterator[Path]:
    if found := shutil.which(f"python3.{minor}"):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/3.{minor}*/bin/python3.{minor}"), reverse=True)


def _answer(python: Path) -> str:
    try:
        done = subprocess.run([python, "-c", _ASK], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


if __name__ == "__main__":
    if path := newest():
        print(path)
