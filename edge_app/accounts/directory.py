"""People and programs of a device: who is let in, and who lets them in."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edge_app.accounts import membership
from edge_app.accounts.attempts import Attempts
from edge_app.accounts.passwords import Passwords, check_new_password
from edge_app.accounts.people import Account, Code, Note, People, Token
from edge_app.accounts.people_file import PeopleFile
from edge_app.accounts.roles import AccessRole
from edge_app.accounts.sessions import Session, Sessions
from edge_app.errors import AccountError
from edge_app.mqtt.timestamps import uuid7

TOKEN_PREFIX = "edge_"
WRONG_LOGIN = "This name and this password do not belong together."
WRONG_CODE = "This code is not valid, or no longer: it works once, and for a day."


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something; the name and role go into the audit."""

    kind: Literal["person", "root", "machine"]
    name: str
    role: AccessRole | Literal[""] = ""


class Directory:
    """Logs people in, and changes who they are. Thread-safe.

    Args:
        file: where people are kept.
        sessions: who is logged in.
        attempts: how often a password may be tried.
        now_ns: wall clock.
    """

    def __init__(
        self,
        file: PeopleFile,
        sessions: Sessions,
        attempts: Attempts,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._file, self._sessions, self._attempts = file, sessions, attempts
        self._now_ns = now_ns
        self._passwords = Passwords()

    @classmethod
    def of(cls, file: PeopleFile) -> Directory:
        """Return one with nobody logged in."""
        return cls(file, Sessions(time.monotonic), Attempts(time.monotonic))

    def people(self) -> People:
        """Return what is kept; not to be changed.

        Raises:
            AccountError: see `PeopleFile.read`.
        """
        return self._file.read()

    @property
    def is_kept(self) -> bool:
        """Whether accounts can be kept at all."""
        return self._file.is_kept

    def log_in(self, name: str, password: str, address: str) -> tuple[str, Session, Account]:
        """Return a new session's id, the session and its account.

        Raises:
            TooManyAttempts: the password was not looked at.
            AccountError: name and password do not belong together.
        """
        self._attempts.spend(name, address)
        account = self.people().account(name)
        if not self._passwords.is_right(account.password if account else None, password):
            raise AccountError(WRONG_LOGIN)
        if account is None:
            raise AccountError(WRONG_LOGIN)
        self._attempts.forgive(account.name)
        session_id, session = self._sessions.begin(account.name, account.generation)
        return session_id, session, account

    def who(self, session_id: str, is_use: bool = True) -> tuple[Session, Account] | None:
        """Return the session behind an id and its account as it is now; None: not logged in.

        Args:
            is_use: see `Sessions.find`.

        Raises:
            AccountError: see `PeopleFile.read`.
        """
        session = self._sessions.find(session_id, is_use)
        if session is None:
            return None
        account = self.people().account(session.name)
        if account is None or account.generation != session.generation:
            self._sessions.end(session_id)
            return None
        return session, account

    def log_out(self, session_id: str) -> None:
        """End a session."""
        self._sessions.end(session_id)

    def program(self, secret: str) -> Token | None:
        """Return the token behind a secret, None if there is none or it has expired.

        Raises:
            AccountError: see `PeopleFile.read`.
        """
        if not secret.startswith(TOKEN_PREFIX):
            return None
        digest, now_s = digest_of(secret), self._now_s()
        found = next((t for t in self.people().tokens if t.digest == digest), None)
        return found if found is not None and now_s < found.expires_at_s else None

    def change_password(self, name: str, old: str, new: str, address: str) -> None:
        """Replace a person's password; every login of theirs ends.

        Raises:
            TooManyAttempts, AccountError: the old one is wrong, or the new one unfit.
        """
        self._attempts.spend(name, address)
        check_new_password(name, new)
        account = self.people().account(name)
        if not self._passwords.is_right(account.password if account else None, old):
            raise AccountError("The present password is another one: nothing was changed.")
        self._attempts.forgive(name)
        self._set_password(name, self._passwords.hash(new))

    def redeem(self, code: str, name: str, password: str, address: str) -> Account:
        """Use a code up: the person chooses a password, the first engineer comes to be.

        Raises:
            TooManyAttempts, AccountError: the code or the password is not accepted.
        """
        self._attempts.spend(name, address)
        digest = code_digest(code)
        now_s = self._now_s()
        membership.valid_code(self.people(), digest, name, now_s, WRONG_CODE)
        check_new_password(name, password)
        hashed = self._passwords.hash(password)

        def use(people: People) -> Account:
            known = membership.valid_code(people, digest, name, now_s, WRONG_CODE)
            account = membership.use_code(people, known, name, hashed, now_s)
            actor = Actor("person", account.name, account.role)
            event = "first_engineer_made" if known.account is None else "password_chosen"
            self._note(people, actor, event, new=f"{account.name}: {account.role.value}")
            return account

        account = self._file.change(use)
        self._attempts.forgive(name)
        self._sessions.end_all_of(account.name)
        return account

    def first_engineer_code(self, actor: Actor) -> str:
        """Return a new code that makes whoever has it the first engineer; older ones are void.

        Raises:
            AccountError: there is an engineer.
        """
        code = fresh_code()

        def make(people: People) -> None:
            if people.engineers:
                names = ", ".join(a.name for a in people.engineers)
                raise AccountError(
                    f"This device has its engineers: {names}. One of them adds others; who has "
                    "forgotten the password gets a code from `edge-app users reset NAME`."
                )
            membership.put_code(people, self._code(code, None))
            self._note(people, actor, "first_engineer_code_made")

        self._file.change(make)
        return code

    def reset(self, actor: Actor, name: str) -> str:
        """Return a code with which a person chooses a new password; the old one stays till then.

        Raises:
            AccountError: there is no such person.
        """
        code = fresh_code()

        def make(people: People) -> None:
            account = membership.needed(people, name)
            membership.put_code(people, self._code(code, account.name))
            self._note(people, actor, "password_code_made", new=account.name)

        self._file.change(make)
        return code

    def add(self, actor: Actor, name: str, role: AccessRole) -> str:
        """Add a person; return the code with which they choose a password.

        Raises:
            AccountError: the name is taken, or there are too many.
        """
        code = fresh_code()

        def make(people: People) -> None:
            account = membership.add_account(people, name, role, self._now_s())
            membership.put_code(people, self._code(code, account.name))
            self._note(people, actor, "user_added", new=f"{account.name}: {role.value}")

        self._file.change(make)
        return code

    def set_role(self, actor: Actor, name: str, role: AccessRole) -> None:
        """Give a person another role; their logins end.

        Raises:
            AccountError: there is no such person, or no engineer would be left.
        """

        def change(people: People) -> None:
            account = membership.needed(people, name)
            old = account.role
            membership.change_role(people, account, role)
            of = f"{account.name}: "
            self._note(people, actor, "role_changed", of + old.value, of + role.value)

        self._file.change(change)

    def remove(self, actor: Actor, name: str) -> None:
        """Remove a person; their logins end.

        Raises:
            AccountError: there is no such person, or no engineer would be left.
        """

        def take(people: People) -> str:
            account = membership.remove_account(people, name)
            old = f"{account.name}: {account.role.value}"
            self._note(people, actor, "user_removed", old)
            return account.name

        self._sessions.end_all_of(self._file.change(take))

    def check_token_name(self, name: str) -> None:
        """Refuse a name that a new token cannot have.

        Raises:
            AccountError: it is unfit or taken, or people cannot be read.
        """
        membership.check_name(name)
        membership.check_free(self.people(), name)

    def add_token(self, actor: Actor, name: str, scope: AccessRole, days: int) -> str:
        """Return a new token's secret, which is kept nowhere.

        Raises:
            AccountError: the name is taken, or there are too many.
        """
        membership.check_name(name)
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        now_s = self._now_s()
        token = Token(
            name=name,
            scope=scope,
            digest=digest_of(secret),
            made_at_s=now_s,
            expires_at_s=now_s + days * 86_400,
            made_by=actor.name,
        )

        def make(people: People) -> None:
            membership.add_token(people, token, now_s)
            self._note(people, actor, "token_added", new=f"{name}: {scope.value}, {days} days")

        self._file.change(make)
        return secret

    def remove_token(self, actor: Actor, name: str) -> None:
        """Revoke a token.

        Raises:
            AccountError: there is none of that name.
        """

        def take(people: People) -> None:
            token = membership.remove_token(people, name)
            self._note(people, actor, "token_removed", old=f"{token.name}: {token.scope.value}")

        self._file.change(take)

    def note(self, actor: Actor, event: str, old: str = "", new: str = "") -> None:
        """Keep a change that was made elsewhere, for the audit.

        Raises:
            AccountError: it cannot be kept.
        """
        self._file.change(lambda people: self._note(people, actor, event, old, new))

    def notes(self) -> list[Note]:
        """Return the changes that the audit has not taken yet, the oldest first."""
        return list(self.people().notes)

    def audited(self, order_id: str) -> None:
        """Forget a change that the audit has taken."""

        def forget(people: People) -> None:
            people.notes = [note for note in people.notes if note.order_id != order_id]

        self._file.change(forget)

    def _set_password(self, name: str, hashed: str) -> None:
        def change(people: People) -> None:
            account = membership.needed(people, name)
            membership.give_password(account, hashed, self._now_s())
            actor = Actor("person", account.name, account.role)
            self._note(people, actor, "password_changed", new=account.name)

        self._file.change(change)
        self._sessions.end_all_of(name)

    def _code(self, code: str, account: str | None) -> Code:
        valid_s = membership.CODE_VALID_S
        return Code(account=account, digest=code_digest(code), expires_at_s=self._now_s() + valid_s)

    def _note(self, people: People, actor: Actor, event: str, old: str = "", new: str = "") -> None:
        order_id = uuid7(self._now_ns(), secrets.randbits)
        membership.put_note(
            people,
            Note(
                order_id=order_id,
                kind=actor.kind,
                name=actor.name,
                role=actor.role,
                event=event,
                old=old,
                new=new,
            ),
        )

    def _now_s(self) -> int:
        return self._now_ns() // 10**9


_SIGNS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""No 0 and O, no 1, I and L: a code is read from a screen and typed."""


def fresh_code(groups: int = 4) -> str:
    """Return a one-time code of groups of four signs, 20 bits each."""
    return "-".join("".join(secrets.choice(_SIGNS) for _ in range(4)) for _ in range(groups))


def code_digest(code: str) -> str:
    """Return the digest of a code, however it was typed."""
    return digest_of("".join(sign for sign in code.upper() if sign in _SIGNS))


def digest_of(secret: str) -> str:
    """Return the sha256 of a secret that is too long to be guessed."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
