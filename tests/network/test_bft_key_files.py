"""The keys that are made for CometBFT, as it reads them itself."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from quorumkit.engines import Binary
from quorumkit.engines.bft.keys import KEYS, node_id
from quorumkit.identity import generate_secrets, write_secrets

pytestmark = pytest.mark.network


def test_cometbft_takes_them_for_its_own(bft: Binary, tmp_path: Path) -> None:
    program = str(bft.beside["cometbft"].path)
    secrets = generate_secrets(further=KEYS)
    write_secrets(tmp_path, secrets)
    home = tmp_path / "cometbft"
    before = {path: path.read_bytes() for path in home.rglob("*.json")}

    def ask(command: str) -> str:
        words = [program, command, "--home", str(home)]
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout.strip()

    keys = secrets.identity.further_keys
    assert ask("show-node-id") == node_id(keys["bft"])
    assert base64.b64decode(json.loads(ask("show-validator"))["value"]).hex() == keys["validator"]
    assert len(before) == 3
    assert {path: path.read_bytes() for path in before} == before
