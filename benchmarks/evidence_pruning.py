"""What evidence costs the frame loop: `inspect` for bad parts while expired pictures are deleted.

    python -m benchmarks.evidence_pruning [--rounds 10] [--expired 10000]

Two codes take turns, each round in a process of its own: release 0.1.0 (commit f7f7a26, from the
repository's history), where `inspect` encodes and writes the picture under the lock that pruning
holds, and the code of today. Each round fills a store, lets it expire at once, and judges one bad
part every 50 ms (the demo's bundle and simulated frames, every part NG by its threshold) from the
moment in which pruning begins; the same again with nothing to delete. `inspect` is timed alone, and
together with storing its two alerts in the outbox, which a bad part costs in both codes.

Not measured: SD cards and eMMC (a deletion takes longer there, and 0.1.0 waits for all of them),
pictures of real size (these have 20 kB, ten thousand of 300 kB would be 3 GB), a broker, several
cameras, and how long a picture itself takes until it is in its alert.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.end_to_end import BUNDLE

RELEASE = "f7f7a26"
ROOT = Path(__file__).parents[1]
SIDE = Path(__file__).with_name("evidence_pruning_side.py")
PERIOD_MS = 50.0


def main() -> None:
    """Run the rounds in turns and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--expired", type=int, default=10_000)
    parser.add_argument("--frames", type=int, default=20, help="bad parts per round")
    args = parser.parse_args()
    found: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="evidence-pruning-") as folder:
        old = Path(folder) / "release"
        unpack(old)
        for number in range(args.rounds):
            for expired in (args.expired, 0):
                for arm, code in (("before", old), ("after", ROOT)):
                    result = run(arm, code, Path(folder), expired, args.frames)
                    found[arm, expired].append(result)
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
    print(table(found))


def unpack(folder: Path) -> None:
    """Put the release's `edge_app` into a folder."""
    folder.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", RELEASE, "edge_app"], capture_output=True, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)


def run(arm: str, code: Path, folder: Path, expired: int, frames: int) -> dict[str, Any]:
    """Run one round of one arm in a process and a state folder of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as state:
        words = [arm, state, str(BUNDLE), str(expired), str(frames), str(PERIOD_MS)]
        done = subprocess.run(
            [sys.executable, str(SIDE), *words],
            env={**os.environ, "PYTHONPATH": str(code), "OMP_WAIT_POLICY": "PASSIVE"},
            stdout=subprocess.PIPE,
            check=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def table(found: dict[tuple[str, int], list[dict[str, Any]]]) -> str:
    """Return median, 99 % and maximum of every arm as Markdown."""
    lines = [
        "| Code | Expired pictures | Parts | `inspect`, ms: median / 99 % / max "
        "| with storing, ms | Deleting took, s |",
        "|---|---|---|---|---|---|",
    ]
    for (arm, expired), rounds in sorted(found.items(), key=lambda kv: (-kv[0][1], kv[0][0])):
        inspects = np.concatenate([r["inspect_ms"] for r in rounds])
        together = np.concatenate([r["with_deliver_ms"] for r in rounds])
        took = [r["pruned_s"] for r in rounds]
        pruning = f"{np.median(took):.2f} (max {max(took):.2f})" if expired else "–"
        lines.append(
            f"| {arm} | {expired:,} | {len(inspects)} | {_figures(inspects)} "
            f"| {_figures(together)} | {pruning} |"
        )
    return "\n".join(lines)


def _figures(values: np.ndarray) -> str:
    return f"{np.median(values):.1f} / {np.percentile(values, 99):.1f} / {values.max():.1f}"


if __name__ == "__main__":
    main()
