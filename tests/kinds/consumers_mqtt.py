"""Consumers of what a broker hands on."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from registry import Consumer
from support.alert_drafts import WHO, draft
from support.deploy_pointers import pointer
from support.operator_commands import command, operator_keys

from deploy.cli.select import _answer
from deploy.fleet.state import Fleet
from deploy.watch.incoming import json_line, read_alert
from deploy.watch.table import row
from edge_app.agent.commands.rules import read_command
from edge_app.agent.pull.pointer_journal import parse_pointer
from edge_app.bundle.trusted_keys import TrustPolicy, load_trust
from edge_app.errors import CommandError, DataError, DownloadError
from edge_app.mqtt.command_messages import CommandAnswer
from edge_app.mqtt.deploy_messages import Reported
from edge_app.mqtt.messages import Alert
from edge_app.mqtt.timestamps import epoch_ns, rfc3339
from edge_app.mqtt.topics import Topics

TOPICS = Topics(WHO)
NOW = rfc3339(1_790_000_000_000_000_000)


def _good_alert() -> bytes:
    more = {"seq": 1, "session": 1, "replayed": False, "published_at": NOW}
    return Alert.model_validate(draft(1).model_dump() | more).payload()


def _take_alert(payload: bytes, _folder: Path) -> bool:
    try:
        alert = read_alert(TOPICS.alert("cam1"), payload)
    except DataError:
        return False
    assert row(alert).isprintable()
    assert json_line(payload).isprintable()
    return True


def _take_report(payload: bytes, _folder: Path) -> bool:
    from deploy.fleet.table import fleet_rows, fleet_table, trouble_lines

    fleet = Fleet()
    fleet.apply(TOPICS.reported("main"), payload)
    fleet_table(fleet_rows(fleet, epoch_ns(NOW)))
    assert all(line.isprintable() for line in trouble_lines(fleet))
    return fleet.unreadable == 0


def _take_pointer(payload: bytes, _folder: Path) -> bool:
    try:
        wish = parse_pointer(payload)
    except DownloadError:
        return False
    epoch_ns(wish.issued_at)
    return True


@lru_cache
def _operators() -> TrustPolicy:
    with TemporaryDirectory() as folder:
        return load_trust(operator_keys(Path(folder)))


def _take_command(payload: bytes, _folder: Path) -> bool:
    try:
        read_command(payload, _operators(), WHO, datetime.now(timezone.utc))
    except CommandError:
        return False
    return True


def _good_answer() -> bytes:
    return CommandAnswer(
        verb="select_product", is_done=True, text="done", command_sha256="ab" * 32, at=NOW
    ).payload()


def _take_answer(payload: bytes, _folder: Path) -> bool:
    return _answer(TOPICS.agent_answer, payload) is not None


CONSUMERS = (
    Consumer("deploy.watch.incoming:read_alert", _good_alert, _take_alert),
    Consumer(
        "deploy.fleet.state:_read",
        lambda: Reported(slot="main", state="shadow", sha256=None, at=NOW).payload(),
        _take_report,
    ),
    Consumer("deploy.cli.select:_answer", _good_answer, _take_answer),
    Consumer(
        "edge_app.agent.pull.pointer_journal:parse_pointer",
        lambda: pointer("https://station.plant/screws.bundle").payload(),
        _take_pointer,
    ),
    Consumer(
        "edge_app.agent.commands.rules:_parsed",
        lambda: command(WHO, "screws").payload(),
        _take_command,
    ),
    Consumer(
        "edge_app.mqtt.delivery:Delivery._body",
        tested_in="tests/edge_app/mqtt/test_publisher.py",
    ),
    Consumer(
        "edge_app.demo.subscriber:WatchProcess._read",
        tested_in="tests/deploy/watch/test_watch_poison.py",  # reads the lines that `watch` prints
    ),
)
