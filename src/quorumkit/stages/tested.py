"""What Quorumkit has been tested on, so that `doctor` can say where a machine differs. Kept by hand: change it when you
have tested more."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from quorumkit.engines import recipes

MACHINES = ("x86_64",)
NEWEST_PYTHON = (3, 13)
"""The newest with which the unit tests were run; clients, containers and pods were run with 3.11."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_HERE = ("localhost", "127.0.0.1", "::1")


def untested() -> list[tuple[str, str, str]]:
    """What of this machine has not been tested: a subject, what it is, and what is known about it nevertheless."""
    found = []
    machine = platform.machine()
    if sys.platform != "linux":
        found.append(("system", f"{sys.platform}: not tested", "processes and sockets are used as on Linux"))
    if machine not in MACHINES:
        built = " and ".join(dict.fromkeys(each.kind for each in recipes() if not each.comes_in_image))
        advice = "everything that is downloaded exists for aarch64 too" if machine in ("aarch64", "arm64") else None
        found.append(
            ("machine", f"{machine}: not tested", advice or f"only a Go compiler of your own may build {built}")
        )
    if sys.version_info[:2] > NEWEST_PYTHON:
        newest = ".".join(map(str, NEWEST_PYTHON))
        found.append(
            ("python", f"{platform.python_version()}: newer than the newest tested ({newest})", "it may well work")
        )
    return found


def podman() -> tuple[str, str] | None:
    """What to say where Podman is installed, and Docker is not or is Podman under that name."""
    docker = shutil.which("docker")
    here = shutil.which("podman")
    if here is None or (docker is not None and os.path.realpath(docker) != os.path.realpath(here)):
        return None
    return (
        f"{here}: not tested in place of Docker",
        "install Docker Engine; with Podman's socket as DOCKER_HOST and docker-compose it may work",
    )


def unreachable_proxy(environment: Mapping[str, str]) -> str | None:
    """The variable that names a proxy which an image build cannot reach, for it is on this machine's own loopback."""
    for name in _PROXIES:
        value = environment.get(name, "")
        place = urlsplit(value if "//" in value else f"//{value}")
        if place.hostname in _HERE:
            return name
    return None
