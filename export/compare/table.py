"""table.md of a comparison: what report.html's table says, for a document.

    python -m export.compare.table FOLDER/compare.json

prints the table of a comparison that was made before.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from edge_app.records import JsonObject
from export.compare.report import HEADER, table_row


def write_table(record: JsonObject, folder: Path) -> None:
    """Write FOLDER/table.md.

    Args:
        record: what compare.json holds.
    """
    (folder / "table.md").write_text(markdown_table(record), encoding="utf-8")


def markdown_table(record: JsonObject) -> str:
    """Return the measured methods, the highest image AUROC first, and below them who has none."""
    measured = [row for row in record["methods"] if "failed" not in row]
    measured.sort(key=lambda row: -float(row["figures"]["image_auroc"]))
    lines = [HEADER, ["---"] * len(HEADER), *(table_row(row) for row in measured)]
    failed = [row for row in record["methods"] if "failed" in row]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + "".join(
        f"\n{row['method']}: no result. {row['failed']}\n" for row in failed
    )


if __name__ == "__main__":
    print(markdown_table(json.loads(Path(sys.argv[1]).read_text())), end="")
