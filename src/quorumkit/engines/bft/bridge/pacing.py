"""When a block is released, and which time it bears. Pure: whoever asks brings the time.

Three clocks are told apart. The wall clocks of validators may be wrong, by 30 s and more. The machine's steady clock
only runs. And *network time* is what consensus itself agrees on: each block's consensus time is the median of the
times at which the validators signed the one before it (CometBFT's BFT time), so no third of them can shift it. When a
node learns it, it knows how far its own clocks are from it: from then on it knows network time with its steady clock
alone, and so do all the others. Block timestamps are judged by that, never by anybody's wall clock; and for the case
that even this fails there is one timestamp that all accept always, so that no clock can ever stop the chain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from quorumkit.engines.bft.bridge.proposal import Times

AHEAD: Final = 10.0
"""Seconds that a block's timestamp may be ahead of network time as a node knows it: a busy one knows it some seconds
late."""
BEHIND: Final = 60.0
"""Seconds that it may be behind, where it does not have to be."""
UNSURE: Final = 50.0
"""Seconds more on both sides for a node that has just started and knows its wall clock alone."""
PATIENT: Final = 3
"""Proposals at one height after which the time that all accept is accepted and proposed, however late it is. Not the
first: else one hostile validator would have the next one date its block back."""

_START = 0.05  # seconds before the release at which a build begins at the latest
_PER_TRANSACTION = 0.0002  # seconds that geth needs for one (measured: 0.1 to 0.15 ms for transfers, on a busy machine)
_LONGEST_LEAD = 0.5  # of a period


@dataclass(frozen=True)
class Instant:
    """One moment by two clocks, in seconds: the wall's (since 1970), and the machine's steady one."""

    wall: float
    steady: float


@dataclass
class NetworkClock:
    """Network time, as one node knows it."""

    _network: float | None = None
    _steady: float = 0.0

    def learn(self, block_time: float, signed: Instant | None) -> None:
        """A height's consensus time is known: when the validators signed the block before it, which was when this node
        committed that. `signed` is that moment; None: this node was not there."""
        if signed is not None:
            self._network, self._steady = block_time, signed.steady

    @property
    def is_sure(self) -> bool:
        """Whether it is more than the wall clock."""
        return self._network is not None

    def at(self, moment: Instant) -> float:
        """Network time then."""
        return moment.wall if self._network is None else self._network + moment.steady - self._steady


def first_timestamp(parent: int, block_time: float) -> int:
    """The one that all accept always: it follows from the parent's timestamp and the height's consensus time, which
    CometBFT has checked. In steady operation it is a period behind network time."""
    return max(parent + 1, math.floor(block_time))


def acceptable(parent: int, block_time: float, clock: NetworkClock, now: Instant, *, seen: int) -> Times:
    """The timestamps that are accepted from a proposer; `seen` proposals were there at this height before."""
    first = first_timestamp(parent, block_time)
    network = clock.at(now)
    unsure = 0.0 if clock.is_sure else UNSURE
    latest = max(first, math.floor(network + AHEAD + unsure))
    earliest = first if seen >= PATIENT else max(first, math.floor(network - BEHIND - unsure))
    return Times(earliest, latest)


def chosen(parent: int, block_time: float, clock: NetworkClock, release: Instant, *, seen: int) -> int:
    """The timestamp to propose for a block that is released at `release`."""
    first = first_timestamp(parent, block_time)
    return first if seen >= PATIENT else max(first, math.floor(clock.at(release)))


@dataclass(frozen=True)
class Released:
    """A block that came."""

    mark: float
    """When it was released, by its proposer's wall clock."""
    seen: Instant
    """When it was here."""


def released_at(block: Released, period: float) -> float:
    """When it was released, by our steady clock.

    As its mark says, if that can be: then the pace is exact, for the way from one proposer to the next does not add up.
    Clocks that differ a little take turns, and that cancels out. Else (a wrong clock, or a hostile mark) it counts from
    when it was here.
    """
    tolerance = _tolerance(period)
    delay = block.seen.wall - block.mark
    return block.seen.steady - (delay if abs(delay) <= tolerance else 0.0)


def due(last: Released | None, *, parent: int, period: float, clock: NetworkClock, now: Instant) -> float:
    """When the next block is to be released, by our steady clock.

    A period after the last one. A block whose timestamp would be ahead of network time waits for it, up to half a
    period, so that block time does not run away from real time.
    """
    at = now.steady
    if last is not None:
        at = max(at, min(released_at(last, period) + period, now.steady + period + _tolerance(period)))
    ahead = parent + 1 - clock.at(Instant(now.wall + at - now.steady, at))
    return at + min(max(0.0, ahead), period / 2) if clock.is_sure else at


def mark(due: float, now: Instant, period: float) -> float:
    """What the block that is released now says of when that was: when it was due, if it is a little late, so that the
    next one catches up."""
    late = now.steady - due
    return now.wall - late if 0 <= late <= period / 4 else now.wall


def lead(pending: int, period: float) -> float:
    """Seconds before the release at which the block is built: as late as can be, so that the newest transactions are
    in."""
    return min(_START + pending * _PER_TRANSACTION, period * _LONGEST_LEAD)


def _tolerance(period: float) -> float:
    return period / 4 + 0.25
