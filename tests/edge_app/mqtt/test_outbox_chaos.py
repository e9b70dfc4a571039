"""The short form of benchmarks/outbox_chaos.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.needs("mosquitto")
@pytest.mark.parametrize(
    ("parts", "faults"), [(100, 1), pytest.param(250, 2, marks=pytest.mark.slow)]
)
def test_kills_and_broker_restarts_lose_no_part_and_keep_the_order(parts: int, faults: int) -> None:
    """Every numbered part is told, first occurrences in order, no seq missing."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.outbox_chaos", "--parts", str(parts),
         "--kills", str(faults), "--restarts", str(faults)],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=220,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["parts_told"], figures["kills"], figures["faults"]) == (
        parts,
        faults,
        2 * faults,
    )
