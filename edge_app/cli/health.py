"""`edge-app health`: how the running device is, in the words of its page, and what to do."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.border import NO
from edge_app.cli.orders import ask, common_of
from edge_app.cli.parser import add_command

if TYPE_CHECKING:
    from edge_app.ipc.order_schema import HealthState

_STYLES = {"good": "green", "warn": "yellow", "bad": "bold red", "unknown": "dim"}
_NAMES = {"page": "inspection"}
"""Of subjects that are called otherwise on the page, where it speaks of its own connection."""


def add_health_command(commands: argparse._SubParsersAction[Any]) -> None:
    """Add `health` to edge-app's commands."""
    health = add_command(
        commands,
        "health",
        "say how the running device is, and what to do",
        "edge-app health --config edge-app.toml",
        "edge-app health --config edge-app.toml --json",
    )
    health.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    health.add_argument("--json", action="store_true", help="print the subjects as JSON")
    health.set_defaults(work=_health)


def _health(args: argparse.Namespace) -> int:
    """Return 0, or 1 where something is bad."""
    subjects = _asked(args)
    if args.json:
        print(json.dumps([s.model_dump() for s in subjects], indent=2, ensure_ascii=False))
    else:
        _print(subjects)
    return NO if any(subject.level == "bad" for subject in subjects) else 0


def _asked(args: argparse.Namespace) -> tuple[HealthState, ...]:
    """Return every subject; that of inspection alone where it does not answer."""
    from edge_app.device_state import page_health
    from edge_app.errors import ConfigError, OrderError
    from edge_app.ipc.order_schema import HealthState, ShowHealth

    config, common = common_of(args)
    try:
        answer = ask(config, ShowHealth(**common))
    except ConfigError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        return (HealthState.model_validate(page_health("not_running").as_json()),)
    except OrderError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        return (HealthState.model_validate(page_health("silent").as_json()),)
    if not answer.is_done or not answer.health:
        raise OrderError(f"Inspection does not say how the device is: {answer.text}")
    return answer.health


def _print(subjects: tuple[HealthState, ...]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("subject", "state", box=None, pad_edge=False)
    table.add_column("how it is, and what to do", overflow="fold")
    for subject in subjects:
        advice = f"\n→ {subject.what_to_do}" if subject.what_to_do else ""
        more = "".join(f"\n  {detail.text}" for detail in subject.details)
        name = _NAMES.get(subject.subject, subject.subject)
        style = _STYLES.get(subject.level, "bold")
        state = f"[{style}]{escape(subject.level)}[/]"
        table.add_row(escape(name), state, escape(subject.headline + advice + more))
    Console().print(table)
