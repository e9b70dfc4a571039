"""The error border of `edge-export`: that of all commands, with what a build does next."""

from __future__ import annotations

from edge_app.cli import border
from edge_app.cli.border import NO, WRONG, print_any_name

__all__ = ["NO", "WRONG", "print_any_name", "told"]

RESUMES = "the same command then goes on after the last finished step"


def told(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence for a person and the exit code; None: a defect, whose traceback helps."""
    stopped = "stopped. The same command goes on after the last finished step."
    return border.told(error, "train", stopped, RESUMES)
