"""`edge-app limit | pause | resume`: orders to a running inspection, as root or its account."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.parser import real, set_examples, text, whole

if TYPE_CHECKING:
    from edge_app.config.model import AppConfig
    from edge_app.ipc.order_schema import AnyOrder, LimitState, OrderAnswer

EXIT_REFUSED = 1
MAX_WHY_CHARS = 500
RUN_SOCKET_FOLDER = "/run/cropliq-edge"
"""Of the service; one that is started by hand listens in its state folder."""

_threshold = real(-math.inf, math.inf, above=True, below=True)


def add_order_commands(commands: Any) -> None:
    """Add `limit`, `pause` and `resume` to edge-app's commands."""
    about = "show and change the limits that this device judges with"
    limit = commands.add_parser("limit", help=about, description=_sentence(about))
    steps = limit.add_subparsers(dest="step", required=True, metavar="STEP")
    shown = _command(steps, "show", "show each slot's limits", _show)
    set_examples(shown, "edge-app limit show --config edge-app.toml")
    changed = _command(steps, "set", "judge with other limits from the next part on", _set)
    _add_slot_and_why(changed)
    changed.add_argument(
        "--limit", type=_threshold, metavar="X", help="parts with this score or more are NG"
    )
    changed.add_argument(
        "--suspect", type=_threshold, metavar="X", help="OK parts from this score on are suspect"
    )
    changed.add_argument(
        "--map", type=_threshold, metavar="X", help="areas above it are outlined as defects"
    )
    changed.add_argument(
        "--bundle", type=text(64), metavar="SHA256",
        help="the bundle that is meant; another one refuses the order (default: what judges now)",
    )  # fmt: skip
    set_examples(
        changed,
        "edge-app limit set --config edge-app.toml --limit 0.62 --why scratches",
    )
    undone = _command(steps, "undo", "return to the limits before the last change", _undo)
    _add_slot_and_why(undone)
    set_examples(undone, "edge-app limit undo --config edge-app.toml --why rejects")
    pause = _command(commands, "pause", "inspect no parts for a while", _pause)
    pause.add_argument(
        "--minutes", type=whole(1, 480), required=True, metavar="N", help="ends by itself then"
    )
    _add_camera_and_why(pause)
    set_examples(pause, "edge-app pause --config edge-app.toml --minutes 20 --why cleaning")
    resume = _command(commands, "resume", "inspect again before a pause is over", _resume)
    _add_camera_and_why(resume)
    set_examples(resume, "edge-app resume --config edge-app.toml --why cleaned")


def _command(commands: Any, name: str, about: str, work: Any) -> Any:
    parser = commands.add_parser(name, help=about, description=_sentence(about))
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    parser.set_defaults(work=work)
    return parser


def _add_slot_and_why(parser: Any) -> None:
    parser.add_argument(
        "--slot", type=text(64), metavar="NAME", help="needed where there are several"
    )
    _add_why(parser)


def _add_camera_and_why(parser: Any) -> None:
    parser.add_argument(
        "--camera", type=text(64), metavar="NAME", help="only this one; all without it"
    )
    _add_why(parser)


def _add_why(parser: Any) -> None:
    parser.add_argument(
        "--why", type=text(MAX_WHY_CHARS), required=True, metavar="TEXT",
        help="the reason; it is recorded in the audit",
    )  # fmt: skip


def _show(args: argparse.Namespace) -> int:
    from edge_app.ipc.order_schema import ShowLimits

    config, common = common_of(args)
    answer = ask(config, ShowLimits(**common))
    for state in answer.limits:
        print(_limit_line(state))
    if not answer.limits:
        print("no slot has a bundle, so there are no limits.")
    return 0


def _limit_line(state: LimitState) -> str:
    suspect = "none" if state.suspect_threshold is None else f"{state.suspect_threshold:g}"
    own = (
        f"set here, {state.steps} change(s); the bundle's own is {state.bundle_score_threshold:g}"
        if state.steps
        else "the bundle's own"
    )
    return (
        f"{state.slot}: {state.product} serial {state.serial} {state.precision} "
        f"({state.sha256[:12]}): limit {state.score_threshold:g} [{state.threshold_id}], suspect "
        f"from {suspect}, map limit {state.map_threshold:g}; {own}"
    )


