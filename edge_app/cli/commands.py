"""The commands of `edge-app` beside its services."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_app.cli.audit import add_audit_commands
from edge_app.cli.backup import add_backup_commands
from edge_app.cli.camera import add_camera_commands
from edge_app.cli.checks import add_check_commands
from edge_app.cli.demo import add_demo_command
from edge_app.cli.engine import add_engine_commands
from edge_app.cli.health import add_health_command
from edge_app.cli.history import add_history_commands
from edge_app.cli.inspect import add_inspect_command
from edge_app.cli.orders import add_order_commands
from edge_app.cli.parser import add_command
from edge_app.cli.shadow import add_shadow_command
from edge_app.cli.slots import add_slot_commands
from edge_app.cli.tls import add_tls_commands
from edge_app.cli.users import add_user_commands


def add_other_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add every command that is no service to `edge-app`."""
    add_slot_commands(commands)
    add_check_commands(commands)
    add_health_command(commands)
    add_inspect_command(
        add_command(commands, "inspect", "judge picture files, one part per picture")
    )
    add_demo_command(commands)
    add_camera_commands(commands)
    add_engine_commands(commands)
    add_history_commands(commands)
    add_shadow_command(commands)
    add_user_commands(commands)
    add_tls_commands(commands)
    add_audit_commands(commands)
    add_order_commands(commands)
    add_backup_commands(
        add_command(commands, "backup", "save configuration, keys and numbers in one file"),
        add_command(commands, "restore", "make this machine the device that a backup is of"),
    )
    report = add_command(
        commands,
        "report",
        "extract the build report from a bundle",
        "edge-app report --bundle part.bundle --out report.html",
    )
    report.add_argument("--bundle", type=Path, required=True, metavar="FILE", help="the bundle")
    report.add_argument(
        "--out", type=Path, required=True, metavar="FILE.html", help="the file to write"
    )
    report.set_defaults(work=_report)


def _report(args: argparse.Namespace) -> int:
    from edge_app.bundle.archive import read_bundle
    from edge_app.errors import BundleError

    files = read_bundle(args.bundle).files
    if "report.html" not in files:
        raise BundleError(f"Bundle {args.bundle} holds no report.html.")
    args.out.write_bytes(files["report.html"])
    print(args.out)
    return 0
