"""What of a machine nobody has tried is said."""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

import pytest

from quorumkit.stages import doctor, tried


def subjects() -> dict[str, str]:
    return {subject: text for subject, text, _ in tried.untried()}


def test_a_machine_like_those_that_were_tried_needs_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(tried, "NEWEST_PYTHON", sys.version_info[:2])
    assert tried.untried() == []


@pytest.mark.parametrize("machine", ["aarch64", "riscv64"])
def test_another_machine_is_told(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert subjects()["machine"] == f"{machine}: not tried"


def test_a_newer_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "NEWEST_PYTHON", (3, 10))
    assert "newer than what was tried (3.10)" in subjects()["python"]


def program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    return path


def test_podman_alone_is_told_by_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tried.podman() is None
    podman = program(tmp_path, "podman")
    told = tried.podman()
    assert told and told[0] == f"{podman}: not tried in Docker's place"
    (tmp_path / "docker").symlink_to(podman)
    assert tried.podman() is not None
    assert "podman" in [finding.subject for finding in doctor._containers()]
    (tmp_path / "docker").unlink()
    program(tmp_path, "docker")
    assert shutil.which("docker") and tried.podman() is None


@pytest.mark.parametrize(("value", "found"), [
    ("http://127.0.0.1:3128", "HTTPS_PROXY"),
    ("localhost:3128", "HTTPS_PROXY"),
    ("http://[::1]:3128", "HTTPS_PROXY"),
    ("http://proxy.example:3128", None),
    ("", None),
])  # fmt: skip
def test_a_proxy_that_a_build_cannot_reach_is_told(value: str, found: str | None) -> None:
    assert tried.unreachable_proxy({"HTTPS_PROXY": value}) == found
