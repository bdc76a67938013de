"""`quorumkit doctor`."""

from __future__ import annotations

import click

from quorumkit.cli.options import json_option
from quorumkit.cli.output import print_json, print_table, say


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Show what this machine has and lacks for each runtime and engine, and what to do about it.

    Exits with 1 if something is missing that there is no way around.

    \b
    quorumkit doctor
    """
    from quorumkit.stages.doctor import examine

    findings = examine()
    missing = [finding for finding in findings if finding.verdict == "missing"]
    if as_json:
        print_json({"ok": not missing, "findings": [finding.to_json() for finding in findings]})
    else:
        marks = {"ok": "ok", "note": "note", "missing": "MISSING"}
        print_table(["", "WHAT", "FOUND"], [[marks[f.verdict], f.subject, f.text] for f in findings])
        for finding in findings:
            if finding.advice:
                say(f"{finding.subject}: {finding.advice}")
    raise click.exceptions.Exit(1 if missing else 0)
