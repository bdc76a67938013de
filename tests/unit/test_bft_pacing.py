"""When blocks are released, and which times they bear."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from quorumkit.engines.bft.bridge.pacing import (
    AHEAD,
    BEHIND,
    PATIENT,
    UNSURE,
    Instant,
    NetworkClock,
    Released,
    acceptable,
    chosen,
    due,
    lead,
    mark,
)

NOW = Instant(wall=1_000_000.0, steady=500.0)


def sure(network: float = NOW.wall) -> NetworkClock:
    """One that knows that it is `network` now."""
    clock = NetworkClock()
    clock.learn(network, NOW)
    return clock


def at(seconds: float) -> Instant:
    return Instant(NOW.wall + seconds, NOW.steady + seconds)


def test_the_next_block_is_due_a_period_after_the_mark_of_the_last() -> None:
    last = Released(mark=NOW.wall - 0.030, seen=NOW)
    assert due(last, parent=0, period=1, clock=sure(), now=at(0.1)) == pytest.approx(NOW.steady + 0.970)


def test_a_block_that_is_late_already_is_due_now() -> None:
    last = Released(mark=NOW.wall, seen=NOW)
    assert due(last, parent=0, period=1, clock=sure(), now=at(7)) == NOW.steady + 7


def test_after_a_start_a_block_is_due_at_once() -> None:
    assert due(None, parent=0, period=1, clock=NetworkClock(), now=NOW) == NOW.steady


@pytest.mark.parametrize("wrong", [-30.0, 30.0, -1e9, 1e9, -NOW.wall])
def test_a_mark_that_cannot_be_counts_for_nothing(wrong: float) -> None:
    last = Released(mark=NOW.wall + wrong, seen=NOW)
    assert due(last, parent=0, period=1, clock=sure(), now=at(0.1)) == NOW.steady + 1


def test_a_clock_that_is_set_while_a_proposer_waits_changes_nothing() -> None:
    last = Released(mark=NOW.wall - 0.030, seen=NOW)
    now = Instant(NOW.wall - 3_600, NOW.steady + 0.1)
    assert due(last, parent=0, period=1, clock=sure(), now=now) == pytest.approx(NOW.steady + 0.970)


def test_block_time_that_ran_ahead_waits_for_real_time_by_half_a_period() -> None:
    last = Released(mark=NOW.wall, seen=NOW)
    ahead = math.floor(NOW.wall) + 30
    assert due(last, parent=ahead, period=1, clock=sure(), now=NOW) == NOW.steady + 1.5


def test_the_mark_keeps_to_the_pace_where_the_block_is_a_little_late() -> None:
    assert mark(NOW.steady - 0.1, NOW, 1) == pytest.approx(NOW.wall - 0.1)
    assert mark(NOW.steady - 0.6, NOW, 1) == NOW.wall


def test_building_begins_earlier_the_more_there_is() -> None:
    assert lead(0, 1) < lead(1_000, 1) < lead(10**9, 1) <= 0.5


def simulated(offsets: list[float], blocks: int, period: float = 1.0, jitter: float = 0.02) -> list[tuple[float, int]]:
    """When blocks were released in real time, and their timestamps, where the validators' wall clocks are off by
    `offsets` and each proposal is seen after up to `jitter` seconds. Each proposer takes its turn."""
    chance = random.Random(1)
    clocks = [NetworkClock() for _ in offsets]
    last: list[Released | None] = [None] * len(offsets)
    signed: list[Instant | None] = [None] * len(offsets)
    now, parent, block_time = 1_000_000.4, 1_000_000, 1_000_000.4
    found = []
    for number in range(blocks):
        turn = number % len(offsets)
        instants = [Instant(now + offset, now - 900_000) for offset in offsets]
        for clock, was in zip(clocks, signed, strict=True):
            clock.learn(block_time, was)
        release = max(now, due(last[turn], parent=parent, period=period, clock=clocks[turn], now=instants[turn]) + 9e5)
        moment = Instant(release + offsets[turn], release - 900_000)
        stamp = chosen(parent, block_time, clocks[turn], moment, seen=0)
        for index, clock in enumerate(clocks):
            if index != turn and number > 1:
                there = Instant(release + offsets[index], release - 900_000)
                times = acceptable(parent, block_time, clock, there, seen=0)
                assert times.earliest <= stamp <= times.latest, (number, index)
        for index, offset in enumerate(offsets):
            seen = release + chance.uniform(0, jitter)
            last[index] = Released(release + offsets[turn], Instant(seen + offset, seen - 900_000))
        now = release + 0.06
        signed = [Instant(now + offset, now - 900_000) for offset in offsets]
        # CometBFT: the median of those that signed, each at least a millisecond after the block that it signs.
        times_signed = sorted(max(now + offset, block_time + 0.001) for offset in offsets)
        block_time, parent = times_signed[len(offsets) // 2], stamp
        found.append((release, stamp))
    return found


def test_the_pace_is_exact() -> None:
    blocks = simulated([0.0] * 4, 400)
    steps = [after - before for (before, _), (after, _) in itertools.pairwise(blocks[8:])]
    assert max(abs(step - 1) for step in steps) < 0.020
    assert blocks[-1][0] - blocks[8][0] == pytest.approx(391, abs=0.1)


def test_timestamps_go_with_real_time() -> None:
    assert all(-1.5 < stamp - released < 1.1 for released, stamp in simulated([0.0, 0.01, -0.01, 0.02], 400)[8:])


@pytest.mark.parametrize("offsets", [[0, 0, 0, 30], [0, 0, 0, -30], [0, 0, -30, 30], [0, 0, 0, 0.4], [0, 0, 0.4, 0.4]])
def test_wrong_clocks_of_a_minority_move_neither_the_pace_nor_block_time(offsets: list[float]) -> None:
    """Every proposal is accepted by all (`simulated` sees to that)."""
    blocks = simulated(offsets, 400)
    assert (blocks[-1][0] - blocks[100][0]) / 299 == pytest.approx(1, abs=0.03)
    median = sorted(offsets)[len(offsets) // 2]
    assert all(-2 < stamp - released - median < 2 for released, stamp in blocks[100:])


def test_clocks_of_two_halves_that_differ_go_with_one_of_them() -> None:
    blocks = simulated([0, 0, 30, 30], 200)
    assert all(28 < stamp - released < 32 for released, stamp in blocks[50:])


def test_what_a_node_that_knows_network_time_accepts() -> None:
    now = NOW.wall
    times = acceptable(int(now) - 3_600, now - 3_000, sure(), NOW, seen=0)
    assert (times.earliest, times.latest) == (now - BEHIND, now + AHEAD)


def test_no_block_is_before_the_time_of_consensus_or_its_parents() -> None:
    now = int(NOW.wall)
    assert acceptable(now - 1, now - 5.0, sure(), NOW, seen=0).earliest == now
    assert acceptable(now - 20, now - 5.5, sure(), NOW, seen=0).earliest == now - 6


def test_a_node_that_just_started_is_more_generous() -> None:
    times = acceptable(0, 0.0, NetworkClock(), NOW, seen=0)
    assert (times.earliest, times.latest) == (NOW.wall - BEHIND - UNSURE, NOW.wall + AHEAD + UNSURE)


def test_the_first_possible_time_is_accepted_whatever_the_clocks_say_once_some_proposals_failed() -> None:
    """Else clocks could stop the chain."""
    for network in (NOW.wall - 1e6, NOW.wall + 1e6):
        clock = sure(network)
        stamp = chosen(999_000, 999_500.0, clock, NOW, seen=PATIENT)
        times = acceptable(999_000, 999_500.0, clock, NOW, seen=PATIENT)
        assert stamp == 999_500
        assert times.earliest <= stamp <= times.latest


def test_one_failed_proposal_does_not_have_the_next_date_its_block_back() -> None:
    now = NOW.wall
    assert chosen(int(now) - 3_600, now - 3_000, sure(), NOW, seen=1) == now


def test_network_time_goes_on_with_the_steady_clock() -> None:
    clock = sure(NOW.wall + 30)
    assert clock.at(Instant(wall=5.0, steady=NOW.steady + 10)) == NOW.wall + 40
