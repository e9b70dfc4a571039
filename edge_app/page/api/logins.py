"""Logging in and out, passwords, people and tokens for the API."""

from __future__ import annotations

import time

from starlette.responses import JSONResponse, Response

from edge_app.accounts.attempts import TooManyAttempts
from edge_app.accounts.directory import Directory
from edge_app.accounts.membership import UnknownNameError
from edge_app.accounts.pairing import SCREEN_DAYS, VALID_S, Pairing
from edge_app.accounts.passwords import BusyError
from edge_app.accounts.people import Account, Token
from edge_app.accounts.sessions import LONGEST_S
from edge_app.errors import AccountError, AccountsUnusable
from edge_app.history.times import time_text
from edge_app.page.access import screen_cookie
from edge_app.page.api import models as m
from edge_app.page.api.operation import Call, Operation
from edge_app.page.problem import ProblemError, problem
from edge_app.page.rights import Need


class LoginAnswers:
    """Lets people in and out, and changes who they are.

    Args:
        directory: who they are.
        cookie: name of the login's cookie.
    """

    def __init__(self, directory: Directory, cookie: str) -> None:
        self._directory, self._cookie = directory, cookie
        self._pairing = Pairing(directory)

    def operations(self) -> list[Operation]:
        """Return the operations."""
        public, person, engineer = Need.PUBLIC, Need.PERSON, Need.ENGINEER
        return [
            Operation("GET", "/me", public, "Who calls, and what a script needs for changes.",
                      self.me, "state", m.Me),
            Operation("POST", "/session", public, "Log in; the answer sets the cookie.",
                      self.log_in, "people", m.Me, body=m.LogIn),
            Operation("DELETE", "/session", person, "Log out.", self.log_out, "state", status=204),
            Operation("POST", "/session/code", public,
                      "Choose a password with a one-time code, and log in.", self.redeem,
                      "people", m.Me, body=m.CodeUse),
            Operation("POST", "/session/screen", public,
                      "Let this browser read, with a short code from the page of people.",
                      self.let_screen_in, "people", m.ScreenIn, body=m.ScreenCodeUse),
            Operation("POST", "/pairing", engineer,
                      "Make a short code that lets a tablet or a wall screen read.",
                      self.pair, "people", m.ScreenCode, body=m.ScreenWish, status=201),
            Operation("POST", "/me/password", person, "Change one's password, and log in anew.",
                      self.change_password, "people", m.Me, body=m.PasswordChange),
            Operation("GET", "/users", engineer, "Every person.", self.users, "people", m.Users),
            Operation("POST", "/users", engineer, "Add a person.", self.add_user, "people",
                      m.CodeMade, body=m.NewUser, status=201),
            Operation("PATCH", "/users/{name}", engineer, "Give a person another role.",
                      self.set_role, "people", m.User, body=m.RoleChange),
            Operation("DELETE", "/users/{name}", engineer, "Remove a person.", self.remove_user,
                      "people", status=204),
            Operation("POST", "/users/{name}/reset", engineer,
                      "Make a code with which a person chooses a new password.", self.reset,
                      "people", m.CodeMade, status=201),
            Operation("GET", "/tokens", engineer, "Every token.", self.tokens, "people", m.Tokens),
            Operation("POST", "/tokens", engineer, "Add a token for a program.", self.add_token,
                      "people", m.TokenMade, body=m.NewToken, status=201),
            Operation("DELETE", "/tokens/{name}", engineer, "Revoke a token.", self.remove_token,
                      "people", status=204),
        ]  # fmt: skip

    def me(self, call: Call) -> m.Me:
        """Return who calls."""
        caller = call.caller
        try:
            has_engineer = bool(self._directory.people().engineers)
        except AccountError as error:
            raise ProblemError(503, str(error)) from error
        return m.Me(
            kind=caller.kind,
            name=caller.name,
            role=caller.role or "",
            csrf=caller.csrf,
            has_engineer=has_engineer,
            is_kept=self._directory.is_kept,
        )

    def log_in(self, call: Call) -> Response:
        """Log a person in under a new id; the one of before, if any, ends."""
        body: m.LogIn = call.body
        try:
            return self._let_in(call, body.name, body.password)
        except AccountError as error:
            return _refused(error, 401)

    def log_out(self, call: Call) -> Response:
        """End the login."""
        self._directory.log_out(call.caller.session_id)
        answer = Response(status_code=204)
        answer.delete_cookie(self._cookie, secure=call.is_tls, httponly=True, samesite="strict")
        return answer

    def redeem(self, call: Call) -> Response:
        """Use a code up, and log in."""
        body: m.CodeUse = call.body
        try:
            self._directory.redeem(body.code, body.name, body.password, call.address)
            return self._let_in(call, body.name, body.password)
        except AccountError as error:
            return _refused(error, 409)

    def pair(self, call: Call) -> m.ScreenCode:
        """Make a code for a screen."""
        name = call.body.name
        code = self._pairing.begin(call.caller.actor, name)
        return m.ScreenCode(name=name, code=code, valid_s=VALID_S)

    def let_screen_in(self, call: Call) -> Response:
        """Use a screen's code up; the answer sets the cookie with its token."""
        try:
            name, secret = self._pairing.redeem(call.body.code, call.address)
        except AccountError as error:
            return _refused(error, 409)
        answer = JSONResponse(m.ScreenIn(name=name).model_dump(mode="json"))
        answer.set_cookie(
            screen_cookie(self._cookie),
            secret,
            max_age=SCREEN_DAYS * 86_400,
            httponly=True,
            samesite="strict",
            secure=call.is_tls,
        )
        return answer

    def change_password(self, call: Call) -> Response:
        """Change one's own password."""
        body: m.PasswordChange = call.body
        name = call.caller.name
        try:
            self._directory.change_password(name, body.old, body.new, call.address)
            return self._let_in(call, name, body.new)
        except AccountError as error:
            return _refused(error, 409)

    def users(self, _call: Call) -> m.Users:
        """Return every person."""
        return m.Users(users=[_user(account) for account in self._directory.people().accounts])

    def add_user(self, call: Call) -> m.CodeMade:
        """Add a person."""
        body: m.NewUser = call.body
        code = self._directory.add(call.caller.actor, body.name, body.role)
        return m.CodeMade(name=body.name, code=code)

    def set_role(self, call: Call) -> m.User:
        """Give a person another role."""
        name = call.path["name"]
        with _found():
            self._directory.set_role(call.caller.actor, name, call.body.role)
        account = self._directory.people().account(name)
        if account is None:
            raise ProblemError(404, "This person has been removed meanwhile.")
        return _user(account)

    def remove_user(self, call: Call) -> None:
        """Remove a person."""
        with _found():
            self._directory.remove(call.caller.actor, call.path["name"])

    def reset(self, call: Call) -> m.CodeMade:
        """Make a code for a person."""
        name = call.path["name"]
        with _found():
            return m.CodeMade(name=name, code=self._directory.reset(call.caller.actor, name))

    def tokens(self, _call: Call) -> m.Tokens:
        """Return every token."""
        return m.Tokens(tokens=[_token(token) for token in self._directory.people().tokens])

    def add_token(self, call: Call) -> m.TokenMade:
        """Add a token."""
        body: m.NewToken = call.body
        secret = self._directory.add_token(call.caller.actor, body.name, body.scope, body.days)
        return m.TokenMade(name=body.name, token=secret)

    def remove_token(self, call: Call) -> None:
        """Revoke a token."""
        with _found():
            self._directory.remove_token(call.caller.actor, call.path["name"])

    def _let_in(self, call: Call, name: str, password: str) -> Response:
        session_id, session, account = self._directory.log_in(name, password, call.address)
        if call.caller.session_id:
            self._directory.log_out(call.caller.session_id)
        me = m.Me(
            kind="person",
            name=account.name,
            role=account.role,
            csrf=session.csrf,
            has_engineer=bool(self._directory.people().engineers),
            is_kept=True,
        )
        answer = JSONResponse(me.model_dump(mode="json"))
        answer.set_cookie(
            self._cookie,
            session_id,
            max_age=int(LONGEST_S),
            httponly=True,
            samesite="strict",
            secure=call.is_tls,
        )
        return answer


class _found:  # noqa: N801 - reads as a word in `with`
    """An unknown name is 404."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UnknownNameError):
            raise ProblemError(404, str(error)) from error


def _refused(error: AccountError, status: int) -> Response:
    if isinstance(error, TooManyAttempts):
        return problem(429, str(error), error.wait_s)
    is_busy = isinstance(error, BusyError | AccountsUnusable)
    return problem(503 if is_busy else status, str(error))


def _user(account: Account) -> m.User:
    changed = account.changed_at_s
    return m.User(
        name=account.name,
        role=account.role,
        has_password=account.password is not None,
        made_at=time_text(account.made_at_s * 10**9),
        password_changed_at=None if changed is None else time_text(changed * 10**9),
    )


def _token(token: Token) -> m.TokenInfo:
    return m.TokenInfo(
        name=token.name,
        scope=token.scope,
        made_at=time_text(token.made_at_s * 10**9),
        expires_at=time_text(token.expires_at_s * 10**9),
        made_by=token.made_by,
        is_expired=time.time() >= token.expires_at_s,
    )
