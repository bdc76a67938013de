"""Hosts and ports, URLs and enode URLs: written and read again, and nothing that only looks like one."""

from __future__ import annotations

import pytest

from quorumkit.addresses import Endpoint, Enode, HttpUrl
from quorumkit.plan import ports_in

KEY = "ab" * 64


@pytest.mark.parametrize("text", ["node1:30303", "10.0.0.1:1", "[::1]:65535", "a.b.svc:80"])
def test_a_host_and_port_is_read_and_written_alike(text: str) -> None:
    assert str(Endpoint.parse(text)) == text


def test_a_host_alone_has_the_default_port() -> None:
    assert Endpoint.parse("node1", default_port=7) == Endpoint("node1", 7)
    assert Endpoint.parse("[::1]", default_port=7) == Endpoint("::1", 7)
    assert Endpoint.parse("node1:8", default_port=7) == Endpoint("node1", 8)


@pytest.mark.parametrize(
    "text",
    ["", ":", "node1", "node1:", "node1:0", "node1:65536", "node1:x", "::1:80", "[::1]", "a:b:1", "a b:1", "[x]:1"],
)
def test_what_is_no_host_and_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    ("text", "place", "written"),
    [
        ("http://127.0.0.1:8545", Endpoint("127.0.0.1", 8545), "http://127.0.0.1:8545"),
        ("http://Node1", Endpoint("node1", 80), "http://node1:80"),
        ("https://node1/x?y=1", Endpoint("node1", 443), "https://node1:443/x?y=1"),
        ("http://[::1]:9/", Endpoint("::1", 9), "http://[::1]:9/"),
        ("http://me:secret@node1:9/", Endpoint("node1", 9), "http://me:secret@node1:9/"),
        ("http://@node1:9", Endpoint("node1", 9), "http://@node1:9"),
    ],
)
def test_a_url_is_read_and_written_with_its_port(text: str, place: Endpoint, written: str) -> None:
    url = HttpUrl.parse(text)
    assert (url.place, str(url)) == (place, written)
    assert HttpUrl.parse(str(url)) == url
    assert HttpUrl.parse(str(url.with_port(5))).place.port == 5


@pytest.mark.parametrize(
    "text", ["", "node1:80", "ftp://node1/", "http://", "http:///x", "http://a:b/", "http://a:99999/"]
)
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        HttpUrl.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        f"enode://{KEY}@127.0.0.1:30303?discport=0",
        f"enode://{KEY}@[fd00::1]:30303?discport=0&raftport=50400",
        f"enode://{KEY}@node1.svc:30303",
    ],
)
def test_an_enode_url_is_read_and_written_alike(text: str) -> None:
    enode = Enode.parse(text)
    assert str(enode) == text
    assert enode.key == Enode.key_in(text) == KEY
    assert str(enode.with_host("0.0.0.0")) == text.replace(str(enode.place), f"0.0.0.0:{enode.place.port}")


@pytest.mark.parametrize(
    "text",
    [
        "", KEY, f"enode://{KEY}", f"enode://{KEY}@", f"enode://{KEY}@node1", f"enode://{KEY}@node1:0", f"http://{KEY}@a:1",
        f"enode://{KEY[1:]}@node1:1", f"enode://{KEY.upper()}@node1:1", f"enode://{KEY}@a@b:1", f"enode://{KEY}@a:1 x",
        f"enode://{KEY}@a:1/x", f"enode://{KEY}@a:1?x\ny", f"enode://{KEY}@a:1#x",
    ],
)  # fmt: skip
def test_what_is_no_enode_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Enode.parse(text)


@pytest.mark.parametrize("text", [f"enode://{KEY}", f"enode://{KEY}@", f"enode://{KEY}@?:x", f"enode://{KEY}@node1:0"])
def test_the_key_is_found_whatever_the_client_says_of_the_place(text: str) -> None:
    assert Enode.key_in(text) == KEY


@pytest.mark.parametrize(
    ("query", "ports"),
    [
        ("discport=0&raftport=50400", {"raft": 50400}), ("discport=0", {}), ("", {}), ("raftport=x", {}),
        ("raftport=", {}), ("raftport=50400&other=1", {"raft": 50400}),
    ],
)  # fmt: skip
def test_an_enode_url_tells_named_ports(query: str, ports: dict[str, int]) -> None:
    assert ports_in(Enode(KEY, Endpoint("node1", 1), query)) == ports
