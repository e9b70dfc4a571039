"""How soon the Line view is painted on a slow tablet: `python -m benchmarks.page_paint`.

A real line on a simulated camera; Chromium's CPU is throttled six times, as of a five-year-old
tablet. Each round opens the page in a browser that has nothing of it yet, and reads the browser's
own times.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support.chromium import browser
from support.shown_line import ShownLine, shown_line

ROUNDS = 5
THROTTLE = 6
TABLET_HW = (768, 1024)
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SHOWN = "document.body?.dataset.now && performance.now()"


def round_of(line: ShownLine, folder: Path) -> dict[str, float]:
    """Return ms until the first paint and until the line's state is shown."""
    with browser("chromium", folder) as tablet:
        tablet.open("about:blank", TABLET_HW)
        tablet.call("Emulation.setCPUThrottlingRate", rate=THROTTLE)
        tablet.call("Page.navigate", url=f"{line.url}/")
        painted = float(tablet.wait_for(PAINTED))
        shown = float(tablet.wait_for(SHOWN))
        size = tablet.run(
            "performance.getEntriesByType('resource').filter(e => e.name.includes('/static/'))"
            ".reduce((sum, e) => sum + e.transferSize, 0)"
        )
    return {"first_paint_ms": painted, "state_shown_ms": shown, "loaded_bytes": float(size)}


def main() -> None:
    with tempfile.TemporaryDirectory() as place, shown_line(Path(place) / "line") as line:
        rounds = [round_of(line, Path(place) / f"profile-{n}") for n in range(ROUNDS)]
    for name in rounds[0]:
        values = [found[name] for found in rounds]
        print(json.dumps({name: statistics.median(values), "worst": max(values)}))


if __name__ == "__main__":
    main()
