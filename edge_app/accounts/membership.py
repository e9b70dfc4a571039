"""The rules of who belongs to a device, on the record alone: no file, no clock, no secret."""

from __future__ import annotations

import hmac

from edge_app.accounts.people import (
    MAX_ACCOUNTS,
    MAX_NOTES,
    MAX_TOKENS,
    NAME,
    Account,
    Code,
    Note,
    People,
    Token,
)
from edge_app.accounts.roles import AccessRole
from edge_app.errors import AccountError

CODE_VALID_S = 86_400


class UnknownNameError(AccountError):
    """There is no such person or token."""


def needed(people: People, name: str) -> Account:
    """Return a person.

    Raises:
        UnknownNameError: there is none of that name.
    """
    account = people.account(name)
    if account is None:
        known = ", ".join(a.name for a in people.accounts) or "nobody"
        raise UnknownNameError(f"There is no account {name!r}; there are: {known}.")
    return account


def add_account(people: People, name: str, role: AccessRole, now_s: int) -> Account:
    """Add a person who has no password yet.

    Raises:
        AccountError: the name is taken or unfit, or there are too many.
    """
    check_name(name)
    if people.account(name) is not None:
        raise AccountError(f"There is an account {name!r} already. Choose another name.")
    if len(people.accounts) >= MAX_ACCOUNTS:
        raise AccountError(f"There are {MAX_ACCOUNTS} accounts already: remove one first.")
    account = Account(name=name, role=role, made_at_s=now_s)
    people.accounts.append(account)
    return account


def check_name(name: str) -> None:
    """Refuse a name that an account or token cannot have.

    Raises:
        AccountError: it is empty, too long, or has other signs.
    """
    if not NAME.fullmatch(name):
        raise AccountError(
            f"{name[:40]!r} cannot be a name; expected 1 to 32 letters, digits and . _ @ + -, "
            "beginning with a letter or digit."
        )


def change_role(people: People, account: Account, role: AccessRole) -> None:
    """Give a person another role.

    Raises:
        AccountError: no engineer would be left.
    """
    if role is not AccessRole.ENGINEER:
        _keep_an_engineer(people, account)
    account.role = role
    account.generation += 1


def remove_account(people: People, name: str) -> Account:
    """Take a person out, with their code.

    Raises:
        AccountError: there is none, or no engineer would be left.
    """
    account = needed(people, name)
    _keep_an_engineer(people, account)
    people.accounts = [a for a in people.accounts if a is not account]
    people.codes = [c for c in people.codes if c.account != account.name]
    return account


def give_password(account: Account, hashed: str, now_s: int) -> None:
    """Set a password; logins with the old one are void."""
    account.password = hashed
    account.changed_at_s = now_s
    account.generation += 1


def put_code(people: People, code: Code) -> None:
    """Keep a code, in place of an older one for the same person."""
    people.codes = [*(c for c in people.codes if c.account != code.account), code]


def valid_code(people: People, digest: str, name: str, now_s: int, refusal: str) -> Code:
    """Return the code that a person may use.

    Raises:
        AccountError: there is none: used, replaced, expired, another person's, or no longer the
            first engineer's.
    """
    for code in people.codes:
        is_same = hmac.compare_digest(code.digest, digest) and now_s < code.expires_at_s
        if is_same and code.account is None and not people.engineers:
            check_name(name)
            return code
        if is_same and code.account and code.account.casefold() == name.casefold():
            return code
    raise AccountError(refusal)


def use_code(people: People, code: Code, name: str, hashed: str, now_s: int) -> Account:
    """Use a code up and return whose it was, with the new password."""
    if code.account is None:
        account = people.account(name) or add_account(people, name, AccessRole.ENGINEER, now_s)
        account.role = AccessRole.ENGINEER
    else:
        account = needed(people, code.account)
    give_password(account, hashed, now_s)
    people.codes = [c for c in people.codes if c.digest != code.digest]
    return account


def add_token(people: People, token: Token, now_s: int) -> None:
    """Keep a token. Expired ones are not removed: a clock that is wrong would remove them all.

    Raises:
        AccountError: the name is taken, or there are too many.
    """
    check_free(people, token.name)
    if len(people.tokens) >= MAX_TOKENS:
        expired = [t.name for t in people.tokens if t.expires_at_s <= now_s]
        such = f", {len(expired)} of them expired, {expired[0]!r} among them" if expired else ""
        raise AccountError(f"There are {MAX_TOKENS} tokens already{such}: remove one first.")
    people.tokens.append(token)


def check_free(people: People, name: str) -> None:
    """Refuse a token's name that is taken.

    Raises:
        AccountError: it is.
    """
    if any(t.name.casefold() == name.casefold() for t in people.tokens):
        raise AccountError(f"There is a token {name!r} already. Choose another name.")


def remove_token(people: People, name: str) -> Token:
    """Take a token out.

    Raises:
        UnknownNameError: there is none of that name.
    """
    for token in people.tokens:
        if token.name.casefold() == name.casefold():
            people.tokens.remove(token)
            return token
    known = ", ".join(t.name for t in people.tokens) or "none"
    raise UnknownNameError(f"There is no token {name!r}; there are: {known}.")


def put_note(people: People, note: Note) -> None:
    """Keep a change for the audit."""
    kept = [*people.notes, note]
    people.notes_lost += max(0, len(kept) - MAX_NOTES)
    people.notes = kept[-MAX_NOTES:]


def _keep_an_engineer(people: People, account: Account) -> None:
    if people.engineers == [account]:
        raise AccountError(
            f"{account.name} is the only engineer with a password: make another one first."
        )
