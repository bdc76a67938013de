"""A validator's pod that lost its claim, and pods that come after it was replaced."""

from __future__ import annotations

from cluster import Release, eventually

PARTLY = 3
"""The exit code of `node replace` while it takes effect only when others have signed too."""


def test_pods_that_come_after_a_replacement_join(release: Release) -> None:
    release.install("--set", "replicaCount=3")
    before = release.whole(3)
    release.kubectl("delete", "pvc", "data-mynet-1", "--wait=false")
    release.delete_pods(1)
    eventually(lambda: (node := release.node(1)) and node["state"] == "exchanging", "node2 waits for its admission")
    for index, code in ((0, PARTLY), (2, 0)):  # more than half of the validators
        release.kubectl("exec", f"mynet-{index}", "--", "quorumkit", "node", "replace", "node2", code=code)
    replaced = release.whole(3)
    assert replaced[1]["enode"].partition("@")[0] != before[1]["enode"].partition("@")[0]
    assert [node["role"] for node in replaced] == ["validator", "observer", "validator"]
    # Each is told the network's genesis by nodes of which one is another than that names.
    for ordinal in (4, 5):
        release.install("--set", f"replicaCount={ordinal}")
        eventually(lambda index=ordinal - 1: is_complete(release, index), f"node{ordinal} runs")  # type: ignore[misc]
        node = release.node(ordinal - 1)
        assert node and node["role"] == "observer"
        number = release.grows_beyond(ordinal - 1, node["block"])
        assert release.block_hash(ordinal - 1, number) == release.block_hash(0, number)


def is_complete(release: Release, index: int) -> bool:
    """Whether a node keeps step, and has all its peers: of those who come later, the first three."""
    node = release.node(index)
    return bool(node and node["state"] == "running" and node["peers"] == node["expected_peers"] == 3)
