"""Inspection's history as those who call may read it: with names, or with pseudonyms."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_app.history.reader import HistoryReader
from edge_app.page.api.evidence import GONE, SHUT
from edge_app.page.api.models import MOST_ID
from edge_app.page.api.operation import Call
from edge_app.page.part_evidence import PartEvidence
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Caller, sees_names

LIMIT_S = 1.0


class AskedHistory:
    """Reads parts in transactions of a second at most.

    Args:
        path: inspection's history; None: it keeps none.
        evidence: what is kept of parts.
    """

    def __init__(self, path: Path | None, evidence: PartEvidence) -> None:
        self._readers = {
            shows: HistoryReader(path, LIMIT_S, shows) for shows in (False, True) if path
        }
        self._evidence = evidence

    def reader(self, caller: Caller) -> HistoryReader:
        """Return what answers a caller.

        Raises:
            ProblemError: this device keeps no history.
        """
        if not self._readers:
            raise ProblemError(503, "This device keeps no history: see [history] enabled.")
        return self._readers[sees_names(caller)]

    def part(self, call: Call) -> dict[str, Any]:
        """Return the part that an address names.

        Raises:
            ProblemError: there is none, or no longer.
        """
        number = int(call.path["id"])
        found = self.reader(call.caller).part(number) if number <= MOST_ID else None
        if found is None:
            raise ProblemError(404, "No such part is recorded, or no longer.")
        return found

    def shown(self, part: dict[str, Any]) -> dict[str, Any]:
        """Return a part as it is answered: with numbers that JSON has, and what is kept of it."""
        try:
            has_crop = self._evidence.crop(part) is not None
        except OSError:
            has_crop = False
        return {
            **{name: None if _is_odd(value) else value for name, value in part.items()},
            "kept_for": [reason for reason in (part["kept_for"] or "").split(",") if reason],
            "has_crop": has_crop,
        }

    def file(
        self, call: Call, find: Callable[[dict[str, Any]], Path | None], missing: str = GONE
    ) -> Path:
        """Return a file that is kept of the part that an address names.

        Raises:
            ProblemError: there is no such part or file, or it may not be read.
        """
        part = self.part(call)
        try:
            path = find(part)
            is_readable = path is None or os.access(path, os.R_OK)
        except PermissionError:
            path, is_readable = None, False
        if not is_readable:
            raise ProblemError(503, SHUT)
        if path is None:
            raise ProblemError(404, missing)
        return path


def _is_odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
