"""Tells what two runs of the same tests say together: what failed and then passed, and what failed twice.

    python scripts/flaky.py FIRST.xml AGAIN.xml [FIRST.xml AGAIN.xml …]

Each pair is of JUnit reports (pytest's `--junit-xml` with `junit_family=xunit1`): of a run, and of a second one of what
had failed in it. A report that is not there is of a run that was not needed. A test that fails once and passes when it
is tried again has a cause all the same; so it is told by its name.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

_LONGEST = 200  # characters of a failure's line


@dataclass(frozen=True)
class Failure:
    """A test that did not pass."""

    test: str
    line: str
    """Of what was said, the first line that tells something."""


def told(pairs: Sequence[tuple[Path, Path]]) -> list[str]:
    """The closing block, line by line; empty where nothing failed."""
    lines = []
    for first, again in pairs:
        outcomes = _outcomes(again) if again.exists() else {}
        for test, failure in (_outcomes(first) if first.exists() else {}).items():
            if failure is None:
                continue
            if test not in outcomes:
                lines.append(f"failed: {test}: {failure.line}")
            elif outcomes[test] is None:
                lines.append(f"flaky: {test}, first failure: {failure.line}")
            else:
                lines.append(f"failed twice: {test}: {failure.line}")
    return sorted(lines)


def _outcomes(report: Path) -> dict[str, Failure | None]:
    """Every test of a report; None where it passed or was skipped."""
    found: dict[str, Failure | None] = {}
    for case in ElementTree.parse(report).getroot().iter("testcase"):  # noqa: S314 - pytest wrote it here
        place = case.get("file") or case.get("classname", "").replace(".", "/")
        test = f"{place}::{case.get('name')}" if place else str(case.get("name"))
        said = next((each for each in case if each.tag in ("failure", "error")), None)
        if said is not None:
            found[test] = Failure(test, _line(said.get("message") or said.text or "no word"))
        else:
            found.setdefault(test, None)  # a test that failed and whose clean-up went well has failed
    return found


def _line(text: str) -> str:
    line = next((each.strip() for each in text.splitlines() if each.strip()), "no word")
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"


def main() -> None:
    names = [Path(name) for name in sys.argv[1:]]
    if not names or len(names) % 2:
        sys.exit(__doc__)
    for line in told(list(zip(names[::2], names[1::2], strict=True))):
        print(line)


if __name__ == "__main__":
    main()
