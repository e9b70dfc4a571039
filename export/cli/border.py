"""The error border of `edge-export`: that of all commands, with what a build does next."""

from __future__ import annotations

from collections.abc import Callable

from edge_app.cli import border
from edge_app.cli.border import NO, WRONG, print_any_name

__all__ = ["NO", "WRONG", "print_any_name", "run_bordered", "told"]

EXTRA = "train"
STOPPED = "stopped. The same command goes on after the last finished step."
RESUMES = "the same command then goes on after the last finished step"


def run_bordered(name: str, work: Callable[[], int]) -> int:
    """Return a command's exit code, as `edge_app.cli.border.run_bordered` does."""
    return border.run_bordered(name, work, EXTRA, STOPPED, RESUMES)


def told(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence for a person and the exit code; None: a defect, whose traceback helps."""
    return border.told(error, EXTRA, STOPPED, RESUMES)
