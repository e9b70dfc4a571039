"""A clock that is wrong takes no program's access away for good."""

from __future__ import annotations

import pytest

from edge_app.accounts.membership import add_token, remove_token
from edge_app.accounts.people import MAX_TOKENS, People, Token
from edge_app.errors import AccountError

NOON_S = 1_767_268_800  # 2026-01-01 12:00 UTC
DAY_S = 86_400


def token(number: int, days: int = 90) -> Token:
    return Token.model_validate({
        "name": f"program-{number}", "scope": "viewer", "digest": f"{number:064x}",
        "made_at_s": NOON_S, "expires_at_s": NOON_S + days * DAY_S,
    })  # fmt: skip


@pytest.mark.parametrize("now_s", [NOON_S, NOON_S + 366 * DAY_S, 5])
def test_a_full_list_keeps_every_token_whatever_the_clock_says(now_s: int) -> None:
    """A year ahead each would have expired, and gone for good; a person removes one instead."""
    people = People()
    for number in range(MAX_TOKENS):
        add_token(people, token(number), NOON_S)
    with pytest.raises(AccountError, match="remove one first") as error:
        add_token(people, token(MAX_TOKENS), now_s)
    assert len(people.tokens) == MAX_TOKENS
    assert (f"{MAX_TOKENS} of them expired" in str(error.value)) == (now_s > NOON_S + 90 * DAY_S)
    remove_token(people, "program-7")
    add_token(people, token(MAX_TOKENS), now_s)
