"""Where things lie below a node's directory, of those that more than one part of a node names."""

from __future__ import annotations

from pathlib import Path

from quorumkit.engines.geth.recipe import GethRecipe

GETH_IPC = GethRecipe.ipc
SIGNER_SOCKET = Path("signer.ipc")
"""What geth's `--signer` names."""
ABCI_SOCKET = Path("cometbft/abci.sock")
"""The bridge listens there."""
RPC_SOCKET = Path("cometbft/rpc.sock")
"""CometBFT listens there."""
CONFIG = Path("cometbft/config/config.toml")
GENESIS = Path("cometbft/config/genesis.json")
