"""docs/attacks.md names tests that exist, and leaves no altered bundle out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from support.bundle_tampering import TABLE

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| (?P<what>.+?) \| `(?P<test>.+::.+)` \|$", re.MULTILINE)


def test_every_attack_in_the_document_is_a_test() -> None:
    """Each row's test is one that pytest collects; every alteration of a bundle has its row."""
    rows = {m["what"]: f"tests/{m['test']}" for m in ROW.finditer(_document())}
    files = sorted({test.partition("::")[0] for test in rows.values()})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider",
               "--override-ini=addopts=-q", *files]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=230, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    collected = {line for line in done.stdout.splitlines() if "::" in line}
    collected |= {line.partition("[")[0] for line in collected}
    assert sorted(set(rows.values()) - collected) == []
    assert set(TABLE) <= set(rows)
    assert len(set(rows.values())) == len(rows) >= 40


def _document() -> str:
    return (ROOT / "docs" / "attacks.md").read_text(encoding="utf-8")
