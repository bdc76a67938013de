"""Making a network's directory, and starting nothing: `quorumkit init`."""

from __future__ import annotations

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import UsageError
from quorumkit.plan import Network
from quorumkit.progress import Progress
from quorumkit.providers import Runtime
from quorumkit.spec import NetworkSpec
from quorumkit.stages.form import prepare_files
from quorumkit.stages.generate import generate


def make_network(
    directory: NetworkDirectory, spec: NetworkSpec, provider: Runtime, progress: Progress
) -> Network | None:
    """Writes what is missing in the network's directory; the network, or None where its nodes will make their own keys
    when they start.

    Raises:
        UsageError: the nodes make all that there is, so there is nothing to be made before they run.
        QuorumkitError: see `generate`.
    """
    if prepare_files(provider):
        return None
    if spec.identities == "exchanged":
        raise UsageError(
            "with exchanged identities there is nothing to make beforehand: each node makes its own",
            hint=f"quorumkit up {'--exchange' if spec.runtime == 'process' else f'--runtime {spec.runtime}'} "
            f"{directory.path}",
        )
    network = generate(directory, spec, provider.addresses, progress)
    provider.render(network)
    return network
