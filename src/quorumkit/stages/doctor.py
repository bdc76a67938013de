"""What this machine has and lacks, for each runtime and engine, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import resource
import shutil
import sys
from collections.abc import Iterable

from quorumkit.cache import cache_directory
from quorumkit.engines import acquirer_of, kinds, recipe_of, recipes
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.finding import Finding
from quorumkit.stages.tested import podman, unreachable_proxy, untested

_OPEN_FILES_PER_NODE = 200
_MEMORY_PER_NODE = 300  # MiB
_OTHER_ROOM = 500_000_000
"""Bytes of disk that are to be left where a client has been built."""
_DOCKER_TIMEOUT = 15.0  # seconds
_CLUSTER_TIMEOUT = 10.0  # seconds
OLDEST_KUBERNETES = (1, 28)
OLDEST_COMPOSE = (1, 29)


def examine() -> list[Finding]:
    """Looks at everything; nothing is changed."""
    engines = _worst_of_each(
        finding for each in recipes() for finding in acquirer_of(each.kind, each.consensus[0]).findings()
    )
    return [
        *_untested(),
        *(_python(), *engines, _java(), _disk(), _memory(), _open_files()),
        *_containers(),
        *_kubernetes(),
    ]


def _worst_of_each(findings: Iterable[Finding]) -> list[Finding]:
    """Engines may need the same thing, and one of them a newer one."""
    ranks = {"ok": 0, "note": 1, "missing": 2}
    worst: dict[str, Finding] = {}
    for finding in findings:
        before = worst.setdefault(finding.subject, finding)
        if ranks[finding.verdict] > ranks[before.verdict]:
            worst[finding.subject] = finding
    return list(worst.values())


def _untested() -> list[Finding]:
    return [Finding(subject, "note", text, advice) for subject, text, advice in untested()]


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _java() -> Finding:
    """Only Tessera needs it, and only as a process."""
    java = shutil.which("java")
    if java is None:
        return Finding(
            "java",
            "note",
            "no `java` on PATH: Tessera runs with Compose only",
            "the builtin transaction manager needs no Java",
        )
    tessera = shutil.which("tessera")
    return Finding("java", "ok", f"{java}, and {tessera}" if tessera else f"{java}; no `tessera` on PATH")


def _disk() -> Finding:
    cache = cache_directory()
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:.1f} GB free for the cache at {cache}"
    builds = {
        f"{each.kind} for {' or '.join(each.consensus)}": room
        for each in recipes()
        if (room := acquirer_of(each.kind, each.consensus[0]).build_room)
    }
    if free < _OTHER_ROOM + max(builds.values(), default=0):
        takes = [f"building {kind} takes {room / 1e9:.1f} GB" for kind, room in builds.items()]
        return Finding("disk", "note", text, "; ".join([*takes, "QUORUMKIT_CACHE names another place"]))
    return Finding("disk", "ok", text)


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available // 2**20
    nodes = free // _MEMORY_PER_NODE
    text = f"{free / 1024:.1f} GiB available: room for about {nodes} nodes"
    return Finding("memory", "ok", text) if nodes >= 5 else Finding("memory", "note", text, "start fewer nodes")


def _open_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = f"{soft} open files allowed per process (at most {hard})"
    if hard < _OPEN_FILES_PER_NODE:
        return Finding("open files", "missing", text, "raise it: ulimit -n 4096")
    return Finding("open files", "ok", f"{text}, {os.cpu_count()} processors")


def _containers() -> list[Finding]:
    """What the `compose` runtime stands on. Nothing of it is `missing`: processes need none of it."""
    from quorumkit.container_engine import docker

    try:
        version = docker("version", "--format", "{{.Server.Version}}", timeout=_DOCKER_TIMEOUT).strip()
    except RuntimeUnavailableError as error:
        found = [Finding("docker", "note", f"{error.message}: no `compose` runtime", error.hint), _compose()]
        return [*found, *_podman()]
    return [Finding("docker", "ok", f"engine {version} answers"), _compose(), _image(), *_proxy(), *_podman()]


def _podman() -> list[Finding]:
    found = podman()
    return [Finding("podman", "note", *found)] if found else []


def _proxy() -> list[Finding]:
    name = unreachable_proxy(os.environ)
    if name is None:
        return []
    text = f"{name} is on this machine's loopback, which an image build cannot reach"
    return [
        Finding(
            "proxy",
            "note",
            text,
            "name the proxy by an address that containers can reach, such as that of Docker's bridge",
        )
    ]


def _compose() -> Finding:
    from quorumkit.container_engine import compose_command, run

    try:
        command = compose_command()
        version = run([*command, "version", "--short"], timeout=_DOCKER_TIMEOUT).strip().removeprefix("v")
    except RuntimeUnavailableError as error:
        return Finding("compose", "note", f"{error.message}: no `compose` runtime", error.hint)
    text = f"{version}, as `{' '.join(command)}`"
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST_COMPOSE:
        return Finding("compose", "note", f"{text}: too old", "install the docker-compose-plugin package")
    return Finding("compose", "ok", text)


def _image() -> Finding:
    from quorumkit.image.build import find_image, image_tag, inputs_digest

    kind = kinds()[0]
    version = recipe_of(kind).default_version
    tag = image_tag(kind, version)
    image = find_image(tag)
    if image is None:
        return Finding(
            "node image", "note", f"{tag} is not built yet", "`quorumkit up` builds it, or `quorumkit image build`"
        )
    text = f"{tag}, {image.size / 1e6:.0f} MB"
    binary = acquirer_of(kind).find(version)
    if binary and image.inputs != inputs_digest(binary, image.base):
        return Finding(
            "node image", "note", f"{text}, built from other sources than these", "`quorumkit up` builds it again"
        )
    return Finding("node image", "ok", text)


def _kubernetes() -> list[Finding]:
    """What the `kubernetes` runtime stands on. Nothing of it is `missing`: other runtimes need none of it."""
    from quorumkit.providers.kubectl import Cluster, run

    async def ask() -> tuple[str, str]:
        async with asyncio.timeout(_CLUSTER_TIMEOUT):
            helm = await run(["helm", "version", "--template={{.Version}}"])
            answer = json.loads(await run(Cluster(None, None).kubectl("version", "--output=json")))
            return helm.strip(), str(answer["serverVersion"]["gitVersion"])

    try:
        helm, version = asyncio.run(ask())
    except RuntimeUnavailableError as error:
        return [Finding("kubernetes", "note", f"{error.message}: no `kubernetes` runtime", error.hint)]
    except (TimeoutError, ValueError, LookupError, TypeError):
        return [
            Finding(
                "kubernetes", "note", "the cluster does not answer: no `kubernetes` runtime", "kubectl cluster-info"
            )
        ]
    text = f"{version} answers, Helm {helm}"
    if tuple(int(number) for number in re.findall(r"\d+", version)[:2]) < OLDEST_KUBERNETES:
        oldest = ".".join(map(str, OLDEST_KUBERNETES))
        return [Finding("kubernetes", "note", f"{text}: too old for the chart", f"it needs {oldest} or newer")]
    return [Finding("kubernetes", "ok", text)]