def _set(args: argparse.Namespace) -> int:
    from edge_app.ipc.order_schema import SetLimit

    config, common = common_of(args)
    slot = _slot(args, config)
    order = SetLimit(
        **common,
        slot=slot,
        score_threshold=args.limit,
        suspect_threshold=args.suspect,
        map_threshold=args.map,
        for_sha256=_digest(args) or _judging(config, common, slot),
        why=args.why,
    )
    return _give(config, order)


def _undo(args: argparse.Namespace) -> int:
    from edge_app.ipc.order_schema import UndoLimit

    config, common = common_of(args)
    return _give(config, UndoLimit(**common, slot=_slot(args, config), why=args.why))


def _pause(args: argparse.Namespace) -> int:
    from edge_app.ipc.order_schema import Pause

    config, common = common_of(args)
    order = Pause(**common, camera=args.camera or "", minutes=args.minutes, why=args.why)
    return _give(config, order)


def _resume(args: argparse.Namespace) -> int:
    from edge_app.ipc.order_schema import Resume

    config, common = common_of(args)
    return _give(config, Resume(**common, camera=args.camera or "", why=args.why))


def _give(config: AppConfig, order: AnyOrder) -> int:
    import sys

    answer = ask(config, order)
    print(answer.text, file=sys.stdout if answer.is_done else sys.stderr)
    return 0 if answer.is_done else EXIT_REFUSED


def ask(config: AppConfig, order: AnyOrder) -> OrderAnswer:
    """Return the answer of this device's inspection, wherever it listens."""
    from edge_app.errors import ConfigError
    from edge_app.ipc.order_client import ORDERS_SOCKET, OrderClient

    first = config.device.state_dir / ORDERS_SOCKET
    service = Path(RUN_SOCKET_FOLDER) / ORDERS_SOCKET
    if not first.exists() and service.exists():
        return OrderClient(service).send(order)
    try:
        return OrderClient(first).send(order)
    except ConfigError:
        if not service.exists():
            raise
        return OrderClient(service).send(order)


def common_of(args: argparse.Namespace) -> tuple[AppConfig, dict[str, Any]]:
    """Return the configuration and what every order needs: author, id, device."""
    import secrets
    import time

    from edge_app.config.load import load_config
    from edge_app.ipc.order_schema import Author
    from edge_app.mqtt.timestamps import uuid7

    config = load_config(args.config)
    who = config.device
    return config, {
        "author": Author(kind="root", name=login_name()),
        "order_id": uuid7(time.time_ns(), secrets.randbits),
        "device": f"{who.site}/{who.line}/{who.device}",
    }


def login_name() -> str:
    """Return who is at the console: whoever called sudo, else the account."""
    import os
    import pwd

    name = os.environ.get("SUDO_USER", "")
    if not name:
        try:
            name = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            name = f"uid {os.geteuid()}"
    return "".join(c for c in name if c.isprintable())[:64] or "root"


def _slot(args: argparse.Namespace, config: AppConfig) -> str:
    from edge_app.errors import ConfigError

    if args.slot is not None:
        return str(args.slot)
    if len(config.slot_names) > 1:
        raise ConfigError(f"Several slots: name one with --slot ({', '.join(config.slot_names)}).")
    return config.slot_names[0]


def _digest(args: argparse.Namespace) -> str:
    import re

    from edge_app.errors import ConfigError

    if args.bundle is not None and not re.fullmatch(r"[0-9a-f]{64}", args.bundle):
        raise ConfigError(
            f"--bundle {args.bundle!r} is no digest: expected 64 hexadecimal digits, as "
            "`edge-app slots` and `info` show them."
        )
    return args.bundle or ""


def _judging(config: AppConfig, common: dict[str, Any], slot: str) -> str:
    """Return the digest of what judges in a slot now."""
    from edge_app.errors import OrderError
    from edge_app.ipc.order_schema import ShowLimits

    answer = ask(config, ShowLimits(**common))
    for state in answer.limits:
        if state.slot == slot:
            return state.sha256
    known = ", ".join(state.slot for state in answer.limits) or "none"
    raise OrderError(f"Slot {slot!r} judges with no bundle; slots with one: {known}.")


def _sentence(about: str) -> str:
    return f"{about[0].upper()}{about[1:]}."
