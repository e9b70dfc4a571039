"""Makes the pictures of the Line view in docs/images: `python -m support.line_pictures FOLDER`,
from tests/. Real inspection of the demo's model on simulated cameras; look at each afterwards."""

from __future__ import annotations

import base64
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_app.shown_state import CameraFacts, shown_state
from support.chromium import Browser, browser
from support.shown_line import ShownLine, settle_all, shown_line, triggered, waiting

SIZES_HW = {"desktop": (800, 1280), "tablet": (768, 1024), "phone": (844, 390)}
MOST_BYTES = 200_000
NOW = "document.body?.dataset.now"
SETTLE_S = 1.5
AT_REST = "!document.querySelector('#settle:not([hidden]) button:disabled')"
"""The buttons of a bad part may be touched: no other part has just come or gone."""


class Pictures:
    """Takes pictures of a page and keeps them below 200 kB each."""

    def __init__(self, seen: Browser, folder: Path) -> None:
        self.seen, self._folder = seen, folder

    def go(self, url: str, size: str = "tablet") -> None:
        self.seen.open(url, SIZES_HW[size])

    def take(self, name: str, *sizes: str) -> None:
        for size in sizes or ("tablet",):
            h, w = SIZES_HW[size]
            self.seen.call(
                "Emulation.setDeviceMetricsOverride", width=w, height=h,
                deviceScaleFactor=1.5 if size == "phone" else 1, mobile=size != "desktop",
            )  # fmt: skip
            time.sleep(SETTLE_S)
            self.seen.wait_for(AT_REST)
            target = self._folder / f"line_{name}_{size}.jpg"
            data = self.seen.call("Page.captureScreenshot", format="jpeg", quality=82)["data"]
            target.write_bytes(base64.b64decode(data))
            assert target.stat().st_size < MOST_BYTES, target
            print(target)

    def wait(self, script: str) -> None:
        self.seen.wait_for(script)
        time.sleep(SETTLE_S)


def of_one_camera(pictures: Pictures, line: ShownLine) -> None:
    """A bad part that waits, all well, a wall screen, Korean, what can be wrong."""
    operator = line.client("operator")
    pictures.go(f"{line.url}/?lang=en")
    line.waits_for(lambda client: waiting(client)["waiting"] > 1)
    pictures.wait("!!document.querySelector('.evidence-svg')")
    pictures.take("take_out", "desktop", "tablet", "phone")
    _until(lambda: settle_all(operator) == 0)
    pictures.wait(f"{NOW} === 'OK'")
    pictures.take("ok", "desktop", "tablet", "phone")
    pictures.go(f"{line.url}/?wall=1&lang=en", "desktop")
    _until(lambda: settle_all(operator) == 0)
    pictures.wait(f"{NOW} === 'OK'")
    pictures.take("wall_ok", "desktop")
    line.waits_for(lambda client: waiting(client)["waiting"] > 0)
    pictures.wait(f"{NOW} === 'NG'")
    pictures.take("wall_take_out", "desktop")
    pictures.go(f"{line.url}/?lang=ko")
    line.waits_for(lambda client: waiting(client)["waiting"] > 0)
    pictures.wait("!!document.querySelector('.evidence-svg')")
    pictures.take("korean")
    pictures.go(f"{line.url}/?lang=en")
    health = {"outbox": {"reserve_released": True}}
    line.say(health=health)
    _until(lambda: settle_all(operator) == 0)
    pictures.wait("document.querySelector('#notes')?.textContent.includes('disk is full')")
    pictures.take("disk_full")
    line.say()
    update = "bundle demo-tapered serial 4 is being compared with the active one"
    line.source.told.cameras["belt"] = shown_state(CameraFacts("capturing", update=update))
    pictures.wait("document.querySelector('.camera-why')?.textContent.includes('serial 4')")
    _until(lambda: settle_all(operator) == 0)
    pictures.take("update")
    line.live.stop()
    pictures.wait("document.body.classList.contains('is-lost')")
    pictures.take("no_contact")


