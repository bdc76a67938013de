"""Our transaction manager and a real Tessera in one network. Needs a Tessera in QUORUMKIT_TESSERA: bin/tessera of its
distribution, or a .jar."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from tm_processes import Manager, Network, until

from quorumkit.addresses import Endpoint
from quorumkit.identity import PublicIdentity
from quorumkit.managers import manager_of
from quorumkit.plan import NodeEndpoints, plan
from quorumkit.spec import parse_spec

TESSERA = os.environ.get("QUORUMKIT_TESSERA")
pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(TESSERA is None, reason="QUORUMKIT_TESSERA names no Tessera"),
]
PATIENCE = 60.0


class TesseraManager(Manager):
    """Has what it needs in tm/, below its own directory, as beside a client."""

    @property
    def socket(self) -> Path:
        return self.directory / "tm/tm.ipc"

    def start(self, *arguments: str, wait: bool = True) -> None:
        tessera = manager_of("tessera")
        spec = tessera.process(tessera.find(override=Path(str(TESSERA))))
        with (self.directory / "tm.log").open("ab") as log:
            self.process = subprocess.Popen(
                spec.argv, cwd=self.directory, stdout=log, stderr=log, env=os.environ | dict(spec.environment),
            )  # fmt: skip
        until(self.is_up, what="Tessera to answer", seconds=PATIENCE)

    def reads(self, key: str) -> bytes | None:
        # Its older versions know no plus in a path.
        answer = self.call("GET", f"/transaction/{quote(key, safe='')}")
        return base64.b64decode(answer.json["payload"]) if answer.status == 200 else None


@pytest.fixture
def ours_and_tessera(network: Network) -> Iterator[tuple[Manager, TesseraManager]]:
    ours, other = network.make(2)
    tessera = TesseraManager(other.directory, other.port, other.pair)
    network.managers = [ours, tessera]
    (tessera.directory / "tm").mkdir()
    for name in ("tm.key", "tm.pub"):
        (tessera.directory / name).rename(tessera.directory / "tm" / name)
    for path, content in _files(ours, tessera).items():
        (tessera.directory / path).write_bytes(content)
    tessera.start()
    ours.start()
    yield ours, tessera


def _files(ours: Manager, tessera: Manager) -> dict[str, bytes]:
    """Tessera's files as beside a client, but for the validation of keys, which ours does not answer."""
    spec = parse_spec(
        {
            "name": "bank",
            "nodes": {"validators": 2},
            "engine": {"kind": "goquorum"},
            "transaction_manager": {"kind": "tessera"},
        }
    )
    endpoints = [
        NodeEndpoints(
            p2p=Endpoint("127.0.0.1", 1), p2p_bind=Endpoint("127.0.0.1", 1), rpc_bind=Endpoint("127.0.0.1", 1),
            rpc_url="", tm=Endpoint("127.0.0.1", one.port), tm_bind=Endpoint("127.0.0.1", one.port),
        )
        for one in (ours, tessera)
    ]  # fmt: skip
    identities = [PublicIdentity(f"{n:0128x}", f"0x{n:040x}", one.key) for n, one in enumerate((ours, tessera), 1)]
    network = plan(spec, identities, endpoints)
    files = manager_of("tessera").files(network, network.node(2))
    config = json.loads(files["tm/tessera.json"])
    config["features"]["enableRemoteKeyValidation"] = False
    return files | {"tm/tessera.json": json.dumps(config).encode()}


def sent_by(tessera: TesseraManager, payload: bytes, to: Manager) -> str:
    """The payload's hash, once Tessera knows the party: it asks its peers every 5 s."""
    keys: list[str] = []

    def send() -> bool:
        answer = tessera.send(payload, to.key)
        if answer.status in (200, 201):
            keys.append(answer.json["key"])
        return bool(keys)

    until(send, what="Tessera to know its peer", seconds=PATIENCE)
    return keys[0]


def test_payloads_go_both_ways(ours_and_tessera: tuple[Manager, TesseraManager]) -> None:
    ours, tessera = ours_and_tessera
    assert tessera.reads(ours.send(b"from ours", tessera.key).json["key"]) == b"from ours"
    assert ours.reads(sent_by(tessera, b"from Tessera", ours)) == b"from Tessera"


def test_ours_gets_back_from_tessera_what_that_had_sent(ours_and_tessera: tuple[Manager, TesseraManager]) -> None:
    ours, tessera = ours_and_tessera
    sent = sent_by(tessera, b"from Tessera", ours)
    ours.kill()
    for path in ours.directory.glob("payloads.sqlite*"):
        path.unlink()
    ours.start()
    until(lambda: ours.reads(sent) == b"from Tessera", what="the payload to come back", seconds=PATIENCE)
