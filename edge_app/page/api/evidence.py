"""Evidence pictures for the API: by token or login, or by an address that expires."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.responses import FileResponse, Response

from edge_app.history.times import time_text
from edge_app.page.api import models as m
from edge_app.page.api.operation import Call, Operation
from edge_app.page.evidence_urls import EvidenceUrls
from edge_app.page.part_evidence import EvidenceFiles
from edge_app.page.problem import ProblemError
from edge_app.page.rights import Need

GONE = "This picture is not kept on the device, or no longer."
SHUT = "The page's account may not read this picture; see docs/page.md."


class EvidenceAnswers:
    """Answers with pictures and with addresses of them.

    Args:
        files: None: none are kept.
        urls: signs addresses.
    """

    def __init__(self, files: EvidenceFiles | None, urls: EvidenceUrls) -> None:
        self._files, self._urls = files, urls

    def operations(self) -> list[Operation]:
        """Return the operations."""
        viewer = Need.VIEWER
        return [
            Operation("GET", "/evidence/{picture:path}", viewer,
                      "An evidence picture: DATE/NAME.jpg; also by a signed address.",
                      self.picture, "state", media_type="image/jpeg"),
            Operation("POST", "/evidence-urls", viewer,
                      "Make an address of a picture that opens without a login, for a while.",
                      self.sign, "state", m.SignedUrl, body=m.EvidenceWish, status=201),
        ]  # fmt: skip

    def picture(self, call: Call) -> Response:
        """Return a picture."""
        return FileResponse(self._path_of(str(call.path["picture"])), media_type="image/jpeg")

    def sign(self, call: Call) -> m.SignedUrl:
        """Return a picture's signed address."""
        wish: m.EvidenceWish = call.body
        self._path_of(wish.picture)
        url, expires_s = self._urls.signed(wish.picture, wish.valid_s)
        return m.SignedUrl(url=url, expires_at=time_text(expires_s * 10**9))

    def _path_of(self, picture: str) -> Path:
        try:
            path = self._files.path_of(picture) if self._files else None
            is_readable = path is None or os.access(path, os.R_OK)
        except PermissionError:
            path, is_readable = None, False
        except OSError:  # a name that no file can have
            path, is_readable = None, True
        if not is_readable:
            raise ProblemError(503, SHUT)
        if path is None:
            raise ProblemError(404, GONE)
        return path
