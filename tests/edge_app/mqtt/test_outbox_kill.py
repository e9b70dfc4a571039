"""SIGKILL between any two statements: a part's alerts and its number are stored, or nothing is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.child_processes import SCRIPT_ENVIRONMENT

from edge_app.mqtt.outbox import Outbox

WRITER = Path(__file__).with_name("outbox_writer.py")
STATEMENTS = 100
"""More than two parts take, so that every place between two statements is hit."""


def test_a_kill_between_statements_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Both alerts of a part and its number are there or none of them; seq has no gaps."""
    path = tmp_path / "o.db"
    done = subprocess.run(
        [sys.executable, str(WRITER), str(path), str(STATEMENTS)],
        capture_output=True,
        timeout=120,
        env=SCRIPT_ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr.decode()
    reported = [int(line) for line in done.stdout.split()]
    outbox = Outbox(path, reserve_bytes=0)
    stored = outbox.next_batch(10_000)
    parts = [json.loads(alert.body)["source_number"] for alert in stored]
    last = outbox.last_finished("cam1")
    assert last is not None
    assert len(reported) > STATEMENTS // 2
    assert parts == [number for number in range(last + 1) for _ in range(2)]
    assert [alert.seq for alert in stored] == list(range(1, len(stored) + 1))
    assert set(reported) <= set(parts)
    assert outbox.session == STATEMENTS + 1
    assert [alert.seq for alert in outbox.next_batch(10_000)] == [alert.seq for alert in stored]
    evidence = [json.loads(alert.body)["evidence"] for alert in stored]
    assert evidence[::2] == evidence[1::2], "both alerts of a part have the picture, or neither"
    assert None in evidence
    assert any(evidence)
    outbox.close()
