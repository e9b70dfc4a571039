"""What parts can be chosen by: cameras and defect classes that the history knows."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from edge_app.history.schema import open_for_reading

MOST = 200
"""Names of each kind; a device has a handful."""

# Each step jumps to the next class in the index, so that a million bad parts cost no more than ten.
_CLASSES = f"""
WITH RECURSIVE known(class, n) AS (
    SELECT min(class), 1 FROM part_classes
    UNION ALL
    SELECT (SELECT min(class) FROM part_classes WHERE class > known.class), n + 1
    FROM known WHERE class IS NOT NULL AND n < {MOST}
)
SELECT class FROM known WHERE class IS NOT NULL
"""


def choices(path: Path) -> tuple[list[str], list[str]]:
    """Return cameras and defect classes, sorted.

    Raises:
        HistoryError: there is no history, or it cannot be read.
    """
    with closing(open_for_reading(path)) as connection:
        cameras = connection.execute(f"SELECT name FROM cameras ORDER BY name LIMIT {MOST}")
        names = [str(row[0]) for row in cameras]
        return names, [str(row[0]) for row in connection.execute(_CLASSES)]
