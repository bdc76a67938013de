"""What all benchmarks share: their options, what they print, and where what they need is looked for.

A result is a row of a table in README.md, with the commit that was measured, the day, and the machine's load meanwhile:
it can be pasted there as it is printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # for `support`, which the tests share with benchmarks

QUORUMKIT = [sys.executable, "-P", "-m", "quorumkit"]
SKIPPED = "skipped: "
"""What the one line of a benchmark begins with that cannot run here."""


def options(doc: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help=f"how often each thing is measured; {rounds} where not given")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of the smallest size: whether the benchmark still runs, and no figure to go by",
    )
    parser.set_defaults(usual_rounds=rounds)
    return parser


def rounds_of(arguments: argparse.Namespace) -> int:
    """How often to measure."""
    if arguments.rounds is not None:
        return int(arguments.rounds)
    return 1 if arguments.quick else int(arguments.usual_rounds)


def skip(why: str) -> NoReturn:
    """Ends a benchmark that lacks something here; that is no failure."""
    print(f"{SKIPPED}{why}")
    sys.exit(0)


def run(*command: str | Path, cwd: Path | None = None, input: str | None = None) -> str:
    """Runs a command to its end; what it printed. Ends the benchmark where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, input=input, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def quorumkit(*arguments: str | Path) -> None:
    """Runs one of our commands."""
    run(*QUORUMKIT, *arguments)


class Load:
    """The machine's load (the average of the last minute) while something is measured."""

    def __init__(self) -> None:
        self._seen: list[float] = []
        self.note()

    def note(self) -> None:
        """Once a round."""
        self._seen.append(os.getloadavg()[0])

    def __str__(self) -> str:
        self.note()
        low, high = f"{min(self._seen):.0f}", f"{max(self._seen):.0f}"
        return low if low == high else f"{low}–{high}"


class Table:
    """A table of README.md, printed row by row."""

    def __init__(self, *columns: str) -> None:
        print(f"\n{machine()}\n")
        self._print([*columns, "commit", "date"])
        self._print(["---"] * (len(columns) + 2))

    def row(self, *cells: object) -> None:
        """One result; commit and date are added."""
        self._print([*cells, commit(), f"{datetime.now(UTC):%Y-%m-%d}"])

    @staticmethod
    def _print(cells: Sequence[object]) -> None:
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def spread(values: Sequence[float], unit: str = "") -> str:
    """Median and range."""
    middle = f"{_short(median(values))}{unit}"
    return middle if len(values) == 1 else f"{middle} ({_short(min(values))}–{_short(max(values))})"


def ratios(ours: Sequence[float], reference: Sequence[float]) -> str:
    """How many times as long ours took, round by round: median and range."""
    return spread([one / other for one, other in zip(ours, reference, strict=True)])


def machine() -> str:
    """What the figures depend on beside the code."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {os.uname().release}, Python {version}, commit {commit()}"


@cache
def commit() -> str:
    """What is measured; with a `+` where files differ from the commit's."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return f"{name}+" if _git("status", "--porcelain", "--untracked-files=no") else name
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _short(value: float) -> str:
    """Three digits are enough."""
    for digits, below in ((3, 0.1), (2, 10), (1, 100)):
        if value < below:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"
