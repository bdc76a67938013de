"""Writes the reference pages that are made from the code itself: the command line, the spec, and the spec's schema.

    make docs

A test compares the pages with what this gives.
"""

from __future__ import annotations

import inspect
import types
import typing
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from field_comments import comments_of
from quorumkit.cli.main import cli
from quorumkit.engines import recipes
from quorumkit.spec import NetworkSpec, OneOf, spec_to_yaml
from spec_schema import schema_text

PAGES = Path(__file__).resolve().parent.parent / "docs/reference"
_NOTE = "<!-- Written by scripts/reference.py; run `make docs` after a change. -->"
_WIDE = 10_000  # columns: lines are wrapped by whoever shows them


def pages() -> dict[Path, str]:
    """Every generated page's text, by its path."""
    return {
        PAGES / "cli.md": cli_page(),
        PAGES / "spec.md": spec_page(),
        PAGES / "quorumkit.schema.json": schema_text(),
    }


def cli_page() -> str:
    parts = [
        "# Command line",
        _NOTE,
        "Results go to standard output, progress and errors to standard error. `--json` prints the result for "
        'machines; an error then is `{"error": {"kind", "message", "hint"}}`. Exit codes: 0 done, 1 failed, '
        "2 misuse, 130 interrupted. `--help`, after any command, shows what stands here.",
        "Where a command takes `[DIR]` or `--dir` and none is given, it uses `$QUORUMKIT_NETWORK`, else the current "
        "directory if that is a network, else `./mynet`. `$QUORUMKIT_CACHE` moves the cache, where built clients "
        "are kept.",
    ]
    with click.Context(cli, info_name="quorumkit") as context:
        for name in cli.list_commands(context):
            command = cli.get_command(context, name)
            assert command is not None
            parts += _command(command, context, name)
    return "\n\n".join(parts) + "\n"


def _command(command: click.Command, parent: click.Context, name: str) -> list[str]:
    if command.hidden:
        return []
    with click.Context(command, parent=parent, info_name=name, max_content_width=_WIDE) as context:
        usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
        parts = [f"## {context.command_path}", f"```\n{usage}\n```", *_help(command.help or "")]
        options = []
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record and "--help" not in parameter.opts and isinstance(parameter, click.Option):
                options.append([f"`{record[0]}`", record[1]])
        if options:
            parts.append(_table(["option", "meaning"], options))
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                assert found is not None
                parts += _command(found, context, child)
    return parts


def _help(text: str) -> list[str]:
    """A help text's paragraphs; those that click is not to wrap are examples."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines = paragraph.splitlines()
        if lines and lines[0] == "\b":
            parts.append("\n".join(["```console", *(f"$ {line}" for line in lines[1:]), "```"]))
        elif lines:
            parts.append(" ".join(lines))
    return parts


def spec_page() -> str:
    example = spec_to_yaml(NetworkSpec(name="mynet")).decode()
    return (
        "\n\n".join(
            [
                "# quorumkit.yaml",
                _NOTE,
                "The spec of a network: the one file that a person edits. `quorumkit init` and `up` write it; after "
                "a change, `quorumkit up` renders the files of the nodes again. A field that is not there has its "
                "default. An unknown field, or a wrong value, is refused with the field's path. Its JSON Schema, for "
                "editors: [quorumkit.schema.json](quorumkit.schema.json).",
                "Numbers may be written in every way in which there is no doubt what is meant: `1337`, `0x539`, `3e7`. "
                "Balances are in wei, or have a unit: `1000 ether`, `20 gwei`. Accounts need no quotes; one that "
                "stands there twice, in whatever spelling, is refused, and so is one whose EIP-55 checksum is wrong.",
                "What decides the chain (sizes, consensus, genesis, client version) is written out even where it "
                "equals a default, so that a later version of Quorumkit makes the same network of it. A chain that "
                "exists cannot change its genesis: `quorumkit up` refuses such an edit and names the fields.",
                f"```yaml\n{example}```",
                *_model(NetworkSpec, ""),
                *_later_forks(),
            ]
        )
        + "\n"
    )


def _later_forks() -> list[str]:
    parts = ["## Forks that come later"]
    for recipe in recipes():
        if recipe.later_forks:
            names = ", ".join(f"`{fork}`" for fork in recipe.later_forks)
            parts += [
                f"`genesis.fork_times` says from which time on the rules of a later fork hold, in seconds since 1970. "
                f"With {' and '.join(recipe.consensus)} on {recipe.kind} {recipe.default_version} these are known: "
                f"{names}, to begin in this order. A fork that is not named never begins.",
                "```yaml\ngenesis:\n  fork_times:\n    bpo1: 1798761600   # 2027-01-01 00:00:00 UTC\n```",
            ]
    parts += [
        "`bpo` forks change how many blobs a block may hold (EIP-7892). These networks have none, so nothing changes "
        "for contracts and tools; but nodes whose times differ refuse each other once a fork has begun (EIP-2124). The "
        "times are part of the genesis: all nodes have the same, and a network that exists cannot change them.",
    ]
    return parts


def _model(model: type[BaseModel], path: str) -> list[str]:
    comments = comments_of(model)
    rows, sections = [], []
    for name, field in model.model_fields.items():
        full = f"{path}.{name}" if path else name
        parts = [kind for kind in _members(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if parts:
            sections += _model(parts[0], full)
            continue
        rows.append([f"`{full}`", _values(field), _default(field), comments.get(name, "")])
    heading = [f"## {path}", " ".join(inspect.getdoc(model).split())] if path else ["## Top level"]  # type: ignore[union-attr]
    return [*heading, _table(["field", "values", "default", "meaning"], rows), *sections]


def _values(field: FieldInfo) -> str:
    """What a field may hold, in words."""
    kinds = [kind for kind in _members(field.annotation) if kind is not type(None)]
    kinds = next((list(constraint.values()) for constraint in field.metadata if isinstance(constraint, OneOf)), kinds)
    if all(isinstance(kind, str) for kind in kinds):
        return " or ".join(f"`{kind}`" for kind in kinds)
    bounds = {
        name: getattr(constraint, name)
        for constraint in field.metadata
        for name in ("ge", "le")
        if hasattr(constraint, name)
    }
    words = {int: "integer", str: "text", bool: "true or false", dict: "mapping", tuple: "list"}
    text = ", ".join(words.get(typing.get_origin(kind) or kind, str(kind)) for kind in kinds)
    if "le" in bounds:
        return f"{text}, {_number(bounds['ge'])} to {_number(bounds['le'])}"
    return f"{text}, {_number(bounds['ge'])} or more" if "ge" in bounds else text


def _members(annotation: Any) -> list[Any]:
    """The alternatives of a union, the values of a literal, the type inside an annotation."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return [member for part in typing.get_args(annotation) for member in _members(part)]
    if origin is typing.Literal:
        return list(typing.get_args(annotation))
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    return [annotation]


def _number(value: int) -> str:
    """Large bounds as powers, which is what they are."""
    for power in (63, 64, 256):
        if value == 2**power - 1:
            return f"2^{power} - 1"
    return str(value)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default if field.default is not PydanticUndefined else {}
    return "none" if value in (None, {}, ()) else f"`{list(value) if isinstance(value, tuple) else value}`"


def _table(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
