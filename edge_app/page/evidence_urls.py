"""Addresses of evidence pictures that open for a while without a login: signed, and expiring.

The key is made when the page starts and kept nowhere, so that a restart voids every such address.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from urllib.parse import quote

PREFIX = "/api/v1/evidence/"
LONGEST_S = 86_400


class EvidenceUrls:
    """Signs and checks addresses.

    Args:
        now_s: wall clock, seconds since the epoch.
    """

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._key = secrets.token_bytes(32)

    def signed(self, picture: str, valid_s: int) -> tuple[str, int]:
        """Return a picture's address on this page, and when it expires.

        Args:
            picture: "{date}/{name}.jpg".
            valid_s: 1 to LONGEST_S.
        """
        expires_s = int(self._now_s()) + valid_s
        signature = self._signature(picture, expires_s)
        return f"{PREFIX}{quote(picture)}?expires={expires_s}&signature={signature}", expires_s

    def is_open(self, path: str, query: Mapping[str, str]) -> bool:
        """Tell whether a request's address was signed here and has not expired."""
        expires, given = query.get("expires", ""), query.get("signature", "")
        if not path.startswith(PREFIX) or not re.fullmatch(r"[0-9]{1,12}", expires):
            return False
        expected = self._signature(path.removeprefix(PREFIX), int(expires))
        is_ours = hmac.compare_digest(expected.encode(), given.encode("latin-1", "replace"))
        return is_ours and self._now_s() < int(expires) <= self._now_s() + LONGEST_S

    def _signature(self, picture: str, expires_s: int) -> str:
        text = f"{expires_s}\n{picture}".encode("utf-8", "replace")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
