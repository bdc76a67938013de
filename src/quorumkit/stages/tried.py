"""What Quorumkit was tried on, so that it can be said where a machine is another one. Kept by hand: change it when you
have tried more."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

from quorumkit.engines import kinds, recipe_of

MACHINES = ("x86_64",)
NEWEST_PYTHON = (3, 13)
"""Whose unit tests were run; the client, the containers and the pods were run with 3.11."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_HERE = ("localhost", "127.0.0.1", "::1")


def untried() -> list[tuple[str, str, str]]:
    """What of this machine nobody has tried: a subject, what it is, and what is known of it all the same."""
    found = []
    machine = platform.machine()
    if sys.platform != "linux":
        found.append(("system", f"{sys.platform}: not tried", "processes and sockets are used as Linux has them"))
    if machine not in MACHINES:
        built = " and ".join(kind for kind in kinds() if not recipe_of(kind).comes_in_image)
        known = "all that is fetched is there for aarch64 too" if machine in ("aarch64", "arm64") else None
        found.append(
            ("machine", f"{machine}: not tried", known or f"a Go compiler of your own builds {built}, if any does")
        )
    if sys.version_info[:2] > NEWEST_PYTHON:
        newest = ".".join(map(str, NEWEST_PYTHON))
        found.append(
            ("python", f"{platform.python_version()}: newer than what was tried ({newest})", "it may well work")
        )
    return found


def podman() -> tuple[str, str] | None:
    """What there is to say where Podman is here, and Docker is not or is Podman under its name."""
    docker = shutil.which("docker")
    here = shutil.which("podman")
    if here is None or (docker is not None and os.path.realpath(docker) != os.path.realpath(here)):
        return None
    return (
        f"{here}: not tried in Docker's place",
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
