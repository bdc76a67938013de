"""The chart as it comes: ten nodes."""

from __future__ import annotations

from cluster import Release


def test_ten_nodes_are_verified_by_helm_test(release: Release) -> None:
    release.install()
    release.test()
    nodes = release.whole(10)
    assert [node["name"] for node in nodes] == [f"node{number}" for number in range(1, 11)]
    assert {node["role"] for node in nodes} == {"validator"}
