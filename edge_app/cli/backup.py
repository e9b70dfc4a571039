"""`edge-app backup` and `edge-app restore`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edge_app.cli.orders import login_name
from edge_app.cli.parser import set_examples

if TYPE_CHECKING:
    from edge_app.backup.archive import Listing
    from edge_app.backup.contents import Item
    from edge_app.backup.history import HistoryMark
    from edge_app.backup.restore import Change
    from edge_app.config.model import AppConfig

ATTEMPTS, PAUSE_S = 5, 0.2
PRIVATE_NOTE = "It holds private keys, passwords and tokens: keep it like a key."


def add_backup_commands(backup: argparse.ArgumentParser, restore: argparse.ArgumentParser) -> None:
    """Fill in the two sub-commands."""
    backup.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    backup.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the archive to write; a new file"
    )
    backup.add_argument(
        "--without-history", action="store_true", help="leave the history of parts out"
    )
    set_examples(
        backup,
        "edge-app backup --config /etc/cropliq-edge/edge-app.toml --out d3.backup",
        "edge-app backup --config edge-app.toml --out d3.backup --without-history",
    )
    backup.set_defaults(work=_backup)
    restore.add_argument("archive", type=Path, metavar="FILE", help="what `edge-app backup` wrote")
    restore.add_argument(
        "--into",
        type=Path,
        default=Path("/etc/cropliq-edge"),
        metavar="DIR",
        help="folder of the configuration (default: /etc/cropliq-edge)",
    )
    restore.add_argument(
        "--dry-run", action="store_true", help="check everything and show what would be done"
    )
    restore.add_argument(
        "--without-history",
        action="store_true",
        help="do not put the history of parts back",
    )
    set_examples(
        restore,
        "edge-app restore d3.backup --dry-run",
        "systemctl stop edge-app edge-app-agent && edge-app restore d3.backup",
    )
    restore.set_defaults(work=_restore)


def _backup(args: argparse.Namespace) -> int:
    from edge_app.backup.audits import copied_audit
    from edge_app.backup.contents import items_of
    from edge_app.backup.history import copied_history

    config, items = items_of(args.config, not args.without_history)
    folder = args.out.absolute().parent
    with copied_audit(items) as still, copied_history(still, folder) as (files, mark):
        listing = _written(args, config, files, mark)
    size_mb = args.out.stat().st_size / 1e6
    print(f"{args.out}: {len(items)} files of {listing.device}, {size_mb:.1f} MB. {PRIVATE_NOTE}")
    print(_about_history(listing, args.without_history))
    return 0


def _about_history(listing: Listing, is_left_out: bool) -> str:
    if listing.history is None:
        why = "as asked for" if is_left_out else "there is none"
        return f"The history of parts is not in it: {why}."
    size_mb = sum(e.length for e in listing.files if e.part == "history") / 1e6
    return f"The history of parts takes {size_mb:.1f} MB of it: {listing.history.parts:,} parts."


def _written(
    args: argparse.Namespace, config: AppConfig, items: list[Item], mark: HistoryMark
) -> Listing:
    """Write the archive; again where a file changed, as what follows the last record may."""
    from edge_app.backup.archive import ChangedMeanwhile

    for _ in range(ATTEMPTS - 1):
        try:
            return _write(args, config, items, mark)
        except ChangedMeanwhile:
            time.sleep(PAUSE_S)
    return _write(args, config, items, mark)


def _write(
    args: argparse.Namespace, config: AppConfig, items: list[Item], history: HistoryMark
) -> Listing:
    from datetime import datetime, timezone

    from edge_app import __version__
    from edge_app.audit.schema import AUDIT_FILE
    from edge_app.backup.archive import FORMAT, Listing, entry_of, write_archive
    from edge_app.backup.audits import head_of
    from edge_app.backup.contents import HISTORY
    from edge_app.mqtt.high_water import HighWater, read_high_water

    mark = read_high_water(config.device.state_dir / "outbox.sqlite.highwater") or HighWater()
    listing = Listing(
        format=FORMAT,
        device=f"{config.device.site}/{config.device.line}/{config.device.device}",
        config_name=args.config.name,
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        release=__version__,
        store_id=f"{mark.store_id:x}" if mark.store_id else "",
        highest_seq=mark.seq,
        audit_head=next((head_of(i.source) for i in items if i.source.name == AUDIT_FILE), ""),
        history=history if any(item.part == HISTORY for item in items) else None,
        files=tuple(entry_of(item) for item in items),
    )
    write_archive(args.out, listing, items)
    return listing


def _restore(args: argparse.Namespace) -> int:
    from edge_app.backup.archive import opened
    from edge_app.backup.restore import carry_out, plan_restore

    with opened(args.archive) as archive:
        listing = archive.listing
        plan = plan_restore(archive, args.into.absolute(), login_name(), not args.without_history)
        print(f"{listing.device}, backed up at {listing.made_at} by release {listing.release}")
        for change in plan.changes:
            print(f"  {change.what:8} {change.target}{_more(change)}")
        print(f"  numbers  of alerts begin anew, under another store_id ({plan.outbox})")
        if args.dry_run:
            print("Everything was checked; nothing was changed (--dry-run).")
            return 0
        carry_out(plan, archive)
    print(_after(plan.config.agent.enabled))
    return 0


def _more(change: Change) -> str:
    size = f" ({change.entry.length / 1e6:.1f} MB)" if change.entry.part == "history" else ""
    kept = f" (the present one is kept as {change.kept.name})" if change.kept else ""
    return size + kept


def _after(has_agent: bool) -> str:
    push = (
        " Bundles of the agent's store are not in a backup: push them again." if has_agent else ""
    )
    return (
        "Restored. The device that this backup is of must not run any more: two with one name "
        f"fight for the broker.{push}"
    )
