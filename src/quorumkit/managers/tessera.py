"""Tessera, the transaction manager that was made for GoQuorum. Its last release is 24.4.2; it gets no fixes.

Fields and behaviour as in its sources (com.quorum.tessera.config, 24.4) and its documentation's sample configuration.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.errors import EngineError, NodeError, UsageError
from quorumkit.files import to_json
from quorumkit.managers.base import TM_SOCKET, manager_process, tm_url

if TYPE_CHECKING:
    from quorumkit.plan import Network, Node
    from quorumkit.process_spec import ProcessSpec
    from quorumkit.spec import TransactionManagerSpec

_IMAGE = "quorumengineering/tessera"
_INSIDE = "/tessera/bin/tessera"
"""Where its program is in that image."""
_LONGEST_SOCKET = 107
"""Bytes of a unix socket's path (unix(7), sun_path)."""
_UNUSABLE = re.compile(r"""[\s"#$%<>?\[\\\]^`{|}]""")
"""What Tessera cannot have in the path of its working directory: it makes a URI of it, unescaped, for its socket
(com.quorum.tessera.nio.unix.UnixSocketFileSystemProvider)."""

_JVM = "-Xms64m -Xmx256m -XX:+UseSerialGC"
"""One manager of a small network; left to itself, a JVM takes a quarter of the machine. JAVA_OPTS takes its place."""

