"""The order in which the processes of a group start."""

from __future__ import annotations

import pytest

from quorumkit.process_spec import ProcessSpec, in_order


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
        ([spec("a"), spec("a")], "two processes have one name"),
    ],
)
def test_an_order_that_cannot_be_is_refused(specs: list[ProcessSpec], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        in_order(specs)


def test_messages_call_it_by_its_title_or_else_by_its_name() -> None:
    assert spec("bridge").words == "bridge"
    assert ProcessSpec("tm", ("true",), title="transaction manager").words == "transaction manager"
