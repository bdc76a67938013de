"""Where the nodes' identities come from: one command makes all, or each node makes its own. The same on every
provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quorumkit.identities.base import Identities

if TYPE_CHECKING:
    from quorumkit.directory import NetworkDirectory
    from quorumkit.providers import Provider
    from quorumkit.spec import NetworkSpec

__all__ = ["Identities", "identities_of"]


def identities_of(directory: NetworkDirectory, spec: NetworkSpec, provider: Provider) -> Identities:
    """Those that the spec names."""
    if spec.identities == "exchanged":
        from quorumkit.identities.exchanged import Exchanged

        return Exchanged(directory, spec, provider)
    from quorumkit.identities.generated import Generated

    return Generated(directory, spec, provider)
