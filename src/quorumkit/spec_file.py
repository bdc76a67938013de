"""`quorumkit.yaml` in a network directory, and beside it the schema that its first line names."""

from __future__ import annotations

from pathlib import Path

from quorumkit.directory import NetworkDirectory
from quorumkit.files import PARTIAL, write_atomic, write_if_changed
from quorumkit.spec import SCHEMA_NAME, NetworkSpec, spec_to_yaml

_SCHEMA = Path(__file__).parent / SCHEMA_NAME


def ensure_spec(directory: NetworkDirectory, spec: NetworkSpec) -> None:
    """Writes the spec where there is none, and this version's schema of it, for editors. To be called under the
    directory's lock."""
    for leftover in directory.state.glob(f".{SCHEMA_NAME}.*{PARTIAL}"):  # only these: what runs writes there too
        leftover.unlink(missing_ok=True)
    write_if_changed(directory.state / SCHEMA_NAME, _SCHEMA.read_bytes())
    if not directory.exists():
        write_atomic(directory.spec, spec_to_yaml(spec))
