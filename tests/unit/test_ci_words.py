"""What CI says at its end: which tests are flaky, and whether enough is covered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import coverage_floor
import flaky
import newest_python

TESTS = """
import os, pathlib
def test_now_and_then(tmp_path):
    seen = pathlib.Path(os.environ["SEEN"])
    first = not seen.exists()
    seen.touch()
    assert not first, "the port was taken"
def test_never():
    raise ValueError("no way")
def test_always():
    pass
"""


def run(folder: Path, report: str, *more: str) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-o", "junit_family=xunit1", "--rootdir=."]
    done = subprocess.run([*command, f"--junit-xml={report}", "test_them.py", *more], cwd=folder, capture_output=True,
                          env={"PATH": "", "SEEN": str(folder / "seen")}, check=False)  # fmt: skip
    return done.returncode


def test_what_fails_once_is_told_as_flaky_and_what_fails_twice_too(tmp_path: Path) -> None:
    (tmp_path / "test_them.py").write_text(TESTS)
    assert run(tmp_path, "first.xml") == 1
    assert run(tmp_path, "again.xml", "--last-failed") == 1
    assert flaky.told([(tmp_path / "first.xml", tmp_path / "again.xml")]) == [
        "failed twice: test_them.py::test_never: ValueError: no way",
        "flaky: test_them.py::test_now_and_then, first failure: AssertionError: the port was taken",
    ]


def test_a_second_run_that_never_came_makes_nothing_flaky(tmp_path: Path) -> None:
    (tmp_path / "test_them.py").write_text(TESTS)
    assert run(tmp_path, "first.xml") == 1
    lines = flaky.told([(tmp_path / "first.xml", tmp_path / "again.xml")])
    assert [line.partition(":")[0] for line in lines] == ["failed", "failed"]


def test_nothing_is_told_where_nothing_ran_or_all_passed(tmp_path: Path) -> None:
    (tmp_path / "first.xml").write_text('<testsuites><testcase name="a" file="b.py"/></testsuites>')
    assert flaky.told([(tmp_path / "first.xml", tmp_path / "no.xml"), (tmp_path / "no.xml", tmp_path / "no.xml")]) == []


@pytest.mark.parametrize(
    ("total", "floor", "earlier", "enough", "word"),
    [
        (71.5, 71, [70, 71], True, "the floor is 71 %"),
        (70.9, 71, [70], False, "below the floor"),
        (75.0, 70, [72], False, "only rises"),
        (72.1, 71, [], True, "raise"),
    ],
)
def test_the_floor_of_coverage_only_rises(
    total: float, floor: float, earlier: list[float], enough: bool, word: str
) -> None:
    judged, said = coverage_floor.judged(total, floor, earlier)
    assert judged == enough
    assert word in said


def test_floors_are_found_in_a_diff_where_they_were_added() -> None:
    assert coverage_floor.floors_in("-fail_under = 70\n+fail_under = 71.5\n context\n") == [71.5]


def test_the_newest_python_is_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, words in {
        "python3.98": "cpython 3 98 alpha",
        "python3.97": "",
        "python3.96": "cpython 3 96 final",
    }.items():
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\necho '{words}'\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    assert newest_python.newest(90) == tmp_path / "python3.96"
    assert newest_python.newest(96) is None
