"""A browser in which a person is logged in, for tests of views; their pictures for the docs.

With EDGE_APP_SCREENSHOTS=FOLDER each `seen` writes pictures there, to be looked at.
"""

from __future__ import annotations

import base64
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
from support.chromium import Browser
from support.shown_line import ShownLine

LISTENS = """
window.faults = [];
addEventListener("securitypolicyviolation", (e) => faults.push(`csp ${e.violatedDirective}`));
addEventListener("unhandledrejection", (e) => faults.push(String(e.reason)));
addEventListener("error", (e) => { if (e.message) faults.push(e.message); });
"""
"""What a page's script does wrong, and what the content security policy forbids it."""

SIZES_WH = {"desktop": (1280, 800), "tablet": (1024, 768), "phone": (390, 844)}


def open_view(
    view: Browser, line: ShownLine, path: str, client: httpx.Client | None = None
) -> None:
    """Open a view on a desktop as who a client is logged in as."""
    open_url(view, line.url + path, dict(client.cookies) if client else {})


def open_url(view: Browser, url: str, cookies: Mapping[str, str] | None = None) -> None:
    """Open an address on a desktop, with these cookies and no others."""
    view.open("about:blank", (800, 1280))
    size(view, "desktop")
    view.call("Page.enable")
    view.call("Page.addScriptToEvaluateOnNewDocument", source=LISTENS)
    view.call("Network.enable")
    view.call("Network.clearBrowserCookies")
    for name, value in (cookies or {}).items():
        view.call("Network.setCookie", name=name, value=value, url=url)
    view.call("Page.navigate", url=url)
    view.wait_for("document.readyState === 'complete'")


def size(view: Browser, name: str) -> None:
    """Make the window that of a device."""
    width, height = SIZES_WH[name]
    is_touched = name != "desktop"
    view.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
              deviceScaleFactor=1, mobile=is_touched)  # fmt: skip
    view.call("Emulation.setTouchEmulationEnabled", enabled=is_touched)


def press(view: Browser, *keys: str) -> None:
    """Press keys one after another."""
    for key in keys:
        text = key if len(key) == 1 else ""
        view.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        view.call("Input.dispatchKeyEvent", type="keyUp", key=key)


def draw_ring(view: Browser, css: str, radius_px: float = 40) -> None:
    """Draw around the middle of an element with a finger."""
    box = view.run(
        f"(() => {{ const b = document.querySelector({css!r}).getBoundingClientRect();"
        "return {x: b.x + b.width / 2, y: b.y + b.height / 2}; })()"
    )
    points = [
        {"x": box["x"] + radius_px * math.cos(n / 40), "y": box["y"] + radius_px * math.sin(n / 40)}
        for n in range(250)
    ]
    view.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[points[0]])
    for point in points[1:]:
        view.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=[point])
    view.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


def text(view: Browser, css: str) -> str:
    """Return an element's text."""
    found: str = view.run(f"document.querySelector({css!r}).textContent")
    return found


def fits(view: Browser) -> bool:
    """Tell whether nothing is wider than the window."""
    found: bool = view.run("document.documentElement.scrollWidth <= innerWidth")
    return found


def seen(view: Browser, name: str) -> None:
    """Hold that the view fits every device's window and that no script of it has failed, and take
    its pictures if they are wanted."""
    assert view.run("faults") == [], name
    folder = os.environ.get("EDGE_APP_SCREENSHOTS")
    for device in SIZES_WH:
        size(view, device)
        time.sleep(0.3)  # it is laid out anew
        assert fits(view), f"{name} is wider than a {device}"
        if folder:
            view.run("scrollTo(0, 0)")
            made = view.call("Page.captureScreenshot", format="jpeg", quality=82)["data"]
            (Path(folder) / f"page_{name}_{device}.jpg").write_bytes(base64.b64decode(made))
    size(view, "desktop")
