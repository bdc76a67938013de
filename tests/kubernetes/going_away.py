"""Pods of validators, and clients in them, that end at once and come back."""

from __future__ import annotations

import json

from cluster import Release, eventually

from support.validators_away import settled

PODS = ((3,), (0, 1, 2))
"""Who of four is deleted at once: as many as blocks go on without, and more."""

CLIENTS = ((1, 2), (0, 1, 2, 3))


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


def hashes(release: Release, index: int, numbers: list[int]) -> list[str]:
    script = f"JSON.stringify({numbers}.map(function (number) {{ return eth.getBlock(number).hash }}))"
    return [str(each) for each in json.loads(json.loads(release.console(index, script)))]


def go_away_and_come_back(release: Release, *, blocks_on_demand: bool = False) -> None:
    """Again and again, in a release of four; it has all blocks afterwards, and is verified."""
    known = {}
    for end, rounds in ((delete_pods, PODS), (kill_clients, CLIENTS)):
        for indexes in rounds:
            number = settled(node["block"] for node in release.whole(4))
            [known[number]] = hashes(release, 0, [number])
            end(release, *indexes)
            if not blocks_on_demand:
                all_go_on(release)
    for index in range(4):
        assert hashes(release, index, list(known)) == list(known.values())
    assert "verified" in release.test()
