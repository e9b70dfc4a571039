"""`edge-export build --feedback`: its options, and what it tells at the end."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from export.bundle_build.records import BuildOptions, BuildResult
    from export.feedback_build.run import FeedbackResult
    from export.workspace import OnStep

NAMED = 20


def add_feedback(build: argparse.ArgumentParser) -> None:
    """Add the options to `edge-export build`."""
    build.add_argument(
        "--feedback", type=Path, metavar="DIR",
        help="what edge-export pull made: marked false alarms teach what is harmless, other good "
        "parts join the training, defects the known ones; exit 1 where a defect that was caught "
        "before would now pass",
    )  # fmt: skip
    build.add_argument(
        "--before", type=Path, metavar="FILE",
        help="with --feedback: compare with this bundle (default: with what the devices said)",
    )  # fmt: skip
    build.add_argument(
        "--accept", action="store_true",
        help="with --feedback: leave contradicting marks out however many they are, and exit 0 "
        "although defects would pass; the report names them all the same",
    )  # fmt: skip


class FromMarks:
    """A build that learns from marks, and what to tell of it.

    Raises:
        ConfigError: options that say nothing without --feedback.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._done: FeedbackResult | None = None
        if args.feedback is None and (args.before is not None or args.accept):
            raise ConfigError(
                "--before and --accept belong to --feedback: name its folder as well."
            )

    def build(self, options: BuildOptions, on_step: OnStep) -> BuildResult:
        """Build, and remember what changed."""
        from export.feedback_build.run import FeedbackOptions, build_with_feedback

        asked = FeedbackOptions(self._args.feedback, self._args.before, self._args.accept)
        self._done = build_with_feedback(options, asked, on_step)
        return self._done.build

    def tell(self) -> bool:
        """Print what changed; return whether the answer is no. Nothing without --feedback."""
        if self._done is None:
            return False
        report = self._done.report
        for sentence in report.sentences():
            print(sentence)
        print(self._done.page)
        for one in report.dropped[:NAMED]:
            print(f"not learnt from: {one.words()}", file=sys.stderr)
        if len(report.dropped) > NAMED:
            print(f"and {len(report.dropped) - NAMED} more, see the report", file=sys.stderr)
        if not (report.lost or report.sensitivity.is_lost) or self._args.accept:
            return False
        print(
            "The bundle is written all the same. Exit code 1, because defects that were caught "
            "before would pass; --accept accepts it.",
            file=sys.stderr,
        )
        return True
