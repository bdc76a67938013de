"""The node image: small, labelled, told by its bill of materials, without secrets, and the same when built again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator

import pytest
from projects import Built, docker, quorumkit

from quorumkit import __version__
from support.clique import CLIQUE

pytestmark = pytest.mark.compose

SECRET = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n[A-Za-z0-9+/]{16}")


def python(image: Built, code: str) -> str:
    """Runs in a container as bare as the nodes'."""
    limits = ["--read-only", "--network", "none", "--cap-drop", "ALL", "--tmpfs", "/tmp"]
    return docker("run", "--rm", *limits, "--entrypoint", "python3", image.tag, "-c", code)


def inspect(tag: str) -> dict[str, object]:
    answer: dict[str, object] = json.loads(docker("image", "inspect", tag))[0]
    return answer


@pytest.fixture(scope="module")
def files(image: Built) -> Iterator[tarfile.TarFile]:
    """Everything in the image."""
    container = docker("create", image.tag).strip()
    try:
        content = subprocess.run(["docker", "export", container], capture_output=True, check=True).stdout
    finally:
        docker("rm", container)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        yield archive


def test_it_is_small(image: Built) -> None:
    assert image.size < 150_000_000


def test_its_labels_tell_the_versions(image: Built) -> None:
    config = inspect(image.tag)["Config"]
    assert isinstance(config, dict)
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.quorumkit.engine"] == "geth 1.13.15"
    assert labels["org.quorumkit.base"] == labels["org.opencontainers.image.base.name"] == image.base
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert re.fullmatch(r"[0-9a-f]{64}", labels["org.quorumkit.inputs"])
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["quorumkit", "node", "run"]


def test_the_bill_of_materials_lists_what_is_in_it(image: Built, files: tarfile.TarFile) -> None:
    member = files.extractfile("usr/share/sbom/quorumkit-node.cdx.json")
    assert member is not None
    document = json.load(member)
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    listed = {component["purl"].partition("?")[0]: component for component in document["components"]}
    geth = listed["pkg:golang/github.com/ethereum/go-ethereum@v1.13.15"]
    client = files.extractfile("usr/local/bin/geth")
    assert client is not None
    modules = {purl for purl in listed if purl.startswith("pkg:golang/")}
    assert len(modules) > 50 and any(purl.startswith("pkg:golang/golang.org/x/crypto@v") for purl in modules)
    assert geth["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(client.read()).hexdigest()}]

    code = "import importlib.metadata as m; print(*sorted(f'{d.name.lower()}@{d.version}' for d in m.distributions()))"
    installed = {f"pkg:pypi/{package}" for package in python(image, code).split()}
    assert f"pkg:pypi/quorumkit@{__version__}" in installed
    assert {purl for purl in listed if purl.startswith("pkg:pypi/")} == installed

    debian = {purl.removeprefix("pkg:deb/debian/").partition("@")[0] for purl in listed if purl.startswith("pkg:deb/")}
    assert {"libc6", "libpython3.11-stdlib", "libssl3", "busybox-static", "ca-certificates"} <= debian
    assert not debian & {"apt", "coreutils", "dpkg", "grep", "perl-base", "python3-pip"}


def test_no_keys_and_no_tools_to_get_more_are_in_it(files: tarfile.TarFile) -> None:
    names = [member.name for member in files.getmembers()]
    assert "usr/local/bin/geth" in names
    secrets = re.compile(r"(^|/)(nodekey|password|keystore|UTC--.*|id_[a-z0-9]+|.*\.(key|p12)|secrets?\.json)$")
    assert [name for name in names if secrets.search(name) and "dist-packages" not in name] == []
    assert not {"usr/bin/apt", "usr/bin/dpkg", "usr/bin/gcc", "usr/bin/pip3"} & set(names)
    assert not [name for name in names if re.search(r"dist-packages/(pip|pygments|pytest)/", name)]
    assert [m.name for m in files.getmembers() if m.isfile() and m.mode & 0o6000] == []  # set-uid, set-gid
    for member in files.getmembers():
        if member.isfile():
            file = files.extractfile(member)
            assert file is not None
            assert not SECRET.search(file.read()), member.name


def test_every_module_can_be_imported(image: Built) -> None:
    code = """
import importlib, pkgutil, quorumkit
names = [module.name for module in pkgutil.walk_packages(quorumkit.__path__, "quorumkit.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
    assert int(python(image, code)) > 50
    assert docker("run", "--rm", "--entrypoint", "quorumkit", image.tag, "--version").strip().endswith(__version__)


def test_built_again_elsewhere_it_has_the_same_layers(image: Built) -> None:
    """Without any cache, and from a base image of another name."""
    tags = [f"quorumkit-test/{os.getpid()}:{name}" for name in ("one", "two")]
    base = f"quorumkit-test/{os.getpid()}:base"
    docker("tag", image.base, base)
    try:
        one = image.tag
        if not image.anew:
            one = tags[0]
            quorumkit("image", "build", *CLIQUE, "--no-cache", "--tag", one)
        answer = quorumkit("image", "build", *CLIQUE, "--no-cache", "--tag", tags[1], "--base", base, "--json").json
        assert answer["base"] == base and answer["tag"] == tags[1]
        two = inspect(tags[1])
        assert two["RootFS"] == inspect(one)["RootFS"]
        assert two["Config"]["Labels"]["org.quorumkit.base"] == base  # type: ignore[index]
        # The base named once is the one that is asked for from then on: nothing is built now.
        again = quorumkit("image", "build", *CLIQUE, "--tag", tags[1], "--json")
        assert again.json["id"] == answer["id"]
    finally:
        docker("image", "rm", *tags, base, code=None)
