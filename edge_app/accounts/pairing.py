"""Letting a tablet or a wall screen in: a short code from an engineer's page, used once, at once.

What the screen gets is a viewer's token of its own: it stands in the list of tokens, where it can
be revoked. Codes are kept in memory only: whoever restarts the page makes a new one.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_app.accounts.attempts import Attempts
from edge_app.accounts.directory import Actor, Directory, code_digest, fresh_code
from edge_app.accounts.roles import AccessRole
from edge_app.errors import AccountError

VALID_S = 600
GROUPS = 2
"""Of four signs: 39 bits. Whoever spends all attempts of ten minutes, 60 a minute, on guesses hits
one code with a chance of 1 in 1.4 thousand million."""

MAX_WAITING = 20
SCREEN_DAYS = 366
WRONG_CODE = (
    "This code is not valid, or no longer: it works once, for ten minutes. An engineer makes "
    "another one on the page of people."
)


@dataclass(frozen=True, slots=True)
class _Waiting:
    actor: Actor
    name: str
    digest: str = field(repr=False)
    ends_s: float = 0.0


class Pairing:
    """Makes codes and uses them up. Thread-safe.

    Args:
        directory: keeps the screens' tokens.
        clock_s: monotonic seconds.
    """

    def __init__(self, directory: Directory, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._directory, self._clock_s = directory, clock_s
        self._attempts = Attempts(clock_s)
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def begin(self, actor: Actor, name: str) -> str:
        """Return a new code for a screen of this name; an older one of the same name is void.

        Raises:
            AccountError: the name is taken, or unfit, or too many codes wait.
        """
        self._directory.check_token_name(name)
        code = fresh_code(GROUPS)
        with self._lock:
            left = [w for w in self._fresh() if w.name.casefold() != name.casefold()]
            if len(left) >= MAX_WAITING:
                raise AccountError(
                    f"{MAX_WAITING} codes are waiting to be used. Wait ten minutes, then retry."
                )
            ends_s = self._clock_s() + VALID_S
            self._waiting = [*left, _Waiting(actor, name, code_digest(code), ends_s)]
        return code

    def redeem(self, code: str, address: str) -> tuple[str, str]:
        """Use a code up; return the screen's name and its secret, which is kept nowhere.

        Raises:
            TooManyAttempts: the code was not looked at.
            AccountError: the code is not accepted, or the token cannot be kept.
        """
        self._attempts.spend(f"screen at {address}", address)
        digest = code_digest(code)
        with self._lock:
            waiting = self._fresh()
            found = [w for w in waiting if hmac.compare_digest(w.digest, digest)]
            self._waiting = [w for w in waiting if w not in found]
        if not found:
            raise AccountError(WRONG_CODE)
        used = found[0]
        secret = self._directory.add_token(used.actor, used.name, AccessRole.VIEWER, SCREEN_DAYS)
        self._attempts.forgive(f"screen at {address}")
        return used.name, secret

    def _fresh(self) -> list[_Waiting]:
        now_s = self._clock_s()
        return [w for w in self._waiting if now_s < w.ends_s]
