"""Warnings of a step on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edge_app.host.plain_text import indented_lines


def warn(warnings: Sequence[str]) -> None:
    """Print what a person should know to stderr, each on lines of its own."""
    for warning in warnings:
        print(indented_lines(f"warning: {warning}"), file=sys.stderr)
