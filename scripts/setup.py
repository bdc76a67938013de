"""Makes .venv, installs what the lock names by its hashes, and this package itself. Safe to repeat; quick when done.

    python3 scripts/setup.py           to run Quorumkit
    python3 scripts/setup.py --dev     to work on it: linters and tests too
    --venv DIR                         another place than .venv

Needs nothing but Python's standard library.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
DEV_LOCK = ROOT / "requirements-dev.lock"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", action="store_true")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    arguments = parser.parse_args()
    lock = DEV_LOCK if arguments.dev else LOCK
    venv = arguments.venv.absolute()
    python, stamp = venv / "bin/python", venv / "installed"
    if stamp.exists() and stamp.read_text() in {_state(LOCK) if lock == LOCK else "", _state(DEV_LOCK)}:
        return
    if not _runs(python, "import pip"):
        with _progress(f"making {arguments.venv.name}") as show:
            if venv.exists():
                shutil.rmtree(venv)
            _run([sys.executable, "-m", "venv", str(venv)], show)
    packages = sum("==" in line for line in lock.read_text().splitlines())
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    with _progress(f"installing {packages} packages") as show:
        _run([*pip, "--require-hashes", "-r", str(lock)], show)
    with _progress("installing quorumkit") as show:
        _run([*pip, "--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT)], show)
    stamp.write_text(_state(lock))


def _state(lock: Path) -> str:
    """What an installation was made from."""
    digest = hashlib.sha256()
    for path in (lock, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _runs(python: Path, code: str) -> bool:
    try:
        return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


class _Line:
    """One line that tells what is being done: redrawn on a terminal, and said once elsewhere."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._began = time.monotonic()
        self._live = sys.stderr.isatty()
        self._done = threading.Event()
        self.detail = ""
        if not self._live:
            print(text, file=sys.stderr, flush=True)
        self._drawing = threading.Thread(target=self._draw, daemon=True)
        self._drawing.start()

    def _draw(self) -> None:
        while not self._done.wait(0.1 if self._live else 5):
            text = f"{self._text}: {self.detail}" if self.detail else self._text
            text = f"{text[:100]} ({time.monotonic() - self._began:.0f} s)"
            sys.stderr.write(f"\r\033[K{text}" if self._live else f"{text}\n")
            sys.stderr.flush()

    def end(self) -> None:
        self._done.set()
        self._drawing.join()
        if self._live:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


@contextmanager
def _progress(text: str) -> Iterator[_Line]:
    line = _Line(text)
    try:
        yield line
    finally:
        line.end()


def _run(command: list[str], show: _Line) -> None:
    """Runs a command quietly; what it said is printed only if it fails."""
    said = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith("Collecting "):
                show.detail = line.split()[1].split("==")[0]
            elif line.startswith("Installing "):
                show.detail = "unpacking"
    if process.returncode != 0:
        show.end()
        sys.stderr.write("".join(said[-20:]))
        hint = "install it with your system's packages (Debian: python3-venv)" if "ensurepip" in "".join(said) else ""
        sys.exit(f"error: {' '.join(command[:4])} … failed\n" + (f"  try: {hint}\n" if hint else ""))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
