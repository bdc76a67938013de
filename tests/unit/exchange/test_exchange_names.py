"""Names to ordinals and back, and to addresses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.addresses import Endpoint
from quorumkit.errors import UsageError
from quorumkit.exchange.names import Names, Resolver, listed, parse_endpoint, parse_peers


@given(st.integers(1, 1999), st.sampled_from([0, 1]), st.sampled_from(["", ".bank", ".bank.default.svc.cluster.local"]))
def test_a_prefix_names_every_ordinal(ordinal: int, first: int, suffix: str) -> None:
    names = Names(9546, prefix="mynet-quorumkit-", suffix=suffix, first=first)
    endpoint = names.endpoint(ordinal)
    assert endpoint == Endpoint(f"mynet-quorumkit-{ordinal - 1 + first}{suffix}", 9546)
    assert names.ordinal(endpoint.host) == ordinal
    assert names.ordinal(endpoint.host.partition(".")[0]) == ordinal, "a pod knows its bare host name only"


def test_pod_zero_is_ordinal_one() -> None:
    assert Names(9546, prefix="mynet-quorumkit-", first=0).ordinal("mynet-quorumkit-0") == 1


@pytest.mark.parametrize("name", ["mynet-0", "node", "nodeX", "node-1", "other1", "node0", ""])
def test_a_strange_name_is_no_ordinal(name: str) -> None:
    with pytest.raises(UsageError, match="not one node's name"):
        Names(9546, prefix="node", first=1).ordinal(name)


def test_a_list_names_the_ordinals_in_its_order() -> None:
    names = Names(9546, parse_peers("alpha, beta:7 [fd00::3]:8\n10.0.0.4", 9546))
    assert [str(names.endpoint(ordinal)) for ordinal in (1, 2, 3, 4)] == [
        "alpha:9546", "beta:7", "[fd00::3]:8", "10.0.0.4:9546",
    ]  # fmt: skip
    assert names.endpoint(5) is None
    assert names.ordinal("beta") == 2
    with pytest.raises(UsageError, match="names 4 nodes, and the network has 5"):
        names.check(5)


def test_loopback_places_are_told_apart_by_their_ports() -> None:
    names = Names(9546, parse_peers("127.0.0.1:1,127.0.0.1:2", 9546))
    assert names.ordinal("127.0.0.1:2") == 2
    with pytest.raises(UsageError):
        names.ordinal("127.0.0.1")
    with pytest.raises(UsageError, match="twice"):
        Names(9546, parse_peers("a,b,a", 9546)).check(2)


@pytest.mark.parametrize("text", ["host:0", "host:65536", "host:", ":1", "a b", "[::1", "::1:80", ""])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_endpoint(text)


def test_the_hosts_file_is_read_each_time(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    resolver = Resolver(hosts)
    assert asyncio.run(resolver.addresses("node2.invalid")) == []
    hosts.write_text("127.0.0.2  node2.invalid node2 # the second\n127.0.0.9 other\n")
    assert asyncio.run(resolver.addresses("node2.invalid")) == ["127.0.0.2"]
    hosts.write_text("127.0.0.22  node2.invalid\n")
    assert asyncio.run(resolver.addresses("node2.invalid")) == ["127.0.0.22"]
    assert asyncio.run(resolver.addresses("10.1.2.3")) == ["10.1.2.3"]


def test_many_names_are_told_in_short() -> None:
    assert listed([1, 3]) == "node1, node3"
    assert listed(range(1, 15)).endswith("node10 and 4 more")
