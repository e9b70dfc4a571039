"""The page under attack: every alarm is delivered, and inspection holds no more than before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.brokers import free_port

from benchmarks.page_attack import Attack, compare, door_to, run, write_line
from edge_app.demo.broker import EmbeddedBroker

SMALL = Attack(idle=300, viewers=20, upgrades=4000, slow_bodies=10)
FULL = Attack()
LINES_A_MINUTE = 10

pytestmark = pytest.mark.needs("the extra demo")


def check(found: dict[str, Any]) -> None:
    """What holds under attack, whatever the machine's speed."""
    assert found["bad_parts"] > 0
    assert found["alerts_missing"] == 0
    assert found["seq_gaps"] == 0
    assert found["page_answers_after"]
    before, peak = found["before"], found["peak"]
    assert peak["descriptors"] <= before["descriptors"] + 6  # shared memory, files of evidence
    assert peak["threads"] <= before["threads"] + 1
    assert peak["private_mb"] <= before["private_mb"] + 16


@pytest.mark.parametrize("is_tls", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_small_attack_costs_inspection_nothing(tmp_path: Path, is_tls: bool) -> None:
    """300 idle connections, 20 viewers, upgrade requests and slow bodies for some seconds; over TLS
    half of the idle ones never shake hands."""
    port = free_port()
    with EmbeddedBroker() as broker:
        config = write_line(tmp_path, broker.port, port, is_tls)
        found = run(config, broker.port, door_to(port, is_tls), SMALL, 6.0)
    assert found["attack"]["idle connections"] >= 300
    assert found["attack"]["upgrade requests"] > 0
    check(found)


@pytest.mark.slow
def test_the_full_attack_costs_inspection_nothing() -> None:
    """1,100 idle connections, 120 viewers, 80,000 upgrade requests, 50 slow bodies, one minute;
    the log keeps to ten lines a minute and cause."""
    found = compare(FULL, 60.0)["attacked"]
    check(found)
    assert max(found["log_lines_a_minute"].values()) <= LINES_A_MINUTE
