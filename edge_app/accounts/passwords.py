"""Passwords: argon2id, one at a time, the same time for a name that nobody has."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from edge_app.errors import AccountError

LEAST_CHARS, MOST_CHARS = 10, 256
MEMORY_KIB, PASSES, LANES = 19_456, 2, 1
"""Source: OWASP, Password Storage Cheat Sheet, argon2id: 19 MiB, 2 passes, 1 lane."""

MAX_WAITING = 4
"""Logins that wait for their turn; the next one is told to come again."""


class BusyError(AccountError):
    """Too many passwords are being checked at once."""


class Passwords:
    """Hashes and checks. Thread-safe: at most one hash is computed at any time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES)
        self._one = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_WAITING)
        self._nobody = self._hasher.hash("nobody has this one")

    def hash(self, password: str) -> str:
        """Return what is kept of a password.

        Raises:
            BusyError: too many at once.
        """
        with _place(self._places), self._one:
            return self._hasher.hash(password)

    def is_right(self, kept: str | None, password: str) -> bool:
        """Tell whether a password is the one that was hashed; None: takes as long, and is wrong.

        Raises:
            BusyError: too many at once.
        """
        with _place(self._places), self._one:
            try:
                is_same = self._hasher.verify(kept or self._nobody, password[:MOST_CHARS])
            except (Argon2Error, InvalidHashError):
                return False
            return is_same and kept is not None


def check_new_password(name: str, password: str) -> None:
    """Refuse a password that is too short, too long or the name.

    Raises:
        AccountError: the message says what is expected.
    """
    if not LEAST_CHARS <= len(password) <= MOST_CHARS:
        raise AccountError(
            f"The password has {len(password)} characters, expected {LEAST_CHARS} to {MOST_CHARS}. "
            "Four words that have nothing to do with each other are a good one."
        )
    if name.casefold() in password.casefold() and len(password) < len(name) + LEAST_CHARS:
        raise AccountError("The password is mostly the name: choose another one.")
    if len(set(password)) < 4:
        raise AccountError("The password repeats a few signs: choose another one.")


class _place:  # noqa: N801 - reads as a word in `with`
    """One of few places, or an error at once."""

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> None:
        if not self._places.acquire(blocking=False):
            raise BusyError("Too many passwords are being checked. Try again in a few seconds.")

    def __exit__(self, *_: object) -> None:
        self._places.release()
