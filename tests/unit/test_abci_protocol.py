"""The code generated for CometBFT's application interface."""

from __future__ import annotations

from pathlib import Path

from abci_protocol import BRIDGE, generate
from quorumkit.engines.bft.bridge import abci_pb2 as abci


def test_the_generated_code_is_what_the_description_gives(tmp_path: Path) -> None:
    for path in generate(tmp_path):
        assert path.read_bytes() == (BRIDGE / path.name).read_bytes(), "run `make protocol`"


def test_messages_have_the_form_that_cometbft_gives_them() -> None:
    """Bytes written by hand after the interface's own description (proto/tendermint/abci/types.proto of v0.40)."""
    request = abci.Request.FromString(
        bytes.fromhex(
            "8a01 20"  # field 17, process_proposal, 32 bytes
            "0a02 abcd"  # field 1, txs
            "1204 08011200"  # field 2, proposed_last_commit: not used here
            "2203 010203"  # field 4, hash: not used here
            "28 2a"  # field 5, height 42
            "3206 08e807 1080 01"  # field 6, time: 1000 s and 128 ns
            "4203 040506".replace(" ", "")
            + "3a00"  # field 7, next_validators_hash
        )
    )
    assert request.WhichOneof("value") == "process_proposal"
    assert list(request.process_proposal.txs) == [bytes.fromhex("abcd")]
    assert (request.process_proposal.height, request.process_proposal.time.seconds) == (42, 1000)
    response = abci.Response(
        finalize_block=abci.ResponseFinalizeBlock(
            tx_results=[abci.TxResult(gas_wanted=3, gas_used=2)],
            validator_updates=[abci.ValidatorUpdate(pub_key=abci.PublicKey(ed25519=b"\x01\x02"), power=5)],
            app_hash=b"\xff",
        )
    )
    # 21 { 2 tx_results { 5: 3, 6: 2 }, 3 validator_updates { 1 pub_key { 1 ed25519 }, 2: 5 }, 5 app_hash }
    assert response.SerializeToString().hex() == "aa0113" + "120428033002" + "1a080a040a0201021005" + "2a01ff"
