"""tm.conf: what is read from it, and that every mistake is told with the name of its field."""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Any

import pytest

from quorumkit.tm.config import parse_config, read_config
from quorumkit.tm.config_render import keep_fields, render_tm_conf
from quorumkit.tm.errors import TmConfigError, TmKeyError
from quorumkit.tm.keys import generate_key_pair, write_key_files
from quorumkit.tm.urls import normalise_url

SOURCE = Path("/net/node1/tm.conf")
KEY = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
OTHER_KEY = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="

MINIMAL = """
url = "http://127.0.0.1:9001/"
port = 9001
publickeys = ["tm.pub"]
privatekeys = ["tm.key"]
"""

SEED_OLD = """
url = "http://172.13.0.2:9000/"
port = 9000
socketPath = "/qdata/tm.ipc"
otherNodeUrls = ["http://172.13.0.2:9000/", "http://172.13.0.3:9000/", "http://172.13.0.4:9000/"]
publicKeyPath = "/qdata/keys/tm.pub"
privateKeyPath = "/qdata/keys/tm.key"
archivalPublicKeyPath = "/qdata/keys/tma.pub"
archivalPrivateKeyPath = "/qdata/keys/tma.key"
storagePath = "/qdata/constellation"
"""

SEED = """
url = "http://172.13.0.2:9000/"
port = 9000
workdir = "/qdata"
socket = "tm.ipc"
othernodes = ["http://172.13.0.3:9000", "http://172.13.0.3:9000/"]
publickeys = ["keys/tm.pub"]
privatekeys = ["keys/tm.key"]
storage = "dir:payloads"
verbosity = 3
"""


def parse(extra: str = "", base: str = MINIMAL):
    return parse_config(base + extra, SOURCE)


def test_defaults():
    config = parse()
    assert config.interface == "0.0.0.0"
    assert config.socket is None
    assert config.private_port is None
    assert config.other_nodes == ()
    assert config.other_keys == {}
    assert config.public_keys == (Path("/net/node1/tm.pub"),)
    assert config.database == Path("/net/node1/storage/payloads.sqlite")
    assert config.ip_whitelist == frozenset()
    assert config.tls is None
    assert config.verbosity == 1


def test_the_seeds_file():
    config = parse(base=SEED)
    assert config.socket == Path("/qdata/tm.ipc")
    assert config.private_keys == (Path("/qdata/keys/tm.key"),)
    assert config.other_nodes == ("http://172.13.0.3:9000/",)  # one, in two spellings
    assert config.database == Path("/qdata/payloads/payloads.sqlite")


def test_the_seeds_file_with_the_names_of_constellation_0_0_1():
    config = parse(base=SEED_OLD)
    assert config.socket == Path("/qdata/tm.ipc")
    assert config.other_nodes == ("http://172.13.0.3:9000/", "http://172.13.0.4:9000/")  # not itself
    assert config.public_keys == (Path("/qdata/keys/tm.pub"), Path("/qdata/keys/tma.pub"))
    assert config.private_keys == (Path("/qdata/keys/tm.key"), Path("/qdata/keys/tma.key"))
    assert config.always_send_to == (Path("/qdata/keys/tma.pub"),)
    assert config.database == Path("/qdata/constellation/payloads.sqlite")


def test_workdir_is_relative_to_the_file():
    assert parse('workdir = "data"\nsocket = "tm.ipc"').socket == Path("/net/node1/data/tm.ipc")


def test_other_keys_belong_to_other_nodes_in_order():
    others = f'othernodes = ["http://b:1/", "http://c:2/"]\notherkeys = ["{KEY}", "{OTHER_KEY}"]'
    assert list(parse(others).other_keys.values()) == ["http://b:1/", "http://c:2/"]


def test_a_node_with_two_keys_is_listed_twice():
    config = parse(f'othernodes = ["http://b:1/", "http://b:1"]\notherkeys = ["{KEY}", "{OTHER_KEY}"]')
    assert config.other_nodes == ("http://b:1/",)
    assert set(config.other_keys.values()) == {"http://b:1/"}
    assert len(config.other_keys) == 2


