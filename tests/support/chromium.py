"""A Chromium that a test can touch: its DevTools protocol over a pair of pipes, nothing else."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PHONE_HW = (844, 390)


_TOUCHABLE = """
(() => {
  const found = FIND;
  if (!found || !found.checkVisibility() || found.disabled) return null;
  found.scrollIntoView({ block: 'center' });
  const box = found.getBoundingClientRect();
  const point = { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  const before = window.touchable;
  window.touchable = [found.tagName, found.textContent, point.x, point.y].join(' ');
  const hit = document.elementFromPoint(point.x, point.y);
  const isThere = hit && (hit === found || found.contains(hit));
  return before === window.touchable && isThere ? point : null;
})()
"""

_WATCHED = """
(() => {
  const found = FIND;
  if (!found) return false;
  removeEventListener('click', window.watched, true);
  window.watched = (event) => {
    removeEventListener('click', window.watched, true);
    const isThere = found.contains(event.target);
    const other = event.target.closest('a[href], button, summary, select, label, input');
    const tell = (isRefused, isFinal) => {
      const taken = isThere || isRefused || !other ? null : other.outerHTML.slice(0, 200);
      sessionStorage.touched = JSON.stringify({ isThere, isRefused, isFinal, other: taken });
    };
    tell(false, false);
    setTimeout(() => tell(
      event.defaultPrevented && (isThere ? found : other)?.matches('.is-resting') === true, true));
  };
  addEventListener('click', window.watched, true);
  sessionStorage.touched = '';
  return true;
})()
"""
"""Tells what a touch came to, also where it leads to another page of the same site."""

_MOST_REFUSED = 5
"""A control that is touched so often in vain is dead for a person."""

_SEEN_S = 0.3
"""So soon nobody touches again."""


class NavigatedError(Exception):
    """The page went elsewhere before it could answer."""


class Browser:
    """One page in a headless Chromium. Protocol: one JSON object per message, ended by a zero."""

    def __init__(self, to_it: int, from_it: int) -> None:
        self._to_it, self._from_it = to_it, from_it
        self._number = 0
        self._buffer = b""
        self._session: str | None = None

    def open(self, url: str, size_hw: tuple[int, int] = PHONE_HW) -> None:
        """Open a page as a phone of this size sees it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        h, w = size_hw
        self.call("Emulation.setDeviceMetricsOverride", width=w, height=h, deviceScaleFactor=2,
                  mobile=True)  # fmt: skip
        self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        self.call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """Return what a JavaScript expression is."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, timeout_s: float = 60.0) -> Any:
        """Wait until an expression is true, on the page that is there by then; return it."""
        end_s = time.monotonic() + timeout_s
        while not (value := self._run_if_settled(script)):
            assert time.monotonic() < end_s, (
                f"not within {timeout_s} s: {script}\nThe page says:\n{self._said()}"
            )
            time.sleep(0.1)
        return value

    def _said(self) -> Any:
        """Return what a person reads on the page, and what has been opened on it."""
        return self._run_if_settled(
            "location.href + '\\n' + document.body.innerText + '\\nopen: ' +"
            "[...document.querySelectorAll('[open]')].map((e) => e.id || e.className).join(', ')"
        )

    def _run_if_settled(self, script: str) -> Any:
        """Return what an expression is; None while one page gives way to another."""
        try:
            return self.run(script)
        except NavigatedError:
            return None

    def tap(self, css: str) -> None:
        """Touch the first element that a selector finds; see `touch`."""
        self.touch(f"document.querySelector({json.dumps(css)})")

    def touch(self, find: str, is_mouse: bool = False) -> None:
        """Touch the middle of an element, once it can be: it is enabled, nothing covers it, and it
        has stood still, as a person waits for who looks before touching. Where the page has moved
        meanwhile it is touched again, as a person does who sees that nothing happened; something
        else that takes the touch is a fault of the page.

        Args:
            find: an expression of JavaScript, the element or null.
            is_mouse: click with a mouse instead of touching with a finger.
        """
        refused, end_s = 0, time.monotonic() + 60
        while True:
            assert time.monotonic() < end_s, f"{find} takes no touch\n{self._said()}"
            point = self.wait_for(_TOUCHABLE.replace("FIND", find))
            if not self._run_if_settled(_WATCHED.replace("FIND", find)):
                continue
            self._at(point, is_mouse)
            touched = self._touched()
            assert not touched.get("other"), f"a touch of {find} was taken by {touched['other']}"
            if touched.get("isThere") and not touched["isRefused"]:
                return
            refused += 1
            assert refused < _MOST_REFUSED, f"{find} refuses every touch\n{self._said()}"
            time.sleep(_SEEN_S)

    def _touched(self) -> dict[str, Any]:
        """Return what came of a touch; nothing where a button that rests gave no sign."""
        end_s = time.monotonic() + 5
        while time.monotonic() < end_s:
            told = self._run_if_settled("sessionStorage.touched")
            touched: dict[str, Any] = json.loads(told) if told else {}
            if touched.get("isFinal"):
                return touched
            if touched and time.monotonic() > end_s - 4:  # its page is gone
                return touched
            time.sleep(0.02)
        return {}

    def _at(self, point: dict[str, float], is_mouse: bool) -> None:
        if not is_mouse:
            self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[point])
            self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            return
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **point)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **point)

    def picture(self, file: Path) -> None:
        """Save what is seen as PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        file.write_bytes(base64.b64decode(data))

    def call(self, method: str, **parameters: object) -> Any:
        """Call a method of the protocol and return its result; events are passed over."""
        self._number += 1
        message: dict[str, object] = {
            "id": self._number, "method": method, "params": parameters,
        }  # fmt: skip
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_it, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            pass
        if "navigated" in str(answer.get("error", "")):
            raise NavigatedError(str(parameters)[:200])
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._from_it, 1 << 16)
            assert chunk, "chromium has ended"
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(text)
        return answer


@contextlib.contextmanager
def browser(chromium: str, profile: Path, *flags: str) -> Iterator[Browser]:
    """Run a Chromium until the end of the block. It reads commands from file 3, answers on 4.

    Args:
        flags: further ones of the program.
    """
    its_in, to_it = os.pipe()
    from_it, its_out = os.pipe()
    command = [
        chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
        "--no-first-run", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", f"--user-data-dir={profile}", "--remote-debugging-pipe", *flags,
    ]  # fmt: skip
    shell = f'exec "$@" 3<&{its_in} 4>&{its_out}'
    process = subprocess.Popen(
        ["bash", "-c", shell, "chromium", *command],
        pass_fds=(its_in, its_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for end in (its_in, its_out):
        os.close(end)
    try:
        yield Browser(to_it, from_it)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()
        for end in (to_it, from_it):
            os.close(end)
