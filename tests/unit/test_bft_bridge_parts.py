"""The pure parts of the bridge's side of geth."""

from __future__ import annotations

import pytest

from quorumkit.engines.bft.bridge.engine_api import ExecutionError, methods_of
from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.retention import kept_blocks, retain_height


def test_cometbft_keeps_what_geth_can_lose() -> None:
    assert kept_blocks(200) == 1000
    assert kept_blocks(5000) == 5000
    assert retain_height(oldest_kept=0, height=50) == 0
    assert retain_height(oldest_kept=1, height=50) == 0
    assert retain_height(oldest_kept=70, height=2000) == 70


def test_osaka_takes_the_methods_that_its_specification_names() -> None:
    methods = methods_of("osaka")
    assert (methods.forkchoice, methods.new_payload, methods.get_payload) == (
        "engine_forkchoiceUpdatedV3",
        "engine_newPayloadV4",
        "engine_getPayloadV5",
    )
    with pytest.raises(ExecutionError, match="'london'"):
        methods_of("london")


def test_a_head_is_read_from_a_header() -> None:
    header = {"number": "0x5", "hash": "0x01", "timestamp": "0x10", "parentBeaconBlockRoot": "0x07"}
    assert Head.of(header) == Head(number=5, hash="0x01", timestamp=16, height=7)
    # Whatever the first block has there, consensus did not decide it.
    assert Head.of({**header, "number": "0x0", "parentBeaconBlockRoot": None}).height == 0
