"""`quorumkit tm keygen` and what `tm run` says before it runs."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from quorumkit.cli.tm import tm
from quorumkit.errors import UsageError
from quorumkit.tm import __main__ as module
from quorumkit.tm.errors import TmConfigError
from quorumkit.tm.keys import load_key_pair


def invoke(*arguments: str):
    return CliRunner().invoke(tm, arguments, catch_exceptions=False, standalone_mode=False)


def test_keygen_prints_the_public_key_of_the_files(tmp_path):
    result = invoke("keygen", str(tmp_path / "new"))
    pair = load_key_pair(tmp_path / "new" / "tm.pub", tmp_path / "new" / "tm.key")
    assert result.stdout == pair.public_base64 + "\n"


def test_keygen_locks_with_a_password(tmp_path):
    (tmp_path / "password").write_text("correct horse\n")
    invoke("keygen", str(tmp_path), "--name", "two", "--password-file", str(tmp_path / "password"))
    assert load_key_pair(tmp_path / "two.pub", tmp_path / "two.key", b"correct horse")
    assert b"argon2sbox" in (tmp_path / "two.key").read_bytes()


def test_a_password_is_the_bytes_of_the_first_line(tmp_path):
    (tmp_path / "password").write_bytes("füß\x0c\n".encode("latin-1"))
    invoke("keygen", str(tmp_path), "--password-file", str(tmp_path / "password"))
    assert load_key_pair(tmp_path / "tm.pub", tmp_path / "tm.key", b"f\xfc\xdf\x0c")


def test_keygen_never_replaces_a_key(tmp_path):
    invoke("keygen", str(tmp_path))
    before = (tmp_path / "tm.key").read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        invoke("keygen", str(tmp_path))
    assert (tmp_path / "tm.key").read_bytes() == before


def test_keygen_refuses_an_empty_password(tmp_path):
    (tmp_path / "password").write_text("\n")
    with pytest.raises(UsageError, match="first line is empty"):
        invoke("keygen", str(tmp_path), "--password-file", str(tmp_path / "password"))
    assert not (tmp_path / "tm.key").exists()


def test_run_tells_a_wrong_configuration(tmp_path):
    (tmp_path / "tm.conf").write_text('url = "nowhere"')
    with pytest.raises(TmConfigError, match="url"):
        invoke("run", str(tmp_path / "tm.conf"))


def test_the_module_prints_error_and_hint_and_exits_with_its_code(tmp_path, capsys):
    (tmp_path / "tm.conf").write_text("prot = 1")
    assert module.main([str(tmp_path / "tm.conf")]) == 2
    assert (
        capsys.readouterr().err
        == f"Error: {tmp_path}/tm.conf: prot: there is no such field\nHint: did you mean port?\n"
    )
    assert module.main([]) == 2
