"""The spec as text, and what is wrong with one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quorumkit.errors import NewerFormatError, SpecError
from quorumkit.notation import load_yaml
from quorumkit.spec.network import SPEC_FORMAT, NetworkSpec
from quorumkit.spec.parts import ConsensusSpec, EngineSpec

SPEC_NAME = "quorumkit.yaml"
SCHEMA_NAME = "quorumkit.schema.json"
"""Its JSON Schema; `make docs` writes it."""


def parse_spec(value: Any, *, source: str = SPEC_NAME) -> NetworkSpec:
    """The spec in a plain mapping.

    Raises:
        NewerFormatError: its `format` is one this version does not know.
        SpecError: one field or more is wrong; the message names each by its path.
    """
    if not isinstance(value, dict):
        raise SpecError(f"{source}: a mapping of fields was expected, such as `name: mynet`")
    written = value.get("format", SPEC_FORMAT)
    if isinstance(written, int) and not isinstance(written, bool) and written > SPEC_FORMAT:
        raise NewerFormatError(
            f"{source}: format {written} was written by a newer Quorumkit (this one knows format {SPEC_FORMAT})",
            hint="install the newer version: pip install --upgrade quorumkit",
        )
    if written != SPEC_FORMAT:
        raise SpecError(f"{source}: format: {written!r} is not a known format ({SPEC_FORMAT})")
    try:
        return NetworkSpec.model_validate(value)
    except ValidationError as error:
        raise SpecError(_explain(error, source)) from None


def _explain(error: ValidationError, source: str) -> str:
    lines = []
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"] if part != "[key]")
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown field"
            known = _known_fields(problem["loc"][:-1])
            if known:
                message += f" (known here: {', '.join(known)})"
        elif problem["type"] != "missing" and path:
            message += f", not {problem['input']!r}" if problem["type"] != "value_error" else ""
        lines.append(f"{path}: {message}" if path else message)
    return f"{source}: " + "; ".join(lines)


def _known_fields(location: tuple[int | str, ...]) -> list[str]:
    model: Any = NetworkSpec
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return list(getattr(model, "model_fields", {}))


def read_spec(path: Path) -> NetworkSpec:
    """The spec in a YAML file (YAML 1.2, no repeated keys)."""
    from ruamel.yaml.error import YAMLError

    try:
        value = load_yaml(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise SpecError(f"{path}:{where} not valid YAML: {problem}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    return parse_spec(value, source=str(path))


def spec_to_yaml(spec: NetworkSpec) -> bytes:
    """The spec as a person would keep it.

    What decides the chain (sizes, consensus, client version) is written out even where it equals a default, so that
    a later version with other defaults still renders the same network; the rest only where it differs.
    """
    from ruamel.yaml import YAML

    values: dict[str, Any] = {
        "format": spec.format,
        "name": spec.name,
        "runtime": spec.runtime,
        "chain_id": spec.chain_id,
        "nodes": spec.nodes.model_dump(),
        "consensus": spec.consensus.model_dump(exclude=_not_of(spec.consensus)),
        "engine": spec.engine.model_dump(mode="json", exclude_none=True, exclude=_empty(spec.engine)),
        "genesis": spec.genesis.model_dump(exclude_defaults=False),
    }
    if spec.transaction_manager is not None:
        manager = spec.transaction_manager
        said = {"kind"} if manager.kind == "builtin" else None
        values["transaction_manager"] = manager.model_dump(include=said, exclude_none=True)
    values |= {
        field: value
        for field, value in spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True).items()
        if field not in values
    }
    if spec.recipe.gas_is_always_free and not spec.genesis.free_gas:
        del values["genesis"]["free_gas"]
    for field in ("alloc", "base_fee", "gas_price", "fork_times"):
        if not values["genesis"][field]:
            del values["genesis"][field]
    yaml = YAML()
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    # A path beside the spec, not a URL: it is the schema of the version that wrote it, and is there without a network.
    text.write(f"# yaml-language-server: $schema=.state/{SCHEMA_NAME}\n")
    text.write("# A Quorumkit network. Every field: docs/reference/spec.md\n")
    yaml.dump(values, text)
    return text.getvalue().encode()


def _empty(engine: EngineSpec) -> set[str]:
    return set() if engine.client_arguments else {"client_arguments"}


def _not_of(consensus: ConsensusSpec) -> set[str]:
    """The fields that mean nothing with that kind, where nobody set them."""
    defaults = ConsensusSpec()
    fields = set(ConsensusSpec.model_fields) - set(consensus.own_fields)
    return {field for field in fields if getattr(consensus, field) == getattr(defaults, field)}
