"""Small pictures of parts for the API, and what parts can be chosen by."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from starlette.responses import Response

from edge_app.alerts.evidence_files import crop_of, place_of
from edge_app.history.choices import choices
from edge_app.page.api.asked_history import AskedHistory
from edge_app.page.api.evidence import GONE, SHUT
from edge_app.page.api.operation import Answered, Call, Model, Operation
from edge_app.page.part_evidence import EvidenceFiles
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need
from edge_app.page.thumbnails import Thumbnails


class ThumbnailQuery(Model):
    """How large."""

    side: Literal["160", "320", "640"] = "320"


class Choices(Answered):
    """Values that `camera` and `class` of /parts can have."""

    cameras: list[str]
    classes: list[str]


class ThumbnailAnswers:
    """Answers with small pictures.

    Args:
        asked: what people may read of inspection's history.
        history: inspection's history; None: it keeps none.
        files: None: no pictures are kept.
    """

    def __init__(
        self, asked: AskedHistory, history: Path | None, files: EvidenceFiles | None
    ) -> None:
        self._asked, self._history, self._files = asked, history, files
        self._thumbnails = Thumbnails()

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("GET", "/parts/{id:int}/thumbnail.jpg", Need.VIEWER,
                      "A part's crop, made small; of its frame where no crop is kept.",
                      self.thumbnail, "pictures", query=ThumbnailQuery, media_type="image/jpeg"),
            Operation("GET", "/parts/choices", Need.VIEWER,
                      "What parts can be chosen by: cameras and defect classes that are recorded.",
                      self.choices, "history", Choices),
        ]  # fmt: skip

    def choices(self, _call: Call) -> dict[str, list[str]]:
        """Return cameras and defect classes."""
        if self._history is None:
            raise ProblemError(503, "This device keeps no history: see [history] enabled.")
        cameras, classes = choices(self._history)
        return {"cameras": cameras, "classes": classes}

    def thumbnail(self, call: Call) -> Response:
        """Return a part's small picture."""
        part = self._asked.part(call)
        frame = self._frame_of(str(part["evidence_url"] or ""))
        try:
            side_px = int(call.query.side)
            data = None
            if frame is not None:
                data = self._thumbnails.jpeg(frame, part["corners"], side_px)
        except PermissionError:
            raise ProblemError(503, SHUT) from None
        if data is None:
            raise ProblemError(404, GONE)
        return Response(data, media_type="image/jpeg")

    def _frame_of(self, url: str) -> Path | None:
        """Return where a part's picture lies, or lay while its crop is still there."""
        place = place_of(url)
        if place is None or self._files is None:
            return None
        try:
            frame = self._files.path_of(str(place))
            if frame is None:
                crop = self._files.path_of(str(crop_of(place)))
                frame = None if crop is None else crop.with_name(place.name)
        except PermissionError:
            raise ProblemError(503, SHUT) from None
        except OSError:  # a name that no file can have
            return None
        return frame
