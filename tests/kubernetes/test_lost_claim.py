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
    # Each is told the network's genesis by nodes of which one is another than that names.
    for count in (4, 5):
        release.install("--set", f"replicaCount={count}")
        nodes = release.whole(count)
        assert [node["role"] for node in nodes] == ["validator", "observer", "validator", *["observer"] * (count - 3)]
        number = release.grows_beyond(count - 1, nodes[-1]["block"])
        assert release.block_hash(count - 1, number) == release.block_hash(0, number)
