"""Prints how much of the code the unit tests cover, branches too, and fails below the floor.

    .venv/bin/python scripts/coverage_floor.py     # after: pytest tests/unit --cov

The floor is `fail_under` in pyproject.toml. It only rises: one that is lower than it ever was fails too. Where tests
cover a point or more above it, this says so, so that somebody raises it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FLOOR = re.compile(r"^\+?fail_under = (?P<floor>[0-9.]+)$", re.MULTILINE)


def judged(total: float, floor: float, earlier: Iterable[float]) -> tuple[bool, str]:
    """Whether that is enough, and what to say; all in percent. `earlier` are the floors that there have been."""
    highest = max([floor, *earlier])
    if floor < highest:
        return False, f"the floor was {highest:g} % before, and is {floor:g} % now: it only rises"
    if total < floor:
        return False, f"{total:.2f} % is below the floor of {floor:g} %: test what is new"
    if total >= floor + 1:
        return True, f"{total:.2f} %, above the floor of {floor:g} %: raise `fail_under` in pyproject.toml"
    return True, f"{total:.2f} %, the floor is {floor:g} %"


def floors_in(text: str) -> list[float]:
    """The floors that a file or a diff of it names (added lines only)."""
    return [float(match["floor"]) for match in _FLOOR.finditer(text)]


def _coverage(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "coverage", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        sys.exit(f"error: coverage {' '.join(arguments)}: {done.stdout.strip()}")
    return done.stdout


def _earlier() -> list[float]:
    """Nothing where there is no history, as in an unpacked source distribution."""
    done = subprocess.run(
        ["git", "log", "--format=", "--patch", "-G^fail_under", "--", "pyproject.toml"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return floors_in(done.stdout)


def main() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    floor = float(settings["tool"]["coverage"]["report"]["fail_under"])
    print(_coverage("report", "--fail-under=0"), end="")
    total = float(_coverage("report", "--fail-under=0", "--format=total", "--precision=2"))
    enough, word = judged(total, floor, _earlier())
    print(f"coverage of the unit tests: {word}")
    sys.exit(0 if enough else 1)


if __name__ == "__main__":
    main()