@pytest.mark.parametrize(
    ("extra", "field", "message"),
    [
        ('othernode = ["http://b:1/"]', "othernode", "no such field"),
        ("port = 9001", "not TOML", ""),
        ('verbosity = "2"', "verbosity", "must be a number"),
        ("verbosity = true", "verbosity", "must be a number"),
        ("verbosity = -1", "verbosity", "from 0"),
        ("socket = 7", "socket", "must be a string"),
        ('othernodes = "http://b:1/"', "othernodes", "must be a list of strings"),
        ("othernodes = [1]", "othernodes", "must be a list of strings"),
        ('othernodes = ["b:9000"]', "othernodes", "must start with http"),
        ('othernodes = ["ftp://b:1/"]', "othernodes", "must start with http"),
        ('othernodes = ["http://user@b:1/"]', "othernodes", "no more"),
        ('othernodes = ["http://b:1/path"]', "othernodes", "no more"),
        ('othernodes = ["http://b:99999/"]', "othernodes", "Port out of range"),
        (f'otherkeys = ["{KEY}"]', "otherkeys", "1 keys for 0 URLs"),
        ('othernodes = ["http://b:1/"]\notherkeys = ["xyz"]', "otherkeys", "not a TM public key"),
        (
            f'othernodes = ["http://b:1/", "http://c:1/"]\notherkeys = ["{KEY}", "{KEY}"]',
            "otherkeys",
            "stands for both",
        ),
        ("privateport = 0", "privateport", "from 1 to 65535"),
        ('storage = "bdb:old"', "storage", "SQLite only"),
        ('storage = "sqlite:"', "storage", "SQLite only"),
        ('storage = "memory"', "storage", "'memory' is not offered"),
        ('alwayssendto = [""]', "alwayssendto", "item 1 is empty"),
        ('classicresend = ["xyz"]', "classicresend", "not a TM public key"),
        ('ipwhitelist = ["10.0.0.300"]', "ipwhitelist", "10.0.0.300"),
        ('networkinterface = "eth0"', "networkinterface", "eth0"),
        ('tls = "maybe"', "tls", "strict or off"),
        ('tls = "strict"', "url", "must start with https"),
        (f'socket = "{"s" * 81}"', "socket", "the name of a unix socket may have 80"),
    ],
)
def test_every_mistake_names_its_field(extra, field, message):
    with pytest.raises(TmConfigError) as caught:
        parse(extra)
    assert str(caught.value).startswith(f"{SOURCE}: {field}")
    assert message in str(caught.value)


@pytest.mark.parametrize("field", ["url", "port", "publickeys", "privatekeys"])
def test_every_missing_field_is_named(field):
    without = "\n".join(line for line in MINIMAL.splitlines() if not line.startswith(field))
    with pytest.raises(TmConfigError, match=f"tm.conf: {field}: "):
        parse(base=without)


def test_a_likely_name_is_proposed():
    with pytest.raises(TmConfigError) as caught:
        parse('othernode = ["http://b:1/"]')
    assert caught.value.hint == "did you mean othernodes?"


def test_a_socket_may_lie_in_any_depth():
    path = "d" * 200 + "/" + "s" * 80
    assert str(parse(f'socket = "{path}"').socket).endswith(path)


def test_a_socket_path_is_measured_in_bytes():
    name = "ü" * 50  # 100 bytes and the directory
    with pytest.raises(TmConfigError, match="socket"):
        parse(f'socket = "{name}"')


TLS = """
url = "https://a:9001/"
port = 9001
publickeys = ["tm.pub"]
privatekeys = ["tm.key"]
othernodes = ["https://b:9001/"]
tlsservercert = "server.pem"
tlsserverkey = "server.key"
tlsclientcert = "client.pem"
tlsclientkey = "client.key"
tlsca = "ca.pem"
"""


@pytest.fixture
def tls_files(tmp_path):
    for name in ("server.pem", "server.key", "client.pem", "client.key", "ca.pem"):
        (tmp_path / name).touch()
    return tmp_path / "tm.conf"


def test_tls_is_strict_where_the_url_is_https(tls_files):
    config = parse_config(TLS, tls_files)
    assert config.tls is not None
    assert config.tls.ca == tls_files.parent / "ca.pem"
    assert parse_config(TLS + 'tls = "off"', tls_files).tls is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("https://b", "http://b"), "othernodes"),
        (('tlsclientkey = "client.key"', ""), "tlsclientkey"),
        (("server.pem", "gone.pem"), "tlsservercert"),
        (("ca.pem", "gone.pem"), "tlsca"),
        (("tlsca", 'tlsservertrust = "tofu"\ntlsca'), "tlsservertrust"),
        (("tlsca", 'tlsclienttrust = "ca-or-tofu"\ntlsca'), "tlsclienttrust"),
        (("tlsca", 'tlsserverchain = ["chain.pem"]\ntlsca'), "tlsserverchain"),
    ],
)
def test_every_mistake_about_tls_names_its_field(tls_files, change, field):
    with pytest.raises(TmConfigError, match=f"tm.conf: {field}: "):
        parse_config(TLS.replace(*change), tls_files)


