"""The JSON Schema of `quorumkit.yaml` (draft 7, which editors know), made from the spec's own models.

It accepts whatever the spec accepts, so that no editor marks as wrong what is right, and refuses all that one field by
itself, or the engine's kind with another field, makes wrong. What takes arithmetic (blocks of ports, room in a subnet)
the spec alone checks.
"""

from __future__ import annotations

import inspect
import itertools
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from field_comments import comments_of
from quorumkit.engines import consensus_kinds, kinds
from quorumkit.errors import SpecError
from quorumkit.notation import WEI_PER
from quorumkit.spec import SPEC_FORMAT, NetworkSpec, parse_spec

_Schema = dict[str, Any]

_UNITS = "|".join("".join(f"[{letter}{letter.upper()}]" for letter in unit) for unit in WEI_PER)
_NUMBER = r"0x[0-9a-fA-F]+|[0-9]+(\.[0-9]+)?[eE]\+?[0-9]{1,3}"
_AMOUNT = rf"{_NUMBER}|[1-9][0-9]*(_[0-9]+)*|0|[0-9][0-9_.]*\s*({_UNITS})"
_DEFINITIONS: dict[str, _Schema] = {
    "number": {
        "description": "A whole number, as YAML takes it for text.",
        "type": "string",
        "pattern": rf"^\s*({_NUMBER})\s*$",
    },
    "amount": {
        "description": "Ether: in wei, or with its unit.",
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 2**256 - 1},
            {"type": "string", "pattern": rf"^\s*({_AMOUNT})\s*$"},
        ],
    },
}
_WEI: _Schema = {"allOf": [{"$ref": "#/definitions/amount"}]}  # beside a reference, draft 7 heeds nothing else
_SUBNET = r"^([0-9]{1,3}\.){3}[0-9]{1,3}/([0-9]|[12][0-9])$"
_ORIGIN = {"type": "string", "pattern": r"^(\*|[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:[0-9]{1,5})?)$"}

_SHARPENED: dict[str, _Schema] = {
    "format": {"const": SPEC_FORMAT},
    "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$"},
    "compose.subnet": {"type": ["string", "null"], "pattern": _SUBNET},
    "compose.memory": {"type": "string", "pattern": "^[1-9][0-9]*[kmg]$"},
    "consensus.kind": {"enum": list(consensus_kinds())},
    "engine.kind": {"enum": list(kinds())},
    "engine.client_arguments": {
        "type": "array",
        "items": {"type": "string", "pattern": r"^--[a-z][A-Za-z0-9.-]*(=[^\n]*)?$"},
    },
    "genesis.base_fee": _WEI,
    "genesis.fork_times": {
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": "integer"}, {"$ref": "#/definitions/number"}]},
    },
    "genesis.gas_price": _WEI,
    "genesis.node_balance": _WEI,
    "genesis.alloc": {
        "type": "object",
        "propertyNames": {"pattern": "^(0x)?[0-9a-fA-F]{40}$"},
        "additionalProperties": _WEI,
    },
    "rpc.http.origins": {"type": "array", "items": _ORIGIN},
    "rpc.ws.origins": {"type": "array", "items": _ORIGIN},
}
"""What the models check by functions, which say nothing of themselves to a schema."""

_DEPENDS = ("identities", "consensus.kind", "engine.version", "transaction_manager")
"""Fields whose default follows from others': an editor must not fill one in."""


def schema() -> _Schema:
    """The schema of a whole spec."""
    whole = _model(NetworkSpec, "")
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A Quorumkit network",
        **whole,
        "definitions": _DEFINITIONS,
        "allOf": [*_by_engine(), *_by_manager(), _on_kubernetes()],
    }


def schema_text() -> str:
    """The same, as it is published."""
    return json.dumps(schema(), indent=2) + "\n"


