"""What is kept of people and programs: one JSON document, and what may stand in it.

Later releases add keys; this one keeps those that it does not know when it writes.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge_app.accounts.roles import AccessRole

FORMAT = 1
MAX_ACCOUNTS = 200
MAX_TOKENS = 200
MAX_NOTES = 1000
"""Changes that the audit has not taken yet; the oldest goes first, and is counted."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,31}")


def _is_name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(
            "expected a name of 1 to 32 letters, digits and . _ @ + -, beginning with a letter "
            "or digit"
        )
    return text


Name = Annotated[
    str,
    AfterValidator(_is_name),
    Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"}),
]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Kept(BaseModel):
    model_config = ConfigDict(defer_build=True, extra="allow", validate_assignment=True)


class Account(_Kept):
    """A person.

    Attributes:
        password: argon2id in its own form; None: the person has not chosen one yet.
        made_at_s, changed_at_s: seconds since the epoch; of the account, of the password.
        generation: grows with every change of password or role; a login of an older one is void.
    """

    name: Name
    role: AccessRole
    password: str | None = Field(None, max_length=300, repr=False)
    made_at_s: int = 0
    changed_at_s: int | None = None
    generation: int = Field(1, ge=1)


class Token(_Kept):
    """A program's access.

    Attributes:
        digest: sha256 of the secret, which is shown once and kept nowhere.
        expires_at_s: seconds since the epoch.
    """

    name: Name
    scope: AccessRole
    digest: Digest = Field(repr=False)
    made_at_s: int
    expires_at_s: int
    made_by: str = Field("", max_length=64)


class Code(_Kept):
    """A code that works once: for the first engineer, or for a person to choose a password.

    Attributes:
        account: whose; None: whoever has it becomes the first engineer.
    """

    account: Name | None
    digest: Digest = Field(repr=False)
    expires_at_s: int


class Note(_Kept):
    """A change that belongs in the audit, until inspection has recorded it.

    Attributes:
        order_id: UUID version 7; recorded once, however often it is sent.
        kind, name, role: who did it.
    """

    order_id: str = Field(max_length=36)
    kind: Literal["person", "root", "machine"]
    name: str = Field(max_length=64)
    role: AccessRole | Literal[""] = ""
    event: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    old: str = Field("", max_length=1000)
    new: str = Field("", max_length=1000)
    why: str = Field("", max_length=1000)


class People(_Kept):
    """Everything that is kept."""

    format: int = Field(FORMAT, ge=1, le=FORMAT)
    accounts: list[Account] = Field(default_factory=list, max_length=MAX_ACCOUNTS)
    tokens: list[Token] = Field(default_factory=list, max_length=MAX_TOKENS)
    codes: list[Code] = Field(default_factory=list, max_length=MAX_ACCOUNTS + 1)
    notes: list[Note] = Field(default_factory=list, max_length=MAX_NOTES)
    notes_lost: int = Field(0, ge=0)

    def account(self, name: str) -> Account | None:
        """Return a person by name, in whatever case."""
        found = (a for a in self.accounts if a.name.casefold() == name.casefold())
        return next(found, None)

    @property
    def engineers(self) -> list[Account]:
        """The engineers who have a password, so who can let others in."""
        return [a for a in self.accounts if a.role is AccessRole.ENGINEER and a.password]