_LOGGING = "tm/logback.xml"
_LOGBACK = b"""\
<configuration>
  <!-- At the level INFO it tells of every request in four lines. -->
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level %logger{20}: %replace(%msg){'[\\r\\n]', ' '}%n</pattern></encoder>
  </appender>
  <logger name="com.quorum.tessera.server" level="INFO"/>
  <logger name="com.quorum.tessera.server.jaxrs" level="WARN"/>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""

_DATABASE = ";".join(
    (
        "jdbc:h2:./tm/payloads",
        "MODE=Oracle",
        "TRACE_LEVEL_FILE=0",
        "TRACE_LEVEL_SYSTEM_OUT=0",
        # H2 would write what is committed half a second later: too late for what was acknowledged to the others.
        "WRITE_DELAY=0",
    )
)

_HEALTH = f"printf 'GET /upcheck HTTP/1.0\\r\\n\\r\\n' | nc -U {TM_SOCKET} | grep -q 'up!'"
"""On the socket, for the port answers peers alone."""


class Tessera:
    """See `Manager`. It takes keys from its peers, by asking each listed one at its own URL, and has them prove that
    the keys are theirs (`enableRemoteKeyValidation`)."""

    kind = "tessera"
    config = "tm/tessera.json"
    ready_within = 120.0

    def find(self, *, override: Path | None) -> Path | None:
        if override is None:
            found = shutil.which("tessera")
            if found is None:
                raise EngineError(
                    "Tessera is not here: no `tessera` on PATH",
                    hint="unpack its distribution (it needs Java 17) and name its bin/tessera with --tm-binary, or "
                    "transaction_manager.binary in the spec",
                )
            override = Path(found)
        if not override.is_file():
            raise EngineError(
                f"{override}: there is no such file", hint="name bin/tessera of a distribution, or a .jar"
            )
        if override.suffix != ".jar" and not os.access(override, os.X_OK):
            raise EngineError(f"{override}: not executable", hint=f"chmod +x {override}")
        if shutil.which(_java()) is None:
            raise EngineError(f"Tessera needs Java, and there is no {_java()}", hint="install a Java 17 runtime")
        return override.absolute()

    def check_place(self, directory: Path) -> None:
        socket = directory.resolve() / TM_SOCKET
        length = len(os.fsencode(socket))
        if length > _LONGEST_SOCKET:
            raise NodeError(
                f"{socket}: {length} bytes, and the path of Tessera's unix socket may have {_LONGEST_SOCKET}",
                hint="make the network in a directory with a shorter path",
            )
        if unusable := _UNUSABLE.search(str(socket)):
            raise NodeError(
                f"{socket}: Tessera cannot run in a directory with {unusable[0]!r} in its path",
                hint="make the network in another directory",
            )

    def files(self, network: Network, node: Node) -> dict[str, bytes]:
        """Its peers are the network's other managers and it speaks to no others: without discovery it takes no keys
        from a stranger, and with the white list, which is of addresses, no payloads either."""
        own, bind = node.endpoints.tm, node.endpoints.tm_bind
        if own is None or bind is None:
            raise ValueError(f"{node.name} has a transaction manager and no endpoint for it")
        peers = [other.endpoints.tm for other in network.members if other is not node]
        config = {
            "useWhiteList": True,
            "disablePeerDiscovery": True,
            "jdbc": {"username": "sa", "password": "", "url": _DATABASE, "autoCreateTables": True},
            "serverConfigs": [
                {"app": "Q2T", "serverAddress": f"unix:{TM_SOCKET}", "communicationType": "REST"},
                {
                    "app": "P2P",
                    "serverAddress": tm_url(own).rstrip("/"),
                    "bindingAddress": tm_url(bind).rstrip("/"),
                    "sslConfig": {"tls": "OFF"},
                    "communicationType": "REST",
                },
            ],
            "peer": [{"url": tm_url(peer)} for peer in peers if peer],
            "keys": {"keyData": [{"privateKeyPath": "tm/tm.key", "publicKeyPath": "tm/tm.pub"}]},
            "alwaysSendTo": [],
            "features": {"enableRemoteKeyValidation": True},
        }
        return {self.config: to_json(config), _LOGGING: _LOGBACK}

    def keep(self, present: bytes, rendered: bytes, *, source: Path) -> bytes:
        """Kept are fields that are not rendered, of `features` too, further servers (third parties', the admin's), and
        who gets every payload."""
        try:
            before = json.loads(present)
            if not isinstance(before, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise UsageError(
                f"{source}: not JSON: {error}",
                hint="mend it, or remove it: it is written again, without what was added",
            ) from error
        document = json.loads(rendered)
        merged = before | document
        merged["alwaysSendTo"] = before.get("alwaysSendTo", [])
        if isinstance(before.get("features"), dict):
            merged["features"] = before["features"] | document["features"]
        servers = before.get("serverConfigs")
        ours = [server["app"] for server in document["serverConfigs"]]
        merged["serverConfigs"] = document["serverConfigs"] + [
            server
            for server in (servers if isinstance(servers, list) else [])
            if isinstance(server, dict) and server.get("app") not in ours
        ]
        return rendered if merged == document else to_json({name: merged[name] for name in (*document, *merged)})

    def process(self, program: Path | None, *, apart: bool = False) -> ProcessSpec:
        """The start script takes the JVM's options from JAVA_OPTS, a jar has nobody who does."""
        options = _java_options(os.environ.get("JAVA_OPTS"))
        run = [str(program)]
        if program is not None and program.suffix == ".jar":
            run = [_java(), *shlex.split(options), "-jar", str(program)]
        return manager_process(
            [*run, "-configfile", self.config],
            environment={"JAVA_OPTS": options},
            ready_within=self.ready_within,
            apart=apart,
        )

    def image(self, spec: TransactionManagerSpec) -> str | None:
        return spec.image or f"{_IMAGE}:{spec.version}"

    def container(self) -> dict[str, Any]:
        """As its official image is made (docker/tessera.Dockerfile: Ubuntu with Java 17 and nc)."""
        return {
            # A socket that a killed one left would keep it from listening.
            "entrypoint": [
                "/bin/sh",
                "-c",
                f"rm -f {TM_SOCKET} && exec {_INSIDE} -configfile {self.config}",
            ],
            "environment": {"JAVA_OPTS": _java_options(None)},
            # It unpacks its native library for unix sockets there, and loads it.
            "tmpfs": ["/tmp:exec"],  # noqa: S108
            "healthcheck": {
                "test": ["CMD-SHELL", _HEALTH],
                "interval": "10s",
                "timeout": "5s",
                "retries": 3,
                "start_period": "120s",
            },
        }


def _java() -> str:
    """The Java that Tessera's start script would take: JAVA_HOME's, else PATH's."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else "java"


def _java_options(asked: str | None) -> str:
    return f"{asked or _JVM} -Dlogback.configurationFile={_LOGGING}"
