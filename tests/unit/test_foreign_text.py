"""Text that a stranger wrote never breaks a line, moves a cursor or turns what is read around."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.foreign import LONGEST, one_line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a plain line", "a plain line"),
        ("two\nlines\r\n and\ta tab ", "two lines and a tab"),
        ("\x1b[2J\x1b]0;title\x07gone", "?[2J?]0;title?gone"),
        ("abc\u202edcba\u2066x\u200f", "abc?dcba?x?"),
        ("one\u2028two\u2029three\x85four\x0bfive\x0csix", "one two three four five six"),
        ("\ud800\udcff", "??"),
        ("nul\x00, delete\x7f, c1 \x9b, zero\u200bwidth", "nul?, delete?, c1 ?, zero?width"),
        ("Zürich, 東京, …", "Zürich, 東京, …"),
        (b"bytes \xff\xfe", "bytes \ufffd\ufffd"),
        (None, "None"),
        ("", ""),
    ],
)
def test_what_is_left_of_a_text(text: object, line: str) -> None:
    assert one_line(text) == line


@given(st.one_of(st.text(alphabet=st.characters(), max_size=2000), st.binary(max_size=4000)), st.integers(1, 500))
def test_it_is_one_printable_line_of_bounded_length(text: object, longest: int) -> None:
    line = one_line(text, longest=longest)
    assert line.isprintable()
    assert len(line) <= longest
    assert len(line.splitlines()) <= 1
    line.encode()


def test_a_long_text_is_cut_and_says_so() -> None:
    assert one_line("x" * 10**7) == "x" * (LONGEST - 1) + "…"
    assert one_line("x" * LONGEST) == "x" * LONGEST


def test_an_object_that_cannot_be_told_does_no_harm() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise RuntimeError

    assert one_line(Hostile()) == "…"
