"""BFT consensus as pods: each has two clients, and no block comes without three of four."""

from __future__ import annotations

from collections.abc import Callable

from cluster import Release


def test_pods_that_come_back_elsewhere_are_found_again_by_both_clients(
    release: Release, tag_of: Callable[[str], str]
) -> None:
    release.install("--set", f"image.tag={tag_of('bft')},network.consensus.kind=bft,replicaCount=4")
    assert "verified" in release.test()
    nodes = release.whole(4)
    assert {node["role"] for node in nodes} == {"validator"}
    known = min(node["block"] for node in nodes)
    known_hash = release.block_hash(0, known)
    addresses = {name: pod["status"]["podIP"] for name, pod in release.pods().items()}
    release.delete_pods(0, 1)
    after = release.whole(4)
    moved = {name for name, pod in release.pods().items() if pod["status"]["podIP"] != addresses[name]}
    assert moved == {"mynet-0", "mynet-1"}
    assert [node["account"] for node in after] == [node["account"] for node in nodes]
    highest = max(node["block"] for node in after)
    for index in range(4):
        release.grows_beyond(index, highest + 1)
        assert release.block_hash(index, known) == known_hash