def of_four_cameras(pictures: Pictures, line: ShownLine) -> None:
    """One that never came up; a broker that is gone."""
    pictures.go(f"{line.url}/?lang=en")
    pictures.wait("document.querySelector('#which')?.textContent.includes('exit')")
    pictures.wait("document.querySelectorAll('.camera[data-verdict=OK]').length === 3")
    pictures.take("four_cameras", "tablet", "desktop")


def of_a_belt(pictures: Pictures, line: ShownLine) -> None:
    """Parts are gone by the time: a list with ages."""
    pictures.go(f"{line.url}/?lang=en")
    line.waits_for(lambda client: waiting(client)["waiting"] > 2)
    pictures.wait("document.querySelectorAll('#queue-list li').length > 2")
    pictures.take("list")


def of_a_pause(pictures: Pictures, line: ShownLine) -> None:
    """Paused while bad parts still wait to be taken out."""
    operator = line.client("operator")
    pictures.go(f"{line.url}/?lang=en")
    line.waits_for(lambda client: waiting(client)["waiting"] > 1)
    pictures.wait("!!document.querySelector('.evidence-svg')")
    body = {"minutes": 30, "why": "the lens is cleaned"}
    assert operator.post("/api/v1/pause", json=body).status_code == 200
    pictures.wait("document.querySelector('#todo')?.textContent.includes('not inspected')")
    pictures.take("paused")


def of_a_part_not_inspected(pictures: Pictures, line: ShownLine) -> None:
    """Pictures that cannot be ones of the part: amber, with the picture."""
    pictures.go(f"{line.url}/?lang=en")
    pictures.wait(f"{NOW} === 'NOT_INSPECTED' && !!document.querySelector('.evidence-svg')")
    pictures.take("not_inspected")


def write_foggy_pictures(folder: Path) -> None:
    """Write pictures as of a lens with oil on it."""
    folder.mkdir(parents=True)
    for number in range(3):
        noise = np.random.default_rng(number).integers(60, 150, (1024, 1280), dtype=np.uint8)
        fog = cv2.GaussianBlur(noise, (0, 0), 40)
        stretched = cv2.normalize(fog, np.empty_like(fog), 50, 170, cv2.NORM_MINMAX)
        cv2.imwrite(str(folder / f"{number}.png"), stretched)


def _until(done: Callable[[], bool], timeout_s: float = 20.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not done() and time.monotonic() < end_s:
        time.sleep(0.2)


Station = tuple[Callable[[Pictures, ShownLine], None], Mapping[str, str], Mapping[str, Any]]
STATIONS: dict[str, Station] = {
    "one": (of_one_camera, {"belt": triggered(0.8, bad=0.15)}, {}),
    "four": (
        of_four_cameras,
        {
            "entry": triggered(0.3, 44, 0.0), "left": triggered(0.3, 45, 0.0),
            "right": triggered(0.3, 46, 0.0), "exit": "rtsp://127.0.0.1:9/stream",
        },
        {"mqtt": {"host": "127.0.0.1", "port": 1}},
    ),
    "belt": (of_a_belt, {"belt": triggered(1.0, bad=0.4)}, {"page": {"bad_parts": "list"}}),
    "pause": (of_a_pause, {"belt": triggered(0.5, bad=0.4)}, {}),
    "fog": (of_a_part_not_inspected, {"belt": "folder:fog?loop=1&interval_s=9"}, {}),
}  # fmt: skip


def main(arguments: list[str]) -> None:
    folder, names = Path(arguments[0]), arguments[1:] or list(STATIONS)
    for name in names:
        work, cameras, more = STATIONS[name]
        with tempfile.TemporaryDirectory() as place:
            write_foggy_pictures(Path(place) / "line" / "fog")
            _make(Path(place), work, cameras, more, folder)


def _make(
    place: Path,
    work: Callable[[Pictures, ShownLine], None],
    cameras: Mapping[str, str],
    more: Mapping[str, Any],
    folder: Path,
) -> None:
    with (
        shown_line(place / "line", cameras, **more) as line,
        browser("chromium", place / "profile") as seen,
    ):
        work(Pictures(seen, folder), line)


if __name__ == "__main__":
    main(sys.argv[1:])
