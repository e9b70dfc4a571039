"""Consumers of the page's process, and of what inspection and page say to each other."""

from __future__ import annotations

from pathlib import Path

from registry import Consumer

from edge_app.accounts.people import Account, Code, Note, People, Token
from edge_app.accounts.people_file import PeopleFile
from edge_app.accounts.place import PEOPLE_FILE
from edge_app.accounts.roles import AccessRole
from edge_app.errors import AccountsUnusable

DIGEST = "ab" * 32


def _people() -> bytes:
    note = Note(order_id="0" * 36, kind="person", name="eva", event="user_added")
    people = People(
        accounts=[Account(name="eva", role=AccessRole.ENGINEER, password="$argon2id$v=19$x")],
        tokens=[
            Token(name="mes", scope=AccessRole.VIEWER, digest=DIGEST, made_at_s=1, expires_at_s=2)
        ],
        codes=[Code(account=None, digest=DIGEST, expires_at_s=2)],
        notes=[note],
    )
    return people.model_dump_json().encode()


def _take_people(payload: bytes, folder: Path) -> bool:
    """A damaged file is refused whole: nobody is let in by half of it."""
    (folder / PEOPLE_FILE).write_bytes(payload)
    try:
        return bool(PeopleFile(folder).read().accounts)
    except AccountsUnusable:
        return False


CONSUMERS: tuple[Consumer, ...] = (
    Consumer("edge_app.accounts.people_file:PeopleFile._load", _people, _take_people),
)
CONSUMERS += tuple(
    Consumer(site, tested_in=where)
    for site, where in {
        "edge_app.ipc.page_link:PageLink._parse": "tests/edge_app/page/test_page_feed.py",
        "edge_app.page.api.operation:_parsed": "tests/edge_app/page/test_api.py",
        "edge_app.page.changeover_routes:ChangeoverRoutes.select": "tests/edge_app/page",
        "edge_app.page.picture_notes:report_of": "tests/edge_app/page/test_page_feed.py",
    }.items()
)
