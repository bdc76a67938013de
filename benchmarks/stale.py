"""Says which figures of README.md are older than the code that they measure.

    .venv/bin/python benchmarks/stale.py

A section names that code in a comment, `<!-- measures: PATH… -->`; each row of its table names the commit that was
measured. It only tells: figures grow old with every change, and are measured again when a machine has nothing else to
do.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "benchmarks/README.md"

_MEASURES = re.compile(r"^<!-- measures: (?P<paths>.+) -->$", re.MULTILINE)
_ROW = re.compile(r"\| (?P<commit>[0-9a-f]{7,40})[*+]* \| \d{4}-\d\d-\d\d \|$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """Figures of one thing."""

    title: str
    paths: tuple[str, ...]
    """The code that they measure."""
    commits: frozenset[str]
    """What was measured."""


def sections(text: str) -> list[Section]:
    """The sections of the page that have figures.

    Raises:
        ValueError: one does not say what it measures.
    """
    found = []
    for part in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        title = part.partition("\n")[0]
        commits = frozenset(match["commit"] for match in _ROW.finditer(part))
        measures = _MEASURES.search(part)
        if commits and measures is None:
            raise ValueError(f"{title}: no `<!-- measures: PATH… -->`")
        if commits and measures is not None:
            found.append(Section(title, tuple(measures["paths"].split()), commits))
    return found


def changes_since(commit: str, paths: tuple[str, ...]) -> int | None:
    """How many commits have changed that code since; None where that commit is not known, as in a shallow clone."""
    done = subprocess.run(
        ["git", "rev-list", "--count", "--no-merges", f"{commit}..HEAD", "--", *paths],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return int(done.stdout) if done.returncode == 0 else None


def main() -> None:
    for section in sections(README.read_text(encoding="utf-8")):
        for commit in sorted(section.commits):
            count = changes_since(commit, section.paths)
            if count is None:
                print(f"{section.title}: {commit} is not in this clone")
            elif count:
                print(f"{section.title}: measured at {commit}, {count} commits ago")


if __name__ == "__main__":
    main()
