"""Who a node is: the public half that may be shown to anyone, and the secrets that never leave its directory."""

from quorumkit.identity.keys import FurtherKeys, MadeKeys, NodeSecrets, PublicIdentity, generate_secrets
from quorumkit.identity.store import check_identity, load_identity, write_secrets

__all__ = [
    "FurtherKeys",
    "MadeKeys",
    "NodeSecrets",
    "PublicIdentity",
    "check_identity",
    "generate_secrets",
    "load_identity",
    "write_secrets",
]
