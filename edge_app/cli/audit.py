"""`edge-app audit`: who changed what on this device, and whether the record is whole."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.parser import set_examples, text, whole

if TYPE_CHECKING:
    from edge_app.audit.verify import NamedHead

EXIT_CHANGED = 1
MAX_VALUE_CHARS = 120
MOST_TEXT_BYTES = 64 << 20
"""Of a journal or retained messages in which heads are looked for."""


def add_audit_commands(commands: Any) -> None:
    """Add `audit` and its sub-commands to edge-app's commands."""
    about = "list, check and export who changed what on this device"
    audit = commands.add_parser("audit", help=about, description=_sentence(about))
    steps = audit.add_subparsers(dest="step", required=True, metavar="STEP")
    listed = _step(steps, "list", "show the latest records, the newest first", _list)
    listed.add_argument(
        "--count", type=whole(1, 100_000), default=20, metavar="N", help="records (default: 20)"
    )
    listed.add_argument("--event", type=text(40), metavar="E", help="only of this kind, e.g. limit")
    set_examples(listed, "edge-app audit list --config edge-app.toml --event limit")
    checked = _step(steps, "verify", "check that no record was changed (1 if one was)", _verify)
    checked.add_argument(
        "--head", action="append", type=_head, metavar="HASH:COUNT",
        help="a head that was kept elsewhere, e.g. from `info` over MQTT; may be repeated",
    )  # fmt: skip
    checked.add_argument(
        "--heads", type=Path, metavar="FILE",
        help="a text with heads in it, such as the journal; - for standard input",
    )  # fmt: skip
    set_examples(
        checked,
        "edge-app audit verify --config edge-app.toml --heads journal.txt",
    )
    exported = _step(steps, "export", "write every record as JSON lines, the oldest first", _export)
    exported.add_argument(
        "--jsonl", type=Path, required=True, metavar="FILE", help="a new file; - for the terminal"
    )
    set_examples(exported, "edge-app audit export --config edge-app.toml --jsonl audit.jsonl")


def _step(steps: Any, name: str, about: str, work: Any) -> Any:
    parser = steps.add_parser(name, help=about, description=_sentence(about))
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    parser.set_defaults(work=work)
    return parser


def _head(word: str) -> Any:
    from edge_app.audit.records import HEAD, heads_in

    if HEAD.fullmatch(word) is None:
        raise argparse.ArgumentTypeError(
            f"expected HASH:COUNT, 64 hexadecimal digits and a number, got {word[:80]!r}"
        )
    return heads_in(word)[0]


def _list(args: argparse.Namespace) -> int:
    from edge_app.audit.reader import latest
    from edge_app.host.plain_text import one_line

    found = latest(_path(args), args.count, event=args.event or "")
    for record in found:
        print(one_line(_line(record)))
    if not found:
        print("there is no such record.")
    return 0


def _line(record: dict[str, Any]) -> str:
    author = record["author"]
    who = f"{author['kind']} {author['name']}" + (f" ({author['role']})" if author["role"] else "")
    clock = "" if record.get("clock_synchronised") else " (clock not synchronised)"
    what = f"{record['event']} {record.get('subject', '')}".rstrip()
    values = f"{_short(record.get('old'))} → {_short(record.get('new'))}"
    why = f": {record['why']}" if record.get("why") else ""
    at = str(record["at"])[:19]
    return f"{record['seq']:>6}  {at}Z{clock}  {what}  by {who}  {values}{why}"


def _short(value: Any) -> str:
    if value is None:
        return "-"
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= MAX_VALUE_CHARS else f"{shown[:MAX_VALUE_CHARS]}…"


def _verify(args: argparse.Namespace) -> int:
    from edge_app.audit.verify import verify
    from edge_app.host.plain_text import one_line

    path = _path(args)
    found = verify(path, list(_kept_heads(args, path)))
    for finding in found.findings:
        print(one_line(finding))
    print(f"{path}: {'whole' if found.is_whole else 'CHANGED'}, head {found.head}")
    if not args.head and args.heads is None:
        print(
            "Compared with the copy on this device only. One who can write both files could have "
            "made the chain anew: give a head that was kept elsewhere (--head, --heads)."
        )
    else:
        print(f"Compared with {found.compared} heads that were kept.")
    return 0 if found.is_whole else EXIT_CHANGED


def _kept_heads(args: argparse.Namespace, path: Path) -> Iterator[NamedHead]:
    from edge_app.audit.head_copy import read_head
    from edge_app.audit.records import heads_in
    from edge_app.audit.verify import NamedHead
    from edge_app.errors import ConfigError

    own = read_head(path)
    if own is not None:
        yield NamedHead(own, "the copy beside it")
    for head in args.head or ():
        yield NamedHead(head, "the given head")
    if args.heads is None:
        return
    found = sorted(set(heads_in(_text(args.heads))), key=lambda head: head.count)
    if not found:
        raise ConfigError(
            f"{args.heads} holds no head. Expected a text with HASH:COUNT in it, such as the "
            "journal of edge-app or its `info` messages."
        )
    for head in found:
        yield NamedHead(head, str(args.heads))


def _text(path: Path) -> str:
    from edge_app.errors import ConfigError
    from edge_app.host.small_file import read_small_text

    if str(path) == "-":
        return sys.stdin.read(MOST_TEXT_BYTES)
    try:
        return read_small_text(path, MOST_TEXT_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error


def _export(args: argparse.Namespace) -> int:
    from edge_app.audit.reader import every_record
    from edge_app.cli.history import opened_for_export

    count = 0
    with opened_for_export(args.jsonl) as file:
        for record in every_record(_path(args)):
            file.write(json.dumps(record, allow_nan=False) + "\n")
            count += 1
    print(f"{count} records", file=sys.stderr)
    return 0


def _path(args: argparse.Namespace) -> Path:
    from edge_app.audit.schema import AUDIT_FILE
    from edge_app.config.load import load_config

    return load_config(args.config).device.state_dir / AUDIT_FILE


def _sentence(about: str) -> str:
    return f"{about[0].upper()}{about[1:]}."
