"""`edge-app history report`: a shift, a day or a week on one page to read and to print."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_app.cli.parser import set_examples, text
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from datetime import tzinfo

    from edge_app.report.period import Period
    from edge_app.shifts import Shifts

LANGUAGES = ("en", "ko")


def add_report_command(steps: Any) -> None:
    """Add `report` to the sub-commands of `history`."""
    about = "write a shift's, day's or week's report as HTML, to read and to print"
    report = steps.add_parser("report", help=about, description=f"{about[0].upper()}{about[1:]}.")
    report.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML"
    )
    when = report.add_mutually_exclusive_group()
    when.add_argument(
        "--day", type=text(40), metavar="DAY", help="a day, e.g. 2026-11-29 (default: yesterday)"
    )
    when.add_argument("--week", type=text(40), metavar="WEEK", help="an ISO week, e.g. 2026-W48")
    when.add_argument(
        "--from", dest="begin", type=text(40), metavar="TIME",
        help="from this date or time on; with --to",
    )  # fmt: skip
    report.add_argument("--to", dest="end", type=text(40), metavar="TIME", help="up to this one")
    report.add_argument(
        "--shift", type=text(40), metavar="HH:MM",
        help="only the shift of [page] shifts that begins then, or HH:MM-HH:MM; one over midnight "
        "begins on the day",
    )  # fmt: skip
    report.add_argument(
        "--zone", type=text(64), metavar="ZONE",
        help="the plant's time zone, e.g. Europe/Vienna (default: this machine's)",
    )  # fmt: skip
    report.add_argument("--camera", type=text(64), metavar="NAME", help="only this camera's parts")
    report.add_argument(
        "--language", choices=LANGUAGES, default="en", help="of the report (default: en)"
    )
    report.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the HTML file; it is replaced"
    )
    set_examples(
        report,
        "edge-app history report --config edge-app.toml --out yesterday.html",
        "edge-app history report --config edge-app.toml --week 2026-W48 --out week48.html",
        "edge-app history report --config edge-app.toml --day 2026-11-29 --shift 22:00-06:00 "
        "--zone Asia/Seoul --language ko --out night.html",
    )
    report.set_defaults(work=_report)


def _report(args: argparse.Namespace) -> int:
    from edge_app.config.load import load_config
    from edge_app.history.schema import HISTORY_FILE
    from edge_app.report.figures import figures_of
    from edge_app.report.html import report_html
    from edge_app.report.period import zone_of
    from edge_app.shifts import Shifts
    from edge_app.store.output_file import check_replaceable, put_in_place

    zone = zone_of(args.zone)
    check_replaceable(args.out)
    config = load_config(args.config)
    period = _period(args, zone, Shifts.of(config.page.shifts))
    if args.camera is not None and all(c.name != args.camera for c in config.cameras):
        names = ", ".join(c.name for c in config.cameras)
        raise ConfigError(f"no camera is called {args.camera!r}. Expected one of: {names}.")
    shows_names = config.people.names_in_statistics
    history = config.device.state_dir / HISTORY_FILE
    found = figures_of(history, period, args.camera, shows_names)
    device = f"{config.device.site}/{config.device.line}/{config.device.device}"
    page = report_html(found, period, device, datetime.now(zone), args.language, args.camera)
    partial = args.out.with_name(f".{args.out.name}.part")
    try:
        partial.write_text(page, encoding="utf-8")
        put_in_place(partial, args.out)
    finally:
        partial.unlink(missing_ok=True)
    total = found.total
    print(
        f"{args.out}: {total.inspected} parts inspected, {total.ng} bad, {total.not_inspected} "
        f"not inspected ({period.title})"
    )
    return 0


def _period(args: argparse.Namespace, zone: tzinfo, shifts: Shifts) -> Period:
    from edge_app.report.period import between, date_of, day_of, moment, shift_of, week_of

    if args.shift is not None and (args.week or args.begin):
        raise ConfigError("--shift is of a day: give --day, or nothing, which means yesterday.")
    if args.end is not None and args.begin is None:
        raise ConfigError("--to goes with --from: when does the report begin?")
    if args.week is not None:
        return week_of(args.week, zone)
    if args.begin is not None:
        end = datetime.now(zone) if args.end is None else moment(args.end, zone)
        return between(moment(args.begin, zone), end)
    day = datetime.now(zone).date() - timedelta(days=1) if args.day is None else date_of(args.day)
    return day_of(day, zone) if args.shift is None else shift_of(day, args.shift, zone, shifts)
