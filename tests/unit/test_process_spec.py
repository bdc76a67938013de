"""The order in which the processes of a group start."""

from __future__ import annotations

import pytest

from quorumkit.process_spec import GROUP_STOP_WITHIN, ProcessSpec, in_order, stop_share
from quorumkit.providers.program import CONTROL_TIMEOUT
from quorumkit.render.compose import STOP_GRACE


def spec(name: str, *after: str) -> ProcessSpec:
    return ProcessSpec(name, ("true",), after=after)


def test_each_stands_behind_those_it_starts_after_and_else_as_it_was() -> None:
    specs = [spec("client", "bridge", "tm"), spec("bridge", "engine"), spec("engine"), spec("tm")]
    assert [each.name for each in in_order(specs)] == ["engine", "bridge", "tm", "client"]
    assert [each.name for each in in_order([spec("b"), spec("a")])] == ["b", "a"]


@pytest.mark.parametrize(
    ("specs", "wrong"),
    [
        ([spec("a", "b"), spec("b", "a"), spec("c")], "wait for each other: a, b"),
        ([spec("a", "a")], "wait for each other: a"),
        ([spec("a", "b")], "a is to start after b, which is not in the group"),
        ([spec("a"), spec("a")], "two parts have one name"),
    ],
)
def test_an_order_that_cannot_be_is_refused(specs: list[ProcessSpec], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        in_order(specs)


def test_messages_call_it_by_its_title_or_else_by_its_name() -> None:
    assert spec("bridge").words == "bridge"
    assert ProcessSpec("tm", ("true",), title="transaction manager").words == "transaction manager"


@pytest.mark.parametrize(
    ("left", "others", "share"),
    [(65, [], 60), (65, [5], 60), (65, [60, 60], 65 / 3), (20, [], 20), (0, [60], 0), (-1, [60], 0)],
)
def test_what_a_deaf_part_may_take_leaves_the_others_theirs(left: float, others: list[float], share: float) -> None:
    assert stop_share(left, 60, others) == pytest.approx(share)


def test_who_waits_for_a_node_to_end_waits_for_longer_than_its_group_takes() -> None:
    assert GROUP_STOP_WITHIN < CONTROL_TIMEOUT
    assert int(STOP_GRACE.removesuffix("s")) > GROUP_STOP_WITHIN
