"""What `doctor` finds of the container runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from quorumkit.cli.doctor import doctor
from quorumkit.engines import Binary
from quorumkit.engines.goquorum.acquire import GoQuorumAcquirer
from quorumkit.finding import Finding
from quorumkit.stages.doctor import examine


def found() -> dict[str, Finding]:
    return {finding.subject: finding for finding in examine()}


DOCKER = """case "$1 $2" in
"version --format") echo 27.1.0 ;;
"compose version") echo v2.29.1 ;;
"image inspect") {image} ;;
esac"""
MISSING = 'echo "Error: No such image: $3" >&2; exit 1'


def test_all_there(programs: Callable[[str, str], None]) -> None:
    answer = [{"Id": "sha256:1", "Size": 140_000_000, "Config": {"Labels": {}}}]
    programs("docker", DOCKER.format(image=f"echo '{json.dumps(answer)}'"))
    findings = found()
    assert findings["docker"].text == "engine 27.1.0 answers"
    assert findings["compose"].text == "2.29.1, as `docker compose`"
    assert "140 MB" in findings["node image"].text
    assert [findings[name].verdict for name in ("docker", "compose", "node image")] == ["ok"] * 3


def test_every_program_that_networks_run_is_told_of(programs: Callable[[str, str], None]) -> None:
    programs("go", "echo go1.24.1")
    findings = found()
    for program, kind in ("geth 1.13.15", "clique"), ("geth 1.17.10", "bft"), ("CometBFT 0.40.0", "bft"):
        assert findings[program].text == f"not built yet; for consensus kind {kind}"
    # It is new enough for the one, and not for the other.
    assert findings["go"].verdict == "note" and "no Go 1.25 or newer" in findings["go"].text


def test_an_image_that_is_not_built_yet(programs: Callable[[str, str], None]) -> None:
    programs("docker", DOCKER.format(image=MISSING))
    image = found()["node image"]
    assert image.verdict == "note" and "not built yet" in image.text
    assert "quorumkit image build" in str(image.advice)


def test_no_docker_is_a_note_for_there_are_processes(programs: Callable[[str, str], None]) -> None:
    findings = found()
    for name in ("docker", "compose"):
        assert findings[name].verdict == "note"
        assert "not on PATH" in findings[name].text and findings[name].advice
    assert "node image" not in findings


@pytest.mark.parametrize(
    ("said", "text", "advice"),
    [
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "does not run", "start it"),
        (
            "permission denied while trying to connect to the Docker daemon at unix:///x",
            "no permission",
            "group",
        ),
    ],
)
def test_a_daemon_that_does_not_answer(said: str, text: str, advice: str, programs: Callable[[str, str], None]) -> None:
    programs("docker", f'if [ "$1" = compose ]; then echo v2.29.1; else echo "{said}" >&2; exit 1; fi')
    findings = found()
    assert findings["docker"].verdict == "note"
    assert text in findings["docker"].text and advice in str(findings["docker"].advice)
    assert findings["compose"].verdict == "ok"


@pytest.mark.parametrize(("version", "verdict"), [("1.29.2", "ok"), ("1.28.0", "note"), ("v2.0.1", "ok")])
def test_the_version_of_the_standalone_compose(
    version: str, verdict: str, programs: Callable[[str, str], None]
) -> None:
    programs("docker", "exit 1")
    programs("docker-compose", f"echo {version}")
    compose = found()["compose"]
    assert compose.verdict == verdict
    assert compose.text.startswith(version.removeprefix("v")) and "`docker-compose`" in compose.text


def test_the_command_prints_it_for_people_and_machines(programs: Callable[[str, str], None]) -> None:
    programs("docker", DOCKER.format(image=MISSING))
    told = CliRunner().invoke(doctor, [])
    assert "node image" in told.output and "quorumkit image build" in told.output
    answer = json.loads(CliRunner().invoke(doctor, ["--json"]).output)
    assert {"docker", "compose", "node image"} <= {finding["subject"] for finding in answer["findings"]}


KUBECTL = 'echo \'{"clientVersion": {}, "serverVersion": {"gitVersion": "%s"}}\''


@pytest.mark.parametrize(("version", "verdict"), [("v1.34.4", "ok"), ("v1.28.0-eks-1", "ok"), ("v1.27.9", "note")])
def test_a_cluster(version: str, verdict: str, programs: Callable[[str, str], None]) -> None:
    programs("kubectl", KUBECTL % version)
    programs("helm", "echo v3.19.5")
    finding = found()["kubernetes"]
    assert finding.verdict == verdict
    assert finding.text.startswith(f"{version} answers, Helm v3.19.5")


def test_no_cluster_is_a_note(programs: Callable[[str, str], None]) -> None:
    assert "helm is not on PATH: no `kubernetes` runtime" in found()["kubernetes"].text
    programs("helm", "echo v3.19.5")
    assert "kubectl is not on PATH" in found()["kubernetes"].text
    refusal = "The connection to the server localhost:8080 was refused - did you specify the right host or port?"
    programs("kubectl", f'echo "{refusal}" >&2; exit 1')
    finding = found()["kubernetes"]
    assert finding.verdict == "note"
    assert "the cluster cannot be reached" in finding.text and "KUBECONFIG" in str(finding.advice)


def test_a_goquorum_binary_is_never_missing(
    programs: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only who wants such a network needs it."""
    monkeypatch.setenv("QUORUMKIT_CACHE", str(tmp_path / "cache"))
    without_docker = found()["goquorum"]
    programs("docker", DOCKER.format(image=MISSING))
    absent = found()["goquorum"]
    for finding in (without_docker, absent):
        assert finding.verdict == "note" and "quorumengineering/quorum:24.4.1 is not here" in finding.text
        assert "--engine-binary" in str(finding.advice) and "engine.image" in str(finding.advice)
    answer = [{"Id": "sha256:1", "Size": 140_000_000, "Config": {"Labels": {}}}]
    programs("docker", DOCKER.format(image=f"echo '{json.dumps(answer)}'"))
    present = found()["goquorum"]
    assert present.verdict == "note" and "would be taken out of quorumengineering/quorum:24.4.1" in present.text


def test_a_goquorum_binary_that_is_kept_is_told(
    programs: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GoQuorumAcquirer, "find", lambda self, version: Binary(Path("/geth"), version, "ab" * 32))
    kept = found()["goquorum"]
    assert kept.verdict == "ok" and "24.4.1 taken out of" in kept.text and "abababab" in kept.text
