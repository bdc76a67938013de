"""Validators of the chart's network that end at once and come back: up to as many as blocks go on without, and more."""

from __future__ import annotations

from cluster import Release
from going_away import go_away_and_come_back


def test_blocks_go_on_after_pods_were_deleted_and_clients_killed_at_once(release: Release) -> None:
    release.install("--set", "replicaCount=4")
    release.whole(4)
    go_away_and_come_back(release)
