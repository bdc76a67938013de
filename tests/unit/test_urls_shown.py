"""No password or token of a URL is shown anywhere."""

from __future__ import annotations

import json

import pytest

from quorumkit.cli.main import run
from quorumkit.cli.output import ProgressLine, print_json, print_table, say
from quorumkit.errors import RpcError
from quorumkit.urls import hide_secrets, shown_urls

ENODE = "enode://" + "ab" * 64 + "@127.0.0.1:30303?discport=0"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@host:8545/", "http://user:***@host:8545/"),
        ("https://secret@host", "https://***@host"),
        ("https://:secret@host", "https://***@host"),
        ("http://user:se/cr@et:secret@host/x", "http://user:***@host/x"),
        ("ws://user:secret@[::1]:1", "ws://user:***@[::1]:1"),
        ("git+https://x:secret@host/a", "git+https://x:***@host/a"),
        ("http://host/?apikey=secret&a=1", "http://host/?apikey=***&a=1"),
        ("http://host/?a=1&access_token=secret#x", "http://host/?a=1&access_token=***#x"),
        (
            "cannot reach 'http://u:secret@h:1': http://u:secret@h:2",
            "cannot reach 'http://u:***@h:1': http://u:***@h:2",
        ),
        ("http://host:8545/a?b=c", "http://host:8545/a?b=c"),
        ("mail to me@host", "mail to me@host"),
        (ENODE, ENODE),
    ],
)
def test_secrets_in_urls_are_hidden(url: str, shown: str) -> None:
    assert hide_secrets(url) == shown


def test_urls_that_differ_in_secrets_alone_keep_different_names() -> None:
    urls = ["http://u:secret@h", "http://u:other@h", "http://h/v3/0123456789abcdef0123456789abcdef", "http://h/rpc"]
    assert list(shown_urls(urls).values()) == [
        "http://u:***@h",
        "http://u:***@h (2)",
        "http://h/v3/***",
        "http://h/rpc",
    ]


def test_errors_hide_them_whoever_shows_them() -> None:
    error = RpcError("http://u:secret@h: no answer", hint="try http://u:secret@h")
    assert "secret" not in f"{error} {error.message} {error.hint} {error!r}"


@pytest.mark.parametrize("json_option", [[], ["--json"]])
def test_verify_by_urls_shows_no_password(json_option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    url = "http://user:secret@127.0.0.1:1"
    assert run(["verify", "--rpc", url, "--timeout", "1", *json_option]) == 1
    shown = capsys.readouterr()
    assert "secret" not in shown.out + shown.err
    assert "http://user:***@127.0.0.1:1" in shown.out + shown.err
    assert run(["verify", "--rpc", url, "--rpc", url]) == 2
    assert run(["verify", "--rpc", url, "--health", "user:secret@host"]) == 2
    assert run(["verify", "--rpc", url, "--health", "http://u:secret@127.0.0.1:1", "--timeout", "1"]) == 1
    shown = capsys.readouterr()
    assert "secret@127" not in shown.out + shown.err


def test_what_commands_print_hides_them(capsys: pytest.CaptureFixture[str]) -> None:
    url = "http://u:secret@h:1"
    say(f"at {url}")
    print_json({"url": url, "@": [url]})
    print_table(["URL"], [[url]])
    ProgressLine()(f"asking {url}")
    shown = capsys.readouterr()
    assert "secret" not in shown.out + shown.err
    text = shown.out[shown.out.index("{") : shown.out.rindex("}") + 1]
    assert json.loads(text) == {"url": "http://u:***@h:1", "@": ["http://u:***@h:1"]}