def test_what_is_rendered_is_read_back():
    content = render_tm_conf(
        url="http://node1:9000/",
        port=9000,
        other_nodes=["http://node2:9000/", "http://node3:9000/"],
        other_keys=[KEY, OTHER_KEY],
        interface="127.0.0.1",
        ip_whitelist=["10.0.0.1", "::1"],
        always_send_to=["archive.pub"],
        passwords="passwords",
        private_port=9100,
        verbosity=2,
    )
    config = parse_config(content.decode(), SOURCE)
    assert config.url == "http://node1:9000/"
    assert config.socket == Path("/net/node1/tm.ipc")
    assert config.private_port == 9100
    assert config.other_nodes == ("http://node2:9000/", "http://node3:9000/")
    assert list(config.other_keys.values()) == list(config.other_nodes)
    assert config.database == Path("/net/node1/payloads.sqlite")
    assert config.ip_whitelist == {ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("::1")}
    assert config.always_send_to == (Path("/net/node1/archive.pub"),)
    assert config.passwords == Path("/net/node1/passwords")
    assert config.interface == "127.0.0.1"
    assert config.verbosity == 2


def test_rendering_is_deterministic_and_says_no_more_than_asked():
    arguments: dict[str, Any] = {"url": "http://node1:9000/", "port": 9000, "other_nodes": ["http://node2:9000/"]}
    content = render_tm_conf(**arguments)
    assert content == render_tm_conf(**arguments)
    assert set(tomllib.loads(content.decode())) == {
        *("url", "port", "socket", "othernodes", "publickeys", "privatekeys", "storage", "tls", "verbosity")
    }


def test_rendering_tls(tls_files):
    names = {
        "tlsservercert": "server.pem",
        "tlsserverkey": "server.key",
        "tlsclientcert": "client.pem",
        "tlsclientkey": "client.key",
        "tlsca": "ca.pem",
    }
    content = render_tm_conf(url="https://node1:9000/", port=9000, tls=names)
    assert parse_config(content.decode(), tls_files).tls is not None


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("http://Host", "http://host:80/"),
        ("https://host/", "https://host:443/"),
        ("http://[::1]:9000", "http://[::1]:9000/"),
        ("http://10.0.0.1:9000/", "http://10.0.0.1:9000/"),
    ],
)
def test_urls_have_one_form(text, normal):
    assert normalise_url(text) == normal
    assert normalise_url(normal) == normal


@pytest.mark.parametrize("text", ["", "http://", "http:///x", "host:9000", "http://h:x/", "http://h/?q", "http://h/#f"])
def test_what_is_no_url_is_refused(text):
    with pytest.raises(ValueError):
        normalise_url(text)


def test_keys_load_with_their_passwords(tmp_path):
    first, second = generate_key_pair(), generate_key_pair()
    write_key_files(first, tmp_path, name="one")
    write_key_files(second, tmp_path, name="two", password=b"correct horse")
    (tmp_path / "passwords").write_text("\ncorrect horse\n")
    content = render_tm_conf(
        url="http://a:1/",
        port=1,
        public_keys=["one.pub", "two.pub"],
        private_keys=["one.key", "two.key"],
        passwords="passwords",
        always_send_to=["two.pub"],
    )
    (tmp_path / "tm.conf").write_bytes(content)
    config = read_config(tmp_path / "tm.conf")
    assert config.load_keys() == [first, second]
    assert config.load_always_send_to() == (second.public,)

    (tmp_path / "passwords").write_text("correct horse\n")
    with pytest.raises(TmConfigError, match=r"passwords: .* has 1 lines for 2 private keys"):
        config.load_keys()
    (tmp_path / "passwords").write_text("\nwrong horse\n")
    with pytest.raises(TmKeyError, match=r"two\.key: .* does not open"):
        config.load_keys()
    (tmp_path / "passwords").unlink()
    with pytest.raises(TmConfigError, match=r"passwords: .* cannot be read"):
        config.load_keys()


@pytest.mark.parametrize("field", ["publickeys", "privatekeys"])
def test_no_key_file_is_an_empty_name(field):
    with pytest.raises(TmConfigError, match=f"tm.conf: {field}: item 2 is empty"):
        parse(base=MINIMAL.replace(f'{field} = ["tm', f'{field} = ["x", "", "tm'))


