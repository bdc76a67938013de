"""A release whose parts do not agree is refused, and says which."""

from __future__ import annotations

from typing import Any

import pytest

from quorumkit import __version__
from release import ROOT, disagreements

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2025-01-31

### Added

- Something.

## [1.1.0] - 2024-12-01

- Before.
"""


def found(**changed: Any) -> list[str]:
    agreed: dict[str, Any] = {
        "chart_version": "1.2.0",
        "app_version": "1.2.0-geth1.13.15",
        "changelog": CHANGELOG,
        "tags": ["v1.2.0"],
        "client": "1.13.15",
    }
    return disagreements("1.2.0", **agreed | changed)


def test_what_agrees_is_released_with_or_without_a_tag() -> None:
    assert found() == []
    assert found(tags=[]) == []
    assert found(tags=["nightly", "v1.2.0"]) == []


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"chart_version": "1.1.0"}, "version is 1.1.0, the package's is 1.2.0"),
        ({"app_version": "1.1.0-geth1.13.15"}, "should be 1.2.0-geth1.13.15"),
        ({"app_version": "1.2.0-geth1.13.14"}, "should be 1.2.0-geth1.13.15"),
        ({"tags": ["v1.2"]}, "the tag v1.2 is not v1.2.0"),
        ({"changelog": CHANGELOG.replace("1.2.0", "1.3.0")}, "no section [1.2.0]"),
        ({"changelog": CHANGELOG.replace(" - 2025-01-31", "")}, "no date"),
        ({"changelog": CHANGELOG.replace("2025-01-31", "2025-02-31")}, "no date"),
        ({"changelog": CHANGELOG.replace("- Something.", "")}, "is empty"),
        ({"changelog": CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n- More.\n")}, "under Unreleased"),
    ],
)
def test_what_does_not_agree_is_named(changed: dict[str, Any], word: str) -> None:
    (line,) = found(**changed)
    assert word in line


def test_the_versions_of_this_checkout_agree() -> None:
    """Its changelog is of the next release."""
    chart = dict(
        line.split(": ", 1) for line in (ROOT / "charts/quorumkit/Chart.yaml").read_text().splitlines() if ": " in line
    )
    released = f"## [Unreleased]\n\n## [{__version__}] - 2025-01-31\n\n- Something.\n"
    versions = {"chart_version": chart["version"], "app_version": chart["appVersion"]}
    assert disagreements(__version__, changelog=released, tags=[], **versions) == []
