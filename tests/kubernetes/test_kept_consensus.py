"""A network keeps the consensus kind that it was made with, where nobody names one and the default is another by now.

Nothing of it runs: no image has that name.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster import CHART, Release, command, eventually

LABEL = "quorumkit.org/consensus"


class Charts:
    """The chart with one default of geth or the other, and as it was before it marked what it had made."""

    def __init__(self, path: Path) -> None:
        self.clique = self._with_default(path / "clique", "clique bft")
        self.bft = self._with_default(path / "bft", "bft clique")
        self.before = self._with_default(path / "before", "clique bft")
        template = self.before / "templates/statefulset.yaml"
        text = template.read_text(encoding="utf-8")
        for marks in (
            r' *\{\{- with include "quorumkit.claimsConsensus" \. \}\}\n.*\n.*\n',
            r" *quorumkit.org/consensus: .*\n",
        ):
            text, count = re.subn(marks, "", text)
            assert count == 1
        template.write_text(text, encoding="utf-8")

    def _with_default(self, path: Path, kinds: str) -> Path:
        shutil.copytree(CHART, path)
        engines = path / "templates/_engines.tpl"
        text = re.sub(r'"(clique bft|bft clique)"', f'"{kinds}"', engines.read_text(encoding="utf-8"))
        assert f'"all": "{kinds}"' in text
        engines.write_text(text, encoding="utf-8")
        return path


@pytest.fixture
def charts(tmp_path: Path) -> Charts:
    return Charts(tmp_path)


@pytest.fixture
def release(cluster: None, new_namespace: Callable[[], str]) -> Release:
    return Release(new_namespace())


def install(release: Release, chart: Path, *settings: str) -> None:
    """Or upgrades it."""
    options = ["--namespace", release.namespace, "--reset-values"]
    options += [
        "--set",
        ",".join(["image.repository=quorumkit/no-such,image.pullPolicy=Never,replicaCount=1", *settings]),
    ]
    command("helm", "upgrade", "--install", release.name, chart, *options)
    eventually(lambda: release.get("pvc")["items"], "the claim is made")


def uninstall(release: Release) -> None:
    command("helm", "--namespace", release.namespace, "uninstall", release.name, "--wait")


def made_with(release: Release) -> tuple[str, str]:
    """What nodes are told, and the client that they run."""
    spec = release.get("configmap", "mynet-spec")["data"]["quorumkit.yaml"]
    [container] = release.get("statefulset", "mynet")["spec"]["template"]["spec"]["containers"]
    found = re.search(r"^consensus:\n  kind: (.*)$", spec, re.MULTILINE)
    assert found
    return found[1], container["image"].rpartition("-")[2]


def labels(thing: dict[str, Any]) -> str | None:
    label: str | None = thing["metadata"]["labels"].get(LABEL)
    return label


CLIQUE, BFT = ("clique", "geth1.13.15"), ("bft", "geth1.17.10")


def test_what_was_made_before_it_was_marked_stays_what_it_is(release: Release, charts: Charts) -> None:
    install(release, charts.before)
    assert made_with(release) == CLIQUE
    assert labels(release.get("statefulset", "mynet")) is None
    install(release, charts.bft)
    assert made_with(release) == CLIQUE
    assert labels(release.get("statefulset", "mynet")) == "clique"
    uninstall(release)
    assert labels(release.get("pvc", "data-mynet-0")) is None
    install(release, charts.bft)
    assert made_with(release) == CLIQUE
    # With a kind that was named then, and is not now.
    uninstall(release)
    release.kubectl("delete", "pvc", "--all")
    install(release, charts.before, "network.consensus.kind=bft")
    install(release, charts.clique)
    assert made_with(release) == BFT


def test_what_is_made_now_is_marked(release: Release, charts: Charts) -> None:
    install(release, charts.bft)
    assert made_with(release) == BFT
    install(release, charts.clique)
    assert made_with(release) == BFT
    uninstall(release)
    assert labels(release.get("pvc", "data-mynet-0")) == "bft"
    install(release, charts.clique)
    assert made_with(release) == BFT
    # Another network begins with what is the default now.
    uninstall(release)
    release.kubectl("delete", "pvc", "--all")
    install(release, charts.clique)
    assert made_with(release) == CLIQUE


def test_goquorums_default_stays_what_it_is(release: Release, charts: Charts) -> None:
    install(release, charts.before, "network.engine.kind=goquorum")
    uninstall(release)
    install(release, charts.bft, "network.engine.kind=goquorum")
    assert made_with(release) == ("qbft", "goquorum24.4.1")
