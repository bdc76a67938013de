"""Where a network runs: each provider starts the node program its own way. This is their one list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quorumkit.providers.base import Command, Provider

if TYPE_CHECKING:
    from quorumkit.directory import NetworkDirectory
    from quorumkit.spec import NetworkSpec

__all__ = ["Command", "Provider", "provider_of"]


def provider_of(
    directory: NetworkDirectory, spec: NetworkSpec, *, binary: Path | None = None, tm_binary: Path | None = None
) -> Provider:
    """The provider that the spec names; `binary` is a client binary to use instead of the spec's, `tm_binary` a
    transaction manager."""
    exchanged = spec.identities == "exchanged"
    if spec.runtime == "kubernetes":
        from quorumkit.providers.kubernetes import KubernetesProvider

        return KubernetesProvider(directory, spec)
    if spec.runtime == "compose" and exchanged:
        from quorumkit.providers.compose_volumes import VolumeComposeProvider

        return VolumeComposeProvider(directory, spec, binary=binary)
    if spec.runtime == "compose":
        from quorumkit.providers.compose_mapped import MappedComposeProvider

        return MappedComposeProvider(directory, spec, binary=binary)
    if exchanged:
        from quorumkit.providers.local_each import ProgramEachProvider

        return ProgramEachProvider(directory, spec, binary=binary)
    from quorumkit.providers.local_one import OneProgramProvider

    return OneProgramProvider(directory, spec, binary=binary, tm_binary=tm_binary)
