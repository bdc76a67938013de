"""Mutual TLS between transaction managers, with an authority and certificates made for the test."""

from __future__ import annotations

import http.client
import shutil
import ssl

import pytest
from tm_processes import Manager, start_and_fail, until

from support.certificates import authority, certify

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with"),
]

TLS = {
    "tlsservercert": "tls.pem",
    "tlsserverkey": "tls.key",
    "tlsclientcert": "tls.pem",
    "tlsclientkey": "tls.key",
    "tlsca": "ca.pem",
}


class TlsManager(Manager):
    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"


@pytest.fixture
def secured(network):
    """Three managers whose certificates the network's authority signed, but for the third's."""
    ours, theirs = authority(network.root / "ours"), authority(network.root / "theirs")
    managers = [TlsManager(manager.directory, manager.port, manager.pair) for manager in network.make(3)]
    network.managers[:] = managers
    for manager, ca in zip(managers, (ours, ours, theirs), strict=True):
        certify(ca, manager.directory, "tls")
        shutil.copy(ours / "ca.pem", manager.directory / "ca.pem")
        network.configure(manager, managers, tls=TLS)
        manager.start()
    until(lambda: managers[0].knows(managers[1]), what="the managers to meet over TLS")
    return managers


def test_payloads_go_over_tls_and_only_to_whom_the_authority_knows(secured):
    one, two, other = secured
    assert two.reads(one.send(b"payload", two.key).json["key"]) == b"payload"
    refused = one.send(b"payload", other.key)
    assert refused.status == 503
    assert "certificate verify failed" in refused.text
    assert other.send(b"payload", one.key).status == 503


def test_a_client_without_a_certificate_is_not_served(secured):
    one, *_ = secured
    context = ssl.create_default_context(cafile=one.directory / "ca.pem")
    connection = http.client.HTTPSConnection("127.0.0.1", one.port, context=context, timeout=5)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        connection.request("GET", "/upcheck")
        connection.getresponse()
    context.load_cert_chain(one.directory / "tls.pem", one.directory / "tls.key")
    connection = http.client.HTTPSConnection("127.0.0.1", one.port, context=context, timeout=5)
    connection.request("GET", "/upcheck")
    assert connection.getresponse().status == 200


def test_a_certificate_without_its_key_is_told(secured):
    one, two, _ = secured
    one.stop()
    shutil.copy(two.directory / "tls.key", one.directory / "tls.key")
    code, said = start_and_fail(one)
    assert code == 2
    assert "tlsservercert" in said
