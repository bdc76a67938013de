"""How long a client that died waits for its next start."""

from __future__ import annotations

from quorumkit.node.restarts import FAILED_AFTER, LONGEST_DELAY, MOST_DEATHS, WITHIN, Restarts


class Clock:
    """Goes on by as much as is said."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def die(restarts: Restarts, clock: Clock, *, after: float, was_ready: bool) -> float:
    clock.now += after
    return restarts.died(ran_for=after, was_ready=was_ready)


def test_one_that_never_ran_waits_twice_as_long_each_time_and_is_called_failed() -> None:
    restarts, clock = Restarts(), Clock()
    pauses = []
    for number in range(1, 12):
        pauses.append(die(restarts, clock, after=1.0, was_ready=False))
        assert restarts.any
        assert restarts.failed is (number >= FAILED_AFTER)
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == LONGEST_DELAY


def test_one_that_was_in_step_is_started_again_at_once_each_time() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    for _ in range(MOST_DEATHS):
        assert die(restarts, clock, after=4.0, was_ready=True) == 0.1
        assert not restarts.failed


def test_one_that_was_in_step_again_has_not_failed_any_more() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    for _ in range(FAILED_AFTER):
        die(restarts, clock, after=1.0, was_ready=False)
    assert restarts.failed
    assert die(restarts, clock, after=5.0, was_ready=True) == 0.1
    assert not restarts.failed


def test_one_that_ran_for_a_minute_starts_over_whatever_it_did() -> None:
    restarts, clock = Restarts(), Clock()
    for _ in range(5):
        die(restarts, clock, after=1.0, was_ready=False)
    assert die(restarts, clock, after=61.0, was_ready=False) == 0.1


def test_one_that_dies_again_and_again_in_step_is_slowed_down_and_called_failed() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    pauses = [die(restarts, clock, after=2.0, was_ready=True) for _ in range(MOST_DEATHS + 8)]
    assert pauses[MOST_DEATHS - 1 : MOST_DEATHS + 2] == [0.1, 0.2, 0.4]
    assert pauses[-1] > 20
    assert restarts.failed


def test_a_crash_loop_is_slowed_down_again_and_again_however_long_it_lasts() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    deaths = []
    while clock.now < 1000.0 + 20 * WITHIN:
        pause = die(restarts, clock, after=2.0, was_ready=True)
        deaths.append(clock.now)
        clock.now += pause
    for first in deaths:
        assert sum(first <= other <= first + WITHIN for other in deaths) <= 2 * MOST_DEATHS


def test_one_that_calmed_down_is_started_again_at_once() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    for _ in range(MOST_DEATHS + 8):
        die(restarts, clock, after=2.0, was_ready=True)
    clock.now += WITHIN
    assert die(restarts, clock, after=5.0, was_ready=True) == 0.1


def test_whoever_starts_it_has_it_begin_anew() -> None:
    clock = Clock()
    restarts = Restarts(clock)
    for _ in range(MOST_DEATHS + 8):
        die(restarts, clock, after=2.0, was_ready=True)
    restarts.forget()
    assert not restarts.any
    assert die(restarts, clock, after=2.0, was_ready=True) == 0.1
