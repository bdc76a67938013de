"""What of a machine has not been tested is said."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

import pytest

from quorumkit.stages import doctor, tested


def subjects() -> dict[str, str]:
    return {subject: text for subject, text, _ in tested.untested()}


def test_a_machine_like_those_that_were_tested_needs_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(tested, "NEWEST_PYTHON", sys.version_info[:2])
    assert tested.untested() == []


@pytest.mark.parametrize("machine", ["aarch64", "riscv64"])
def test_another_machine_is_told(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert subjects()["machine"] == f"{machine}: not tested"


def test_a_newer_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tested, "NEWEST_PYTHON", (3, 10))
    assert "newer than the newest tested (3.10)" in subjects()["python"]


def program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return path


def test_podman_alone_is_told_by_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tested.podman() is None
    podman = program(tmp_path, "podman")
    told = tested.podman()
    assert told and told[0] == f"{podman}: not tested in place of Docker"
    (tmp_path / "docker").symlink_to(podman)
    assert tested.podman() is not None
    assert "podman" in [finding.subject for finding in doctor._containers()]
    (tmp_path / "docker").unlink()
    program(tmp_path, "docker")
    assert shutil.which("docker") and tested.podman() is None


@pytest.mark.parametrize(("value", "found"), [
    ("http://127.0.0.1:3128", "HTTPS_PROXY"),
    ("localhost:3128", "HTTPS_PROXY"),
    ("http://[::1]:3128", "HTTPS_PROXY"),
    ("http://proxy.example:3128", None),
    ("", None),
])  # fmt: skip
def test_a_proxy_that_a_build_cannot_reach_is_told(value: str, found: str | None) -> None:
    assert tested.unreachable_proxy({"HTTPS_PROXY": value}) == found
