"""What of Debian the tests use. Missing here means skipped; missing in CI means failed."""

from __future__ import annotations

import os

import pytest

REQUIRED = "CROPLIQ_REQUIRE_SYSTEM_PACKAGES"
"""Set by .ci/run, which installs them: then a missing one is a mistake in .ci/run."""


def missing(package: str) -> None:
    """Skip the test for want of a Debian package, or fail it where it was to be installed."""
    _lacking(f"needs Debian's {package}: apt-get install {package}")


def missing_extra(extra: str) -> None:
    """Skip the test for want of an optional dependency, or fail it where it was to be there."""
    _lacking(f"needs the extra `{extra}`: pip install 'cropliq-edge[{extra}]'")


def missing_history() -> None:
    """Skip the test for want of the commits before this one, or fail it where they had to be."""
    _lacking("needs the repository's history: git fetch --unshallow")


def _lacking(text: str) -> None:
    if os.environ.get(REQUIRED):
        pytest.fail(text)
    pytest.skip(text)
