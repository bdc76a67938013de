"""What was found of this machine when it was looked at. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["ok", "note", "missing"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    verdict: Verdict
    """ok: there. note: there is something to know. missing: what needs it cannot work."""
    text: str
    advice: str | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
