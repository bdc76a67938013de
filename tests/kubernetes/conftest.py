"""What tests on a cluster share.

They need helm, kubectl and a cluster that KUBECONFIG leads to; those that run pods also a Docker engine to build the
node image with, and in QUORUMKIT_TEST_IMAGE_LOADER the command that brings a local image into the cluster, such as
`kind load docker-image`. Where one is missing they are skipped, and say which.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import IMAGE, LOADER, NEXT_TAG, TAG, Release, command

from quorumkit.engines import acquirer_of, recipe_of
from quorumkit.image import build_image
from quorumkit.progress import silent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kubernetes)


@pytest.fixture(scope="session", autouse=True)
def helm() -> None:
    if shutil.which("helm") is None:
        pytest.skip("helm is not on PATH")


@pytest.fixture(scope="session")
def cluster(helm: None) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH")
    answer = subprocess.run(
        ["kubectl", "version", "--request-timeout=20s"], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        pytest.skip(f"no cluster: {answer.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="session")
def image(cluster: None) -> str:
    """The node image of this checkout in the cluster, under two tags."""
    loader = os.environ.get(LOADER)
    if not loader:
        pytest.skip(f"{LOADER} does not say how to bring a local image into the cluster")
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no Docker engine to build the node image with")
    recipe = recipe_of("geth", "clique")
    build_image(
        f"{IMAGE}:{TAG}", recipe, acquirer_of("geth", "clique").acquire(recipe.default_version, progress=silent), silent
    )
    command("docker", "tag", f"{IMAGE}:{TAG}", f"{IMAGE}:{NEXT_TAG}")
    for tag in (TAG, NEXT_TAG):
        command(*shlex.split(loader), f"{IMAGE}:{tag}")
    return f"{IMAGE}:{TAG}"


@pytest.fixture(scope="session")
def tag_of(image: str) -> Callable[[str], str]:
    """Builds geth's node image for a consensus kind and brings it into the cluster; its tag."""

    @functools.cache
    def tag_of(consensus: str) -> str:
        recipe, tag = recipe_of("geth", consensus), f"{TAG}-{consensus}"
        binary = acquirer_of("geth", consensus).acquire(recipe.default_version, progress=silent)
        build_image(f"{IMAGE}:{tag}", recipe, binary, silent)
        command(*shlex.split(os.environ[LOADER]), f"{IMAGE}:{tag}")
        return tag

    return tag_of


@pytest.fixture(scope="session")
def default_tag(tag_of: Callable[[str], str]) -> str:
    """The tag of the node image for the consensus that is the default, which is in the cluster too."""
    return tag_of(recipe_of("geth").consensus[0])


@pytest.fixture(scope="session")
def new_namespace(cluster: None) -> Iterator[Callable[[], str]]:
    """Makes namespaces that enforce the Pod Security Standard `restricted`; they are gone at the end."""
    made: list[str] = []

    def make() -> str:
        name = f"quorumkit-test-{uuid.uuid4().hex[:8]}"
        made.append(name)
        command("kubectl", "create", "namespace", name)
        command("kubectl", "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted",
                "pod-security.kubernetes.io/warn=restricted")  # fmt: skip
        return name

    yield make
    for name in made:
        command("kubectl", "delete", "namespace", name, "--ignore-not-found", "--wait=false")


@pytest.fixture(scope="module")
def release(image: str, new_namespace: Callable[[], str]) -> Iterator[Release]:
    """A release that a module's tests change one after the other; not installed yet."""
    made = Release(new_namespace())
    yield made
    # Its namespace goes without being waited for; its pods should not take the next module's processors.
    command("helm", "--namespace", made.namespace, "uninstall", made.name, "--ignore-not-found")
    made.kubectl("delete", "pods", "--all", "--grace-period=1", "--ignore-not-found")
