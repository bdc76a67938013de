"""The container engine's command line, and what its refusals mean."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from quorumkit.errors import RuntimeUnavailableError
from quorumkit.progress import Progress

_TIMEOUT = 120.0
_PULL_TIMEOUT = 1800.0


def docker(*arguments: str, timeout: float = _TIMEOUT, directory: Path | None = None) -> str:
    """The standard output of one docker command.

    Raises:
        RuntimeUnavailableError: docker is missing, cannot be reached, or refused; the message is in its own words.
    """
    return run(["docker", *arguments], timeout=timeout, directory=directory)


def run(
    command: Sequence[str], *, timeout: float = _TIMEOUT, directory: Path | None = None, merged: bool = False
) -> str:
    """Like `docker`, for a whole command; `merged` takes standard error in with the output."""
    try:
        answer = subprocess.run(
            command, encoding="utf-8", errors="replace", timeout=timeout, check=False, cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError:
        raise RuntimeUnavailableError(
            f"{command[0]} is not on PATH", hint="install Docker Engine with the Compose plugin; see `quorumkit doctor`"
        ) from None
    except subprocess.TimeoutExpired:
        raise RuntimeUnavailableError(
            f"{' '.join(command[:3])}: no answer in {timeout:g} s", hint="see whether the Docker daemon is well"
        ) from None
    if answer.returncode != 0:
        raise refusal(command, answer.stderr or answer.stdout)
    return answer.stdout


def inspect_image(image: str) -> dict[str, Any] | None:
    """What `docker image inspect` says of an image; None where the container engine does not have it.

    Raises:
        RuntimeUnavailableError: the container engine cannot be asked.
    """
    try:
        found: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]
    except RuntimeUnavailableError as error:
        if "missing" in error.message:
            return None
        raise
    return found


def have_image(image: str, progress: Progress, *, called: str, missing: str, hint: str) -> dict[str, Any]:
    """Has the container engine pull an image that it does not have; what `inspect_image` says of it. The texts are for
    the person: what the image is `called`, that it is `missing`, and what to do where it cannot be pulled.

    Raises:
        RuntimeUnavailableError: it cannot be had.
    """
    found = inspect_image(image)
    if found is None:
        progress(f"pulling {called}")
        try:
            docker("pull", "--quiet", image, timeout=_PULL_TIMEOUT)
        except RuntimeUnavailableError as error:
            raise RuntimeUnavailableError(f"{missing}, and could not be pulled: {error.message}", hint=hint) from None
        found = json.loads(docker("image", "inspect", image))[0]
    return found


def refusal(command: Sequence[str], said: str) -> RuntimeUnavailableError:
    """What a failed docker command said, as one sentence and a way out."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = next(
        (line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "no reason given"
    )
    low = said.lower()
    if "permission denied" in low and ("docker.sock" in low or "daemon" in low):
        return RuntimeUnavailableError(
            "no permission to use the Docker daemon's socket",
            hint="add yourself to the `docker` group and log in again, or use rootless Docker",
        )
    if "cannot connect to the docker daemon" in low or "is the docker daemon running" in low:
        return RuntimeUnavailableError(
            "the Docker daemon does not run, or DOCKER_HOST points elsewhere",
            hint="start it: systemctl start docker",
        )
    if "pool overlaps" in low:
        return RuntimeUnavailableError(
            "the network's subnet is in use by another Docker network",
            hint="`docker network ls` shows them; change compose.subnet in quorumkit.yaml, then `quorumkit init`",
        )
    if "no such image" in low or "pull access denied" in low or "manifest unknown" in low or "manifest for" in low:
        return RuntimeUnavailableError("the node image is missing", hint="make it: quorumkit image build --dir DIR")
    if "port is already allocated" in low or "address already in use" in low:
        return RuntimeUnavailableError(
            f"a port is taken: {text}", hint="quorumkit down, then quorumkit up: others are chosen"
        )
    return RuntimeUnavailableError(f"{' '.join(command[:2])}: {text}")


@cache
def compose_command() -> tuple[str, ...]:
    """`docker compose` (v2, the plugin), or else the standalone `docker-compose`.

    Raises:
        RuntimeUnavailableError: there is neither.
    """
    if shutil.which("docker"):
        answer = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        if answer.returncode == 0:
            return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    missing = "Docker is not on PATH" if not shutil.which("docker") else "Docker has no Compose plugin here"
    raise RuntimeUnavailableError(
        missing, hint="install Docker Engine with the Compose plugin (docker-compose-plugin), or docker-compose 1.29"
    )
