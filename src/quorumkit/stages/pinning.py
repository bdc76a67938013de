"""What a network is about to run that somebody named: its digests, compared with those of the last start."""

from __future__ import annotations

import json
from pathlib import Path

from quorumkit.container_engine import docker
from quorumkit.directory import NetworkDirectory
from quorumkit.engines import acquirer_of
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.files import sha256_of
from quorumkit.managers import manager_of
from quorumkit.pins import Pin, check_pins
from quorumkit.spec import NetworkSpec


def check_programs(
    directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None, tm_binary: Path | None = None
) -> list[str]:
    """To be called once all is there, before anything is started. `binary` and `tm_binary` are programs named for this
    time. What there is to tell.

    Raises:
        EngineError: an image changed under its name.
    """
    pins: dict[str, Pin] = {}
    if spec.runtime != "kubernetes":  # there the cluster pulls; kubernetes.image takes a digest
        pins |= _client(directory, spec, binary) | _images(spec) | _manager(directory, spec, tm_binary)
    return check_pins(directory.path, pins)


def _client(directory: NetworkDirectory, spec: NetworkSpec, binary: Path | None) -> dict[str, Pin]:
    named = binary or directory.engine_override(spec)
    if named is not None:
        return {"engine.binary": Pin(str(named), sha256_of(named), is_image=False)} if named.is_file() else {}
    acquirer = acquirer_of(spec.engine.kind, spec.consensus.kind)
    source = acquirer.source_image(spec.engine.version, spec.engine.image)
    if source is None:
        return {}  # built here, from sources that are pinned
    found = acquirer.find(spec.engine.version, image=spec.engine.image)
    return {"engine.image": Pin(source, f"client sha256:{found.sha256}", is_image=True)} if found else {}


def _images(spec: NetworkSpec) -> dict[str, Pin]:
    """Images whose containers are run."""
    if spec.runtime != "compose":
        return {}
    names = {"compose.image": spec.compose.image}
    if spec.transaction_manager:
        manager = spec.transaction_manager
        names["transaction_manager.image"] = manager_of(manager.kind).image(manager)
    return {field: Pin(name, digest, is_image=True) for field, name in names.items() if name
            and (digest := _image_digest(name))}  # fmt: skip


def _manager(directory: NetworkDirectory, spec: NetworkSpec, binary: Path | None) -> dict[str, Pin]:
    named = binary or directory.manager_override(spec)
    if named is None or not named.is_file():
        return {}
    return {"transaction_manager.binary": Pin(str(named), sha256_of(named), is_image=False)}


def _image_digest(name: str) -> str | None:
    try:
        return str(json.loads(docker("image", "inspect", name))[0]["Id"])
    except RuntimeUnavailableError:
        return None  # whoever starts it says so
