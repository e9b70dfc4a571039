"""Who is at the other end of a Unix socket, and which account may play which role there.

One socket a role: the kernel states the peer's account (SO_PEERCRED), so a member of the service's
group cannot claim to be the inspection process, and inspection and page cannot install bundles.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edge_app.ipc.unix_socket import bind_to

ROOT_UID = 0


class Role(str, Enum):
    """What a peer is to the process that listens."""

    INSPECTION = "inspection"
    PAGE = "page"
    PEOPLE = "people"


ACCOUNTS = {Role.INSPECTION: "cropliq-edge", Role.PAGE: "cropliq-edge-page"}
"""The services' accounts, as install.sh makes them; people have accounts of their own."""

AGENT_ACCOUNT = "cropliq-edge-agent"
"""Listens to the other two; of inspection it asks what operators' keys have signed."""

SOCKET_MODES = {Role.INSPECTION: 0o660, Role.PAGE: 0o666, Role.PEOPLE: 0o660}
"""The page's account is in no group of ours, so its socket is open to all and the peer is checked;
the others are within reach of the service's group only, and checked as well."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as it was when it did."""

    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Peer:
    """Return who connected a Unix socket, as the kernel says."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", raw))


def uid_of(account: str) -> int | None:
    """Return an account's number, None where this machine has no such account."""
    try:
        return pwd.getpwnam(account).pw_uid
    except KeyError:
        return None


def account_of(uid: int) -> str:
    """Return an account's name, its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def may_play(
    role: Role, uid: int, own_uid: int | None = None, lookup: Callable[[str], int | None] = uid_of
) -> bool:
    """Tell whether an account may speak on a role's socket.

    Root may, and whoever runs the listening process: run by hand, all are one account. People are
    all others whom the socket's mode lets in, but no service's account.

    Args:
        own_uid: of the listening process; None: this one's.
        lookup: account name → number.
    """
    if uid in (ROOT_UID, os.geteuid() if own_uid is None else own_uid):
        return True
    if role in ACCOUNTS:
        return uid == lookup(ACCOUNTS[role])
    return uid not in {lookup(account) for account in ACCOUNTS.values()}


def is_agent(uid: int, lookup: Callable[[str], int | None] = uid_of) -> bool:
    """Tell whether an account is the agent's service."""
    return uid == lookup(AGENT_ACCOUNT)


def role_socket(path: Path, role: Role) -> Path:
    """Return a role's socket beside the one that people use, e.g. agent-page.sock."""
    return path if role is Role.PEOPLE else path.with_name(f"{path.stem}-{role.value}{path.suffix}")


def listen(path: Path, mode: int, backlog: int) -> socket.socket:
    """Return a Unix socket that listens; a stale file in its place is removed.

    Raises:
        OSError: it cannot be made there.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        bind_to(listener, path)
        path.chmod(mode)
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener
