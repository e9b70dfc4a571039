"""Names that stand for people in statistics: the same person has the same one on a device."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from edge_app.errors import HistoryError
from edge_app.host.small_file import read_small_text
from edge_app.store.durable_write import perform, write_durably

KEY_FILE = "reviewers.key"
"""Its name in the state folder. Without it nobody can tell whose a pseudonym is by trying names."""

KEY_BYTES = 32
SHOWN_DIGITS = 6


class Pseudonyms:
    """Makes pseudonyms with a key of this device.

    Args:
        path: the key's file; made when it is first needed, for its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: bytes | None = None

    def of(self, kind: str, name: str) -> str:
        """Return what stands for an author, such as reviewer-1f3a9c.

        Raises:
            HistoryError: the key can be neither read nor made.
        """
        if self._key is None:
            self._key = self._read_or_make()
        text = f"{kind}\n{name}".encode("utf-8", "backslashreplace")
        digest = hmac.new(self._key, text, hashlib.sha256).hexdigest()
        return f"reviewer-{digest[:SHOWN_DIGITS]}"

    def _read_or_make(self) -> bytes:
        try:
            found = _key_in(read_small_text(self._path)) if self._path.exists() else None
            if found is not None:
                return found
            made = secrets.token_bytes(KEY_BYTES)
            write_durably(perform, self._path, made.hex().encode() + b"\n", is_private=True)
        except (OSError, UnicodeDecodeError) as error:
            raise HistoryError(
                f"The key of the reviewers' pseudonyms, {self._path}, can be neither read nor made "
                f"({error}): nothing is marked without it. It must belong to the account that "
                "inspects."
            ) from error
        return made


def _key_in(text: str) -> bytes | None:
    """Return the key; None where a file holds none: another one is made, and names change."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        return None
    return key if len(key) == KEY_BYTES else None
