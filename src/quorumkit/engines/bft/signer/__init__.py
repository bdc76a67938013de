"""The node's account: current geth keeps no key of its own and asks an external signer (`--signer`), which is this."""

from quorumkit.engines.bft.signer.server import serve

__all__ = ["serve"]
