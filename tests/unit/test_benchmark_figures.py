"""Figures that are printed and kept say what was measured and when."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import measuring
import stale

PAGE = """### Speed

<!-- measures: src/quorumkit/node src/quorumkit/rpc -->

| nodes | ours | commit | date |
| --- | --- | --- | --- |
| 5 | 1.2 s | 24b1aa8* | 2026-11-24 |
| 25 | 2.2 s | 7c97ada | 2026-11-25 |

### Words

Nothing measured.
"""


def test_figures_and_what_they_measure_are_read_from_the_page() -> None:
    section = stale.Section("Speed", ("src/quorumkit/node", "src/quorumkit/rpc"), frozenset({"24b1aa8", "7c97ada"}))
    assert stale.sections(PAGE) == [section]


def test_figures_must_say_what_they_measure() -> None:
    with pytest.raises(ValueError, match="Speed: no `<!-- measures"):
        stale.sections(PAGE.replace("<!-- measures", "<!-- what"))


def test_every_figure_of_the_page_names_code_that_exists() -> None:
    sections = stale.sections(stale.README.read_text(encoding="utf-8"))
    assert len(sections) >= 7
    for section in sections:
        assert all((stale.ROOT / path).exists() for path in section.paths), section


def test_a_row_has_commit_and_date(capsys: pytest.CaptureFixture[str]) -> None:
    table = measuring.Table("nodes", "ours")
    table.row(5, measuring.spread([3.0, 1.0, 2.0], " s"))
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("| 5 | 2.00 s (1.00–3.00) | ")
    assert stale._ROW.search(row) or "| unknown |" in row


@pytest.mark.parametrize(("name", "tool"), [("compose", "docker"), ("kubernetes", "helm")])
def test_what_cannot_run_here_says_so_and_is_no_failure(name: str, tool: str, tmp_path: Path) -> None:
    script = stale.ROOT / f"benchmarks/{name}.py"
    bare = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, script, "--quick"], env=bare, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"skipped: {tool} is not on PATH\n")


def test_every_benchmark_has_the_common_options() -> None:
    scripts = {path.stem for path in (stale.ROOT / "benchmarks").glob("*.py")} - {"all", "measuring", "stale"}
    assert len(scripts) >= 7
    for name in scripts:
        text = (stale.ROOT / f"benchmarks/{name}.py").read_text(encoding="utf-8")
        assert "parser = options(__doc__" in text and "rounds_of(arguments)" in text and "Table(" in text, name
