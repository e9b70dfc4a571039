"""Fills a small disk while alerts are appended; run by test_outbox_disk.py on an 8 MiB tmpfs.

Usage: full_disk.py FOLDER. Prints one JSON object.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from support.alert_drafts import draft

from edge_app.errors import OutboxError
from edge_app.mqtt.outbox import Outbox

RESERVE_BYTES = 1 << 20


def main(folder: Path) -> None:
    """Append until the reserve is released and used up, free space, append again."""
    outbox = Outbox(folder / "outbox.db", reserve_bytes=RESERVE_BYTES)
    stored = outbox.append([draft(0)], "cam1", 0)
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * (shutil.disk_usage(folder).free - 4096))
    number, released_at, refusal = 1, 0, ""
    while not refusal:
        try:
            stored += outbox.append([draft(number)], "cam1", number)
        except OutboxError as error:
            refusal = str(error)
            break
        if outbox.health().reserve_released and not released_at:
            released_at = number
        number += 1
    last_finished = outbox.last_finished("cam1")
    ballast.unlink()
    stored += outbox.append([draft(number)], "cam1", number)
    outbox.delete(stored[0])
    print(
        json.dumps(
            {
                "released_at": released_at,
                "refused_at": number,
                "refusal": refusal,
                "last_finished_when_refused": last_finished,
                "stored": stored,
                "kept": [alert.seq for alert in outbox.next_batch(100_000)],
                "is_reserve_back": not outbox.health().reserve_released,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
