"""`edge-app check-config | doctor | example-config`: before a line starts."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.border import NO, WRONG
from edge_app.cli.parser import add_command
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.config.model import AppConfig
    from edge_app.doctor.checks import Check


def add_check_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the three commands to `edge-app`."""
    check = add_command(
        commands,
        "check-config",
        "report every mistake in a configuration, and what it needs and this machine lacks",
        "edge-app check-config edge-app.toml",
        "edge-app check-config edge-app.toml --json",
    )
    check.add_argument("config", type=Path, metavar="FILE", help="the configuration, TOML")
    check.add_argument("--json", action="store_true", help="print the checks as JSON")
    check.set_defaults(work=_check_config)

    example = add_command(
        commands,
        "example-config",
        "print an example configuration with comments",
        "edge-app example-config > edge-app.toml",
    )
    example.set_defaults(work=_example_config)

    doctor = add_command(
        commands,
        "doctor",
        "check what this machine has and what is missing",
        "edge-app doctor --config edge-app.toml",
    )
    doctor.add_argument(
        "--config", type=Path, metavar="FILE", help="also check what this configuration needs"
    )
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(work=_doctor)


def _check_config(args: argparse.Namespace) -> int:
    """Return 0 where `edge-app run` would start and inspect, 2 where it would not."""
    from rich.console import Console

    from edge_app.doctor.run import check_configured, format_json, has_failed, print_table

    config, read = _read(args.config)
    checks = [read] if config is None else [read, *check_configured(config)]
    worth_saying = [check for check in checks if check.state in ("warning", "fail")]
    if args.json:
        print(format_json(checks))
    elif config is None:
        raise ConfigError(read.detail)
    elif worth_saying:
        print_table(worth_saying, Console(stderr=True))
    if has_failed(checks):
        return WRONG
    if not args.json and config is not None:
        names = ", ".join(c.name for c in config.cameras)
        broker = f"{config.mqtt.host}:{config.mqtt.port}"
        print(f"{args.config} is fine: cameras {names}, broker {broker}.")
    return 0


def _read(file: Path) -> tuple[AppConfig | None, Check]:
    """Return a configuration, None where it cannot be used, and what is to be said of it."""
    from edge_app.config.load import load_config
    from edge_app.doctor.checks import Check

    try:
        return load_config(file), Check("configuration", "ok", f"{file} has no mistake in itself.")
    except ConfigError as error:
        advice = "Correct it; `edge-app example-config` explains every key."
        return None, Check("configuration", "fail", str(error), advice)


def _example_config(_args: argparse.Namespace) -> int:
    from edge_app.config.load import example_config_text

    print(example_config_text(), end="")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    """Return 0, 1 where something will not work, or 2 where the configuration cannot be used."""
    from edge_app.doctor.run import format_json, has_failed, print_table, run_doctor

    config, read = (None, None) if args.config is None else _read(args.config)
    if read is not None and config is None and not args.json:
        raise ConfigError(read.detail)
    checks = [*([] if read is None else [read]), *run_doctor(config)]
    if args.json:
        print(format_json(checks))
    else:
        print_table(checks)
    if read is not None and config is None:
        return WRONG
    return NO if has_failed(checks) else 0