def _model(model: type[BaseModel], path: str) -> _Schema:
    comments = comments_of(model)
    written = model.model_json_schema()["properties"]
    properties: _Schema = {}
    required = []
    for name, field in model.model_fields.items():
        full = f"{path}.{name}" if path else name
        parts = [kind for kind in _members(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if parts:
            properties[name] = _model(parts[0], full)
            if type(None) in _members(field.annotation):
                properties[name]["type"] = ["object", "null"]
            continue
        if field.is_required():
            required.append(name)
        found = _SHARPENED.get(full) or _field(written[name])
        default = {"default": written[name]["default"]} if _has_default(written[name], full) else {}
        properties[name] = {"description": comments[name], **found, **default}
    said = {"description": " ".join((inspect.getdoc(model) or "").split())}
    return {
        **said,
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _has_default(written: _Schema, path: str) -> bool:
    return written.get("default") is not None and path not in _DEPENDS


def _field(written: _Schema) -> _Schema:
    """A field's own schema as pydantic has it, with `null` as one more type, and numbers as people write them."""
    kept = {name: value for name, value in written.items() if name not in ("title", "default", "description")}
    alternatives = kept.pop("anyOf", [kept])
    null = [one for one in alternatives if one.get("type") == "null"]
    (own,) = [one for one in alternatives if one not in null]
    if "enum" in own or "const" in own:
        values = own.get("enum", [own.get("const")])
        return {"enum": [*values, None] if null else values}
    if own.get("type") == "integer":
        return {"anyOf": [own, {"$ref": "#/definitions/number"}, *null]}
    return {**own, "type": [own["type"], "null"]} if null else own


def _members(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [member for part in typing.get_args(annotation) for member in _members(part)]
    return [annotation]


def _by_engine() -> Iterator[_Schema]:
    """What one engine takes of the fields that another takes otherwise: the spec is asked."""
    consensus = consensus_kinds()
    for kind in kinds():
        engine = {"kind": kind}
        able = [each for each in consensus if _holds(engine=engine, consensus={"kind": each})]
        then: _Schema = {"consensus": {"properties": {"kind": {"enum": able}}}}
        if not _holds(engine=engine, transaction_manager={}):
            then["transaction_manager"] = {"type": "null"}
        if not _holds(engine=engine | {"image": "some/image"}):
            then["engine"] = {"properties": {"image": {"type": "null"}}}
        if not _holds(engine=engine, genesis={"free_gas": False}):
            then["genesis"] = {"properties": {"free_gas": {"const": True}}}
        condition: _Schema = {"properties": {"engine": {"properties": {"kind": {"const": kind}}}}}
        if kind != kinds()[0]:
            condition = {
                "required": ["engine"],
                "properties": {"engine": {"required": ["kind"], "properties": {"kind": {"const": kind}}}},
            }
        yield {"if": condition, "then": {"properties": then}}


def _by_manager() -> Iterator[_Schema]:
    """Which fields a transaction manager has."""
    able = {"engine": {"kind": next(kind for kind in kinds() if _holds(engine={"kind": kind}, transaction_manager={}))}}
    samples = {"version": "1.2.3", "binary": "some/program", "image": "some/image"}
    for kind in _values("transaction_manager.kind"):
        refused = [
            field
            for field, value in samples.items()
            if not _holds(**able, transaction_manager={"kind": kind, field: value})
        ]
        if refused:
            chosen = {"type": "object", "properties": {"kind": {"const": kind}}}
            without = {"not": {"anyOf": [{"required": [field]} for field in refused]}}
            yield {
                "if": {"required": ["transaction_manager"], "properties": {"transaction_manager": chosen}},
                "then": {"properties": {"transaction_manager": without}},
            }


def _on_kubernetes() -> _Schema:
    return {
        "if": {"required": ["runtime"], "properties": {"runtime": {"const": "kubernetes"}}},
        "then": {"properties": {"identities": {"const": "exchanged"}, "name": {"pattern": "^[a-z]"}}},
    }


def _values(path: str) -> list[str]:
    """What a field of a few values may hold."""
    model: Any = NetworkSpec
    *parents, last = path.split(".")
    for parent in parents:
        model = next(part for part in _members(model.model_fields[parent].annotation) if part is not type(None))
    return list(itertools.chain(*(typing.get_args(one) for one in _members(model.model_fields[last].annotation))))


def _holds(**fields: Any) -> bool:
    """Whether a spec with these fields is right."""
    try:
        parse_spec({"name": "mynet", **fields})
    except SpecError:
        return False
    return True
