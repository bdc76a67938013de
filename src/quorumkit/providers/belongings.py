"""What a cluster has under a network's name, and whether it is the network's own: its release, its pods, its claims.

All of it bears the network's mark (mark.py) as a label. What is from before there were marks is the network's own if
the nodes on it are those that the network directory knows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from quorumkit.errors import RuntimeUnavailableError
from quorumkit.mark import KUBERNETES_LABEL, MARK_NAME
from quorumkit.providers.kubectl import Cluster, run
from quorumkit.spec import SPEC_NAME

_CHART = "quorumkit-"
_NAME_IT = f"give this network another name or another kubernetes.namespace in {SPEC_NAME}"


@dataclass(frozen=True)
class Belongings:
    """What there is of one name in one namespace. A mark is None where there is none."""

    name: str
    chart: str | None
    """Of the Helm release: its chart's name and version; None where there is no release."""
    runs: bool
    """Whether there is a StatefulSet."""
    mark: str | None
    """The StatefulSet's."""
    claims: Mapping[str, str | None]
    """The mark of each claim, by its name."""

    @property
    def unmarked_claims(self) -> list[str]:
        return sorted(claim for claim, mark in self.claims.items() if mark is None)

    def claims_of(self, mark: str | None) -> list[str]:
        """The claims that bear that mark."""
        return sorted(claim for claim, found in self.claims.items() if mark is not None and found == mark)


async def find_belongings(cluster: Cluster, name: str) -> Belongings:
    """Asks the cluster.

    Raises:
        RuntimeUnavailableError: it cannot be asked.
    """
    listed = json.loads(
        await run(cluster.helm("list", "--all", "--filter", f"^{name}$", "--output", "json")) or "[]"
    )  # fmt: skip
    found = await cluster.get("statefulset", name)
    # Not by the chart's name, which `nameOverride` changes.
    selector = f"--selector=app.kubernetes.io/instance={name},quorumkit.org/validators"
    claims = await cluster.get("persistentvolumeclaims", selector)
    return Belongings(
        name,
        chart=listed[0]["chart"] if listed else None,
        runs=found is not None,
        mark=_mark_of(found) if found else None,
        claims={claim["metadata"]["name"]: _mark_of(claim) for claim in (claims or {}).get("items", [])},
    )


def check_release(found: Belongings, mark: str | None) -> None:
    """Whether the release may be the network's own; with no mark on it, what its nodes tell decides.

    Raises:
        RuntimeUnavailableError: it is another one's.
    """
    if found.chart is not None and not found.chart.startswith(_CHART):
        raise RuntimeUnavailableError(
            f"another release is named {found.name}, of the chart {found.chart}", hint=_NAME_IT
        )
    if found.mark is not None and found.mark != mark:
        raise RuntimeUnavailableError(
            f"another network is named {found.name} here: its StatefulSet has the label "
            f"{KUBERNETES_LABEL}={found.mark}, and this network's is {mark}",
            hint=_NAME_IT,
        )


def check_claims(found: Belongings, mark: str | None, *, adopt: bool) -> None:
    """Before pods are made on them. `adopt` takes those without a mark, to be looked at once their nodes run.

    Raises:
        RuntimeUnavailableError: there are claims of another network.
    """
    foreign = sorted(claim for claim, other in found.claims.items() if other is not None and other != mark)
    if foreign:
        raise RuntimeUnavailableError(
            f"another network named {found.name} left {', '.join(foreign)}, with its keys and chain",
            hint=f"{_NAME_IT}; or, if {MARK_NAME} was lost, put {found.claims[foreign[0]]} back in it",
        )
    if found.unmarked_claims and not adopt:
        raise unmarked(found, mark)


def unmarked(found: Belongings, mark: str | None) -> RuntimeUnavailableError:
    """What is there has no mark, and is not known to be this network's."""
    if found.runs:
        what = f"a network named {found.name} is here already, and is"
        thing = f"statefulset {found.name}"
    else:
        many = len(found.unmarked_claims) > 1
        what = (
            f"{', '.join(found.unmarked_claims)} {'are' if many else 'is'} here already, and {'are' if many else 'is'}"
        )
        thing = f"pvc {' '.join(found.unmarked_claims)}"
    return RuntimeUnavailableError(
        f"{what} not known to be this network's",
        hint=f"if so: kubectl label {thing} {KUBERNETES_LABEL}={mark or 'ID'}; else {_NAME_IT}",
    )


async def mark_claims(cluster: Cluster, claims: list[str], mark: str) -> None:
    """Writes the network's mark on claims that are known to be its own."""
    if claims:
        await run(cluster.kubectl("label", "persistentvolumeclaims", *claims, f"{KUBERNETES_LABEL}={mark}"))


def _mark_of(thing: object) -> str | None:
    assert isinstance(thing, dict)
    label = thing["metadata"].get("labels", {}).get(KUBERNETES_LABEL)
    return None if label is None else str(label)