def test_a_directory_named_memory_can_be_meant():
    assert parse('storage = "dir:memory"').database == Path("/net/node1/memory/payloads.sqlite")
    old = SEED_OLD.replace("/qdata/constellation", "memory")
    assert parse(base=old).database == Path("/net/node1/memory/payloads.sqlite")


def test_a_field_under_both_its_names_is_refused():
    with pytest.raises(TmConfigError, match=r"tm.conf: socketPath: stands there as socket too"):
        parse('socket = "tm.ipc"', base=SEED_OLD)


@pytest.mark.parametrize(
    "password", ["füß".encode("latin-1"), "füß".encode(), "a\u2028b".encode(), b"a\x0cb", b"a\x1cb\x85c", b" blank "]
)
def test_passwords_are_the_bytes_of_their_lines(tmp_path, password):
    write_key_files(generate_key_pair(), tmp_path, name="one")
    write_key_files(generate_key_pair(), tmp_path, name="two", password=password)
    conf = 'url = "http://a:1/"\nport = 1\npublickeys = ["one.pub", "two.pub"]\nprivatekeys = ["one.key", "two.key"]\n'
    (tmp_path / "tm.conf").write_text(conf + 'passwords = "passwords"\n')
    for line_end in (b"\n", b"\r\n", b""):
        (tmp_path / "passwords").write_bytes(b"\n" + password + line_end)
        assert len(read_config(tmp_path / "tm.conf").load_keys()) == 2


def test_a_password_in_another_encoding_is_told(tmp_path):
    write_key_files(generate_key_pair(), tmp_path, password="füß".encode())
    (tmp_path / "tm.conf").write_text(MINIMAL + 'passwords = "passwords"\n')
    (tmp_path / "passwords").write_bytes("füß".encode("latin-1"))
    with pytest.raises(TmKeyError, match=r"publickeys, privatekeys: .*tm\.key: .* does not open") as caught:
        read_config(tmp_path / "tm.conf").load_keys()
    assert "no UTF-8" in (caught.value.hint or "")


def test_a_file_in_another_encoding_is_told_with_its_line(tmp_path):
    (tmp_path / "tm.conf").write_bytes(MINIMAL.encode() + 'socket = "tü.ipc"'.encode("latin-1"))
    with pytest.raises(TmConfigError, match=r"tm\.conf: line 6 is not UTF-8"):
        read_config(tmp_path / "tm.conf")


def test_the_field_of_a_file_that_is_no_key_is_named(tmp_path):
    write_key_files(generate_key_pair(), tmp_path)
    (tmp_path / "tm.conf").write_text(MINIMAL + 'alwayssendto = ["gone.pub"]\n')
    with pytest.raises(TmKeyError, match=r"tm\.conf: alwayssendto: .*gone\.pub: cannot be read"):
        read_config(tmp_path / "tm.conf").load_always_send_to()


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(TmConfigError, match="cannot be read"):
        read_config(tmp_path / "tm.conf")


def rendered(**fields) -> bytes:
    usual: dict[str, Any] = {"url": "http://node1:9000/", "port": 9000, "other_nodes": ["http://node2:9000/"]}
    return render_tm_conf(**usual | {"other_keys": [KEY]} | fields)


def test_what_an_operator_added_is_kept_and_what_the_network_says_is_not():
    added = 'privateport = 9100\nclassicresend = ["' + KEY + '"]\nipwhitelist = ["10.0.0.1"]\nworkdir = "/elsewhere"\n'
    present = (added + rendered().decode().replace("verbosity = 1", "verbosity = 3")).encode()
    moved = rendered(other_nodes=["http://node3:9000/"], other_keys=[OTHER_KEY])
    kept = keep_fields(present, moved, source=SOURCE)
    assert tomllib.loads(kept.decode()) == tomllib.loads(moved.decode()) | {
        "privateport": 9100,
        "classicresend": [KEY],
        "ipwhitelist": ["10.0.0.1"],
        "verbosity": 3,
    }
    assert keep_fields(kept, moved, source=SOURCE) == kept
    parse_config(kept.decode(), SOURCE)


def test_the_last_other_node_goes():
    assert keep_fields(rendered(), alone := rendered(other_nodes=[], other_keys=[]), source=SOURCE) == alone


def test_a_file_that_cannot_be_read_is_not_replaced_silently():
    with pytest.raises(TmConfigError, match=r"tm\.conf: not TOML") as caught:
        keep_fields(b"privateport = ", rendered(), source=SOURCE)
    assert "remove it" in (caught.value.hint or "")


def test_an_empty_file_is_written_again():
    assert keep_fields(b"", rendered(), source=SOURCE) == rendered()
