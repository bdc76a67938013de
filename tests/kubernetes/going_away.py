"""Pods of validators, and clients in them, that end at once and come back."""

from __future__ import annotations

from cluster import Release, eventually

PODS = ((3,), (1, 2), (0, 3), (0, 1, 2))
"""Who of four is deleted at once: as many as blocks go on without, and more."""

CLIENTS = ((2,), (0, 1), (0, 1, 2, 3))


def delete_pods(release: Release, *indexes: int) -> None:
    """They come back as other pods, on their claims."""
    before = {name: pod["metadata"]["uid"] for name, pod in release.pods().items()}
    release.delete_pods(*indexes)
    release.whole(4)
    after = {name: pod["metadata"]["uid"] for name, pod in release.pods().items()}
    assert {name for name in after if after[name] != before[name]} == {f"{release.name}-{index}" for index in indexes}


def kill_clients(release: Release, *indexes: int) -> None:
    """They are started again in the same pods."""
    nodes = {index: release.node(index) for index in indexes}
    for index, node in nodes.items():
        assert node is not None
        release.kubectl("exec", f"{release.name}-{index}", "--", "sh", "-c", f"kill -9 {node['pid']}")

    def come_back(index: int) -> bool:
        before, now = nodes[index], release.node(index)
        return bool(before and now and now["restarts"] > before["restarts"])

    eventually(lambda: all(map(come_back, indexes)), f"the deaths of {indexes} are seen")
    release.whole(4)


def all_go_on(release: Release) -> None:
    """Each gets two blocks more than any has."""
    heads = [node["block"] for node in release.whole(4)]
    for index in range(4):
        release.grows_beyond(index, max(heads) + 1)


def go_away_and_come_back(release: Release, *, blocks_on_demand: bool = False) -> None:
    """Again and again, in a release of four; verified afterwards."""
    for end, rounds in ((delete_pods, PODS), (kill_clients, CLIENTS)):
        for indexes in rounds:
            end(release, *indexes)
            if not blocks_on_demand:
                all_go_on(release)
    assert "verified" in release.test()
