"""The spec's parts that only one of the places where nodes run asks for."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from quorumkit.spec.parts import IMAGE, Part

_MEMORY = re.compile(r"[1-9]\d*[kmg]")


def _memory(value: str) -> str:
    if not _MEMORY.fullmatch(value):
        raise ValueError(f"{value!r} is not an amount of memory (such as 512m or 2g)")
    return value


def _subnet(value: str) -> str:
    try:
        network = ipaddress.IPv4Network(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is not an IPv4 subnet, such as 172.28.0.0/24 ({error})") from None
    if not network.is_private or network.prefixlen > 29:
        raise ValueError(f"{value!r} must be a private subnet with room for a node (/29 or larger)")
    return value


class ComposeSpec(Part):
    """What only the `compose` runtime asks for. Limits are a container's."""

    subnet: Annotated[str, AfterValidator(_subnet)] | None = None
    """The containers' own network; none means a free one, chosen when the network is made."""
    image: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9._/:-]*[a-z0-9]$")
    """The node image; none means the one that `quorumkit image build` makes."""
    memory: Annotated[str, AfterValidator(_memory)] = "1g"
    """A container's memory limit, such as `512m` or `2g`."""
    pids: int = Field(default=512, ge=64)
    """How many processes and threads a container may have."""


class KubernetesSpec(Part):
    """What only the `kubernetes` runtime asks for."""

    context: str | None = Field(default=None, min_length=1)
    """The kubeconfig's context; none means its current one."""
    namespace: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """Made where it is missing; none means the context's own."""
    image: str | None = Field(default=None, pattern=IMAGE)
    """The node image, as the cluster pulls it; none means the name that `quorumkit image build` gives."""
    storage: str = Field(default="10Gi", pattern=r"^[1-9]\d*(\.\d+)?(Ki|Mi|Gi|Ti|k|M|G|T)$")
    """Size of each node's own volume."""
    storage_class: str | None = Field(default=None, min_length=1)
    """None means the cluster's default."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Further values of the chart, such as `resources`; they go before all others."""


FIRST_HOST = 10
"""The first node's place in the subnet, where there is room: .11 is node1's address, .12 node2's."""
