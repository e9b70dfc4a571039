"""`edge-app users | tokens`: who may change what on this device; from root's console."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.accounts.place import SERVICE_FOLDER
from edge_app.cli.parser import add_command, text, whole
from edge_app.errors import AccountError

if TYPE_CHECKING:
    from edge_app.accounts.directory import Actor, Directory

ROLES = ("viewer", "operator", "engineer")
HAS_ENGINEER = 1
"""`users first-engineer --if-none`: there is one already."""


def add_user_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add both commands to `edge-app`."""
    _add_users(commands)
    _add_tokens(commands)


def _add_users(commands: argparse._SubParsersAction[Any]) -> None:
    users = add_command(
        commands,
        "users",
        "say who may log in on the page, and let the first engineer in",
        "edge-app users first-engineer",
        "edge-app users reset anna",
    )
    verbs = users.add_subparsers(dest="verb", required=True, metavar="VERB")
    first = _verb(
        verbs, "first-engineer", "print a code that makes one person the first engineer", _first
    )
    first.add_argument(
        "--if-none", action="store_true", help="print nothing, and exit with 1, if there is one"
    )
    _verb(verbs, "list", "list people and their roles", _list_users)
    added = _verb(verbs, "add", "add a person, and print the code for their password", _add)
    _name(added, "the person's name")
    added.add_argument("--role", choices=ROLES, required=True, help="what the person may do")
    role = _verb(verbs, "role", "give a person another role", _role)
    _name(role, "the person's name")
    role.add_argument("role", choices=ROLES, help="what the person may do")
    reset = _verb(verbs, "reset", "print a code with which a person chooses a new password", _reset)
    _name(reset, "the person's name")
    _name(_verb(verbs, "remove", "remove a person", _remove), "the person's name")


def _add_tokens(commands: argparse._SubParsersAction[Any]) -> None:
    tokens = add_command(
        commands,
        "tokens",
        "give programs access to the API, or take it back",
        "edge-app tokens add mes --scope viewer --days 365",
    )
    verbs = tokens.add_subparsers(dest="verb", required=True, metavar="VERB")
    _verb(verbs, "list", "list tokens, their scopes and when they end", _list_tokens)
    added = _verb(verbs, "add", "add a token and print it, once", _add_token)
    _name(added, "the program's name")
    added.add_argument("--scope", choices=ROLES, required=True, help="what the program may do")
    added.add_argument(
        "--days", type=whole(1, 3660), default=90, metavar="N", help="valid for (default: 90)"
    )
    _name(_verb(verbs, "remove", "revoke a token", _remove_token), "the token's name")


def _verb(verbs: Any, name: str, about: str, work: Any) -> argparse.ArgumentParser:
    parser = add_command(verbs, name, about, f"{verbs._prog_prefix} {name}{EXAMPLES[work]}")
    parser.add_argument(
        "--state",
        type=Path,
        default=SERVICE_FOLDER,
        metavar="DIR",
        help=f"the page's folder; of `run` by hand STATE_DIR/page (default: {SERVICE_FOLDER})",
    )
    parser.set_defaults(work=work)
    return parser


def _name(parser: argparse.ArgumentParser, about: str) -> None:
    parser.add_argument("name", type=text(32), metavar="NAME", help=about)


def _first(args: argparse.Namespace) -> int:
    directory = _directory(args)
    if args.if_none and directory.people().engineers:
        return HAS_ENGINEER
    code = directory.first_engineer_code(_root())
    print(f"Code for the first engineer: {code}")
    print('It works once, for a day. Open the page, choose "I have a code", and enter the code, a')
    print("name and a password. Running this command again makes another code and voids this one.")
    return 0


def _list_users(args: argparse.Namespace) -> int:
    people = _directory(args).people()
    for account in people.accounts:
        more = "" if account.password else "  no password chosen yet"
        print(f"{account.name:<32} {account.role.value}{more}")
    if not people.accounts:
        print("nobody: `edge-app users first-engineer` prints a code for the first engineer.")
    return 0


def _add(args: argparse.Namespace) -> int:
    from edge_app.accounts.roles import AccessRole

    _say_code(args.name, _directory(args).add(_root(), args.name, AccessRole(args.role)))
    return 0


def _role(args: argparse.Namespace) -> int:
    from edge_app.accounts.roles import AccessRole

    _directory(args).set_role(_root(), args.name, AccessRole(args.role))
    print(f"{args.name} is {args.role} now.")
    return 0


def _reset(args: argparse.Namespace) -> int:
    _say_code(args.name, _directory(args).reset(_root(), args.name))
    return 0


def _remove(args: argparse.Namespace) -> int:
    _directory(args).remove(_root(), args.name)
    print(f"{args.name} is removed.")
    return 0


def _list_tokens(args: argparse.Namespace) -> int:
    from edge_app.history.times import time_text

    tokens = _directory(args).people().tokens
    for token in tokens:
        until = time_text(token.expires_at_s * 10**9)
        print(f"{token.name:<32} {token.scope.value:<9} until {until}  by {token.made_by}")
    if not tokens:
        print("no token.")
    return 0


def _add_token(args: argparse.Namespace) -> int:
    from edge_app.accounts.roles import AccessRole

    scope = AccessRole(args.scope)
    print(_directory(args).add_token(_root(), args.name, scope, args.days))
    return 0


def _remove_token(args: argparse.Namespace) -> int:
    _directory(args).remove_token(_root(), args.name)
    print(f"The token {args.name} is revoked.")
    return 0


def _say_code(name: str, code: str) -> None:
    print(f"Code for {name}: {code}")
    print('It works once, for a day: on the page, "I have a code", then a new password.')


def _root() -> Actor:
    """Return who acts: root, by the name of the person who used sudo."""
    from edge_app.accounts.directory import Actor

    name = os.environ.get("SUDO_USER", "")
    return Actor("root", name if name.isprintable() and 0 < len(name) <= 64 else "root")


def _directory(args: argparse.Namespace) -> Directory:
    """Return the people of a page's folder, worked on as the account that owns it.

    Root gives its rights up first: the folder belongs to the process that is attacked first, and
    whatever lies in it must not lead root anywhere else.

    Raises:
        AccountError: there is no such folder, or this user may not use it.
    """
    from edge_app.accounts.directory import Directory
    from edge_app.accounts.people import People
    from edge_app.accounts.people_file import PeopleFile

    folder: Path = args.state
    if not folder.is_dir():
        raise AccountError(
            f"There is no folder {folder}. It is made when the page starts (systemctl start "
            "edge-app); of `edge-app run` by hand it is STATE_DIR/page: name it with --state."
        )
    found = folder.stat()
    if os.geteuid() == 0 and found.st_uid != 0:
        People.model_rebuild()  # now: the other account may not be able to read the libraries
        with suppress(PermissionError):  # a container without that right
            os.setgroups([])
        os.setegid(found.st_gid)
        os.seteuid(found.st_uid)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise AccountError(f"This user may not use {folder}: run the command as root, with sudo.")
    return Directory.of(PeopleFile(folder))


EXAMPLES = {
    _first: "",
    _list_users: "",
    _add: " anna --role operator",
    _role: " anna engineer",
    _reset: " anna",
    _remove: " anna",
    _list_tokens: "",
    _add_token: " mes --scope viewer --days 365",
    _remove_token: " mes",
}
"""What stands behind each command in its --help."""
