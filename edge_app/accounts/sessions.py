"""Who is logged in: in memory, under digests of the ids; a restart of the page ends all."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

IDLE_S = 3600.0
LONGEST_S = 12 * 3600.0
"""A shift and its handover."""

MAX_SESSIONS = 400
MAX_OF_ACCOUNT = 10
"""The one that was unused longest makes room."""


@dataclass(slots=True)
class Session:
    """A login.

    Attributes:
        name: the account's.
        generation: of the account when it logged in.
        csrf: what the page's own script sends with every change.
        began_s, used_s: monotonic seconds.
    """

    name: str
    generation: int
    csrf: str
    began_s: float
    used_s: float


class Sessions:
    """Gives and checks ids of sessions. Thread-safe.

    Args:
        clock_s: monotonic seconds.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._by_digest: dict[str, Session] = {}

    def begin(self, name: str, generation: int) -> tuple[str, Session]:
        """Return a new session's id, which nobody has seen before, and the session."""
        session_id = secrets.token_urlsafe(32)
        with self._lock:
            now_s = self._clock_s()
            self._make_room(name)
            session = Session(name, generation, secrets.token_urlsafe(24), now_s, now_s)
            self._by_digest[_digest(session_id)] = session
        return session_id, session

    def find(self, session_id: str, is_use: bool = True) -> Session | None:
        """Return a session that has not ended.

        Args:
            is_use: a person did something; what a page asks by itself keeps no session alive.
        """
        with self._lock:
            digest = _digest(session_id)
            session = self._by_digest.get(digest)
            if session is None:
                return None
            now_s = self._clock_s()
            if now_s - session.used_s > IDLE_S or now_s - session.began_s > LONGEST_S:
                del self._by_digest[digest]
                return None
            if is_use:
                session.used_s = now_s
            return session

    def end(self, session_id: str) -> None:
        """End one session, if there is such a one."""
        with self._lock:
            self._by_digest.pop(_digest(session_id), None)

    def end_all_of(self, name: str) -> None:
        """End a person's sessions."""
        with self._lock:
            for digest in [d for d, s in self._by_digest.items() if s.name == name]:
                del self._by_digest[digest]

    def _make_room(self, name: str) -> None:
        own = [d for d, s in self._by_digest.items() if s.name == name]
        crowd = own if len(own) >= MAX_OF_ACCOUNT else list(self._by_digest)
        if len(own) >= MAX_OF_ACCOUNT or len(self._by_digest) >= MAX_SESSIONS:
            del self._by_digest[min(crowd, key=lambda d: self._by_digest[d].used_s)]


def _digest(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()
