"""The chart's network on the consensus that is the default: no value names one."""

from __future__ import annotations

from cluster import Release


def test_four_nodes_are_verified_by_helm_test_and_go_on(release: Release, default_tag: str) -> None:
    release.install("--set", f"image.tag={default_tag},network.consensus.kind=,replicaCount=4")
    assert "verified" in release.test()
    nodes = release.whole(4)
    assert {node["role"] for node in nodes} == {"validator"}
    known = nodes[0]["block"]
    known_hash = release.block_hash(0, known)
    release.delete_pods(1)
    after = release.whole(4)
    assert [node["account"] for node in after] == [node["account"] for node in nodes]
    release.grows_beyond(1, known)
    assert release.block_hash(1, known) == known_hash
