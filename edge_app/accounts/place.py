"""Where a device keeps its people."""

from __future__ import annotations

from pathlib import Path

PEOPLE_FILE = "people.json"
SERVICE_FOLDER = Path("/var/lib/cropliq-edge-page")
"""Of the page's service; a page that is a child of `edge-app run` has STATE_DIR/page."""
BY_HAND = "page"


def people_folder(state_dir: Path) -> Path:
    """Return where a device keeps its people: in the service's folder where there is one."""
    return SERVICE_FOLDER if SERVICE_FOLDER.is_dir() else state_dir / BY_HAND
