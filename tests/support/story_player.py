"""Does what a reader of docs/stories does: a shell, a desk, a tablet and a phone.

With EDGE_APP_STORY_PICTURES=FOLDER the pictures are written there (docs/images/stories), to be
looked at; otherwise each is taken and thrown away.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from support.brokers import free_port, wait_until
from support.chromium import Browser, browser
from support.story_steps import Step, matches, set_keys

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "images" / "stories"
WANTED = "EDGE_APP_STORY_PICTURES"
MOST_BYTES = 200_000
NAME = "press-17.plant.example"
CODE = re.compile(r"\b(?:[A-Z0-9]{4}-)+[A-Z0-9]{4}\b")
COMMANDS = {"edge-app": "edge_app", "edge-export": "export", "edge-deploy": "deploy"}
SIZES_WH = {"At the desk": (1280, 800), "On the tablet": (1024, 768), "On the phone": (390, 844)}
SETTLE_S = 0.6
TYPED = "typed.txt"
"""In the story's folder: every command with what it printed, for figures in documents."""

PORTS = ("8080", "1883", "8443")
"""Of the page, the broker and the server of bundles, as stories write them; a run has its own."""

FINDS = """
window.storyScope = null;
window.storyAmong = (css, is) => {
  const seen = [...document.querySelectorAll(css)].filter((e) => e.checkVisibility());
  const first = (here) => seen.find((e) => here?.contains(e) && is(e));
  return first(storyScope) ?? first(document);
};
window.storyText = (e) => (e.innerText || e.getAttribute("aria-label") || "")
  .replace(/\\s+/g, " ").trim();
window.storyFind = (name) => {
  const css = "button, a, summary";
  return storyAmong(css, (e) => storyText(e) === name)
    ?? storyAmong(css, (e) => storyText(e).includes(name));
};
window.storyField = (name) => storyAmong("input, select, textarea", (e) =>
  [e.getAttribute("aria-label"), e.closest("label")?.querySelector("span")?.innerText]
    .some((text) => text?.trim() === name));
window.storyInside = (name) => {
  window.storyScope = storyFind(name)?.closest("details, form") ?? storyScope;
  return true;
};
window.storyAsked = new Map();
window.storyHasPictures = () => {
  for (const one of document.querySelectorAll("svg image")) {
    const address = one.getAttribute("href");
    if (!address || storyAsked.has(address)) continue;
    storyAsked.set(address, Object.assign(new Image(), {src: address}));
  }
  const seen = [...document.images].filter((e) => e.checkVisibility() && e.src);
  return [...seen, ...storyAsked.values()].every((e) => e.complete);
};
window.storyFaults ??= [];
addEventListener("securitypolicyviolation", (e) => storyFaults.push(e.violatedDirective));
addEventListener("unhandledrejection", (e) => storyFaults.push(String(e.reason)));
addEventListener("error", (e) => { if (e.message) storyFaults.push(e.message); });
"""


class Place:
    """A browser at one place, opened when it is first needed."""

    def __init__(self, seen: Browser, name: str) -> None:
        self._seen = seen
        self._is_desk = name == "At the desk"
        width, height = SIZES_WH[name]
        seen.open("about:blank", (height, width))
        seen.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=not self._is_desk,
        )  # fmt: skip
        seen.call("Emulation.setTouchEmulationEnabled", enabled=not self._is_desk)
        seen.call("Page.enable")
        seen.call("Page.addScriptToEvaluateOnNewDocument", source=FINDS)

    def open(self, url: str) -> None:
        self._seen.call("Page.navigate", url=url)
        self._seen.wait_for("document.readyState === 'complete'")

    def touch(self, name: str) -> None:
        """Touch what has this name, once it is live."""
        find = f"(window.storyFind?.({name!r}) ?? null)"
        self._seen.wait_for(f"{find} && storyInside({name!r})")
        self._seen.touch(find, is_mouse=self._is_desk)

    def type(self, field: str, text: str) -> None:
        self._seen.wait_for(f"!!window.storyField?.({field!r})")
        self._seen.run(
            f"(e => {{ storyScope = e.closest('form'); e.focus(); e.select?.(); }})"
            f"(storyField({field!r}))"
        )
        self._seen.call("Input.insertText", text=text)

    def choose(self, field: str, option: str) -> None:
        one = (
            f"[...(window.storyField?.({field!r})?.options ?? [])].find(o => o.text === {option!r})"
        )
        self._seen.wait_for(f"!!{one}")
        self._change(field, f"({one}).value")

    def slide(self, field: str, steps: str) -> None:
        self._seen.wait_for(f"!!window.storyField?.({field!r})")
        self._change(field, f"Number(e.value) + ({steps}) * (Number(e.step) || 1)")

    def _change(self, field: str, value: str) -> None:
        self._seen.run(
            f"(e => {{ e.value = {value}; for (const kind of ['input', 'change'])"
            f" e.dispatchEvent(new Event(kind, {{bubbles: true}})); }})(storyField({field!r}))"
        )

    def wait(self, text: str) -> None:
        self._seen.wait_for(f"document.body?.innerText.replace(/\\s+/g, ' ').includes({text!r})")

    def shown(self) -> str:
        """Return address and words of the page."""
        return str(self._seen.run("location.href + '\\n' + document.body?.innerText"))[:2000]

    def code(self) -> str | None:
        """Return a code that stands on the page."""
        found = CODE.search(str(self._seen.run("document.body.innerText")))
        return found[0] if found else None

    def picture(self) -> bytes:
        """Return what is seen, as JPEG, once nothing moves; nothing may be wrong or cut off."""
        self._seen.run("document.activeElement?.blur()")
        time.sleep(SETTLE_S)
        self._seen.wait_for("window.storyHasPictures?.() ?? document.readyState === 'complete'")
        time.sleep(SETTLE_S)
        assert self._seen.run("window.storyFaults ?? []") == []
        assert self._seen.run("document.documentElement.scrollWidth <= innerWidth"), "too wide"
        data = self._seen.call("Page.captureScreenshot", format="jpeg", quality=80)["data"]
        return base64.b64decode(data)


class Player:
    """Does the steps of one story in a folder of its own.

    Args:
        folder: where the commands are typed.
        stack: what is ended with the story: browsers and commands in the background.
        command_s, log_s: how long a command may take, and until a log says something.
    """

    def __init__(
        self,
        folder: Path,
        stack: contextlib.ExitStack,
        command_s: float = 600,
        log_s: float = 60,
    ) -> None:
        self._folder, self._stack = folder, stack
        self._command_s, self._log_s = command_s, log_s
        self._ports = {port: str(free_port()) for port in PORTS}
        self._environment = environment(folder)
        self._places: dict[str, Place] = {}
        self._where = "At the desk"
        self._code = ""
        self._began_s = time.monotonic()
        self.taken: set[str] = set()

    def play(self, step: Step) -> None:
        """Do one step, and fail with its words if it does not come out as the document says."""
        try:
            getattr(self, f"do_{step.kind}")(step)
        except AssertionError as error:
            shown = self._places[self._where].shown() if self._where in self._places else ""
            raise AssertionError(f"{step}\n{error}\n{self._logs()}\n{shown}") from error

    def _logs(self) -> str:
        return "\n".join(log.read_text()[-1500:] for log in self._folder.glob("*.log"))

    def _here(self, text: str) -> str:
        """Return a text with the ports of this run."""
        for port, mine in self._ports.items():
            text = re.sub(rf"\b{port}\b", mine, text)
        return text

    def _place(self) -> Place:
        if self._where not in self._places:
            profile = self._folder / "profiles" / self._where.replace(" ", "_")
            flags = f"--host-resolver-rules=MAP {NAME} 127.0.0.1", "--ignore-certificate-errors"
            seen = self._stack.enter_context(browser("chromium", profile, *flags))
            self._places[self._where] = Place(seen, self._where)
        return self._places[self._where]

    def do_command(self, step: Step) -> None:
        command = self._here(step.what)
        if command.endswith("&"):
            self._stack.enter_context(self._beside(command.removesuffix("&")))
            return
        done = subprocess.run(
            ["bash", "-c", command], cwd=self._folder, env=self._environment,
            capture_output=True, text=True, timeout=self._command_s, check=False,
        )  # fmt: skip
        printed = done.stdout + done.stderr
        self._note(command, printed)
        assert "Traceback" not in printed, printed
        assert matches(self._here(step.text), printed), f"exit code {done.returncode}\n{printed}"
        assert done.returncode == 0 or step.text, f"exit code {done.returncode}\n{printed}"
        found = CODE.search(printed)
        self._code = found[0] if found else self._code

    def _note(self, command: str, printed: str) -> None:
        """Keep what was typed and what came of it, with the seconds since the story began."""
        with (self._folder / TYPED).open("a", encoding="utf-8") as file:
            file.write(f"[{time.monotonic() - self._began_s:.0f} s] $ {command}\n{printed}\n")

    @contextlib.contextmanager
    def _beside(self, command: str) -> Iterator[None]:
        """Run a command beside the others until the end of the story."""
        process = subprocess.Popen(
            ["bash", "-c", command], cwd=self._folder, env=self._environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                    os.killpg(process.pid, number)
                    process.wait(15)

    def do_file(self, step: Step) -> None:
        text = self._here(step.text)
        if step.what == "mosquitto.conf" and os.geteuid() == 0:
            text = f"user root\n{text}"  # else it becomes a user who may not read this folder
        (self._folder / step.what).write_text(text, encoding="utf-8")

    def do_set(self, step: Step) -> None:
        file = self._folder / step.what
        file.write_text(self._here(set_keys(file.read_text(encoding="utf-8"), step.text)))

    def do_log(self, step: Step) -> None:
        file = self._folder / step.what
        wait_until(lambda: file.exists() and step.text in file.read_text(), self._log_s, step.text)

    def do_where(self, step: Step) -> None:
        self._where = step.what

    def do_open(self, step: Step) -> None:
        is_file = (self._folder / step.what).is_file()
        url = (self._folder / step.what).as_uri() if is_file else self._here(step.what)
        self._place().open(url)

    def do_touch(self, step: Step) -> None:
        self._place().touch(step.what)

    def do_type(self, step: Step) -> None:
        self._place().type(step.what, self._code if step.text == "CODE" else step.text)

    def do_choose(self, step: Step) -> None:
        self._place().choose(step.what, step.text)

    def do_slide(self, step: Step) -> None:
        self._place().slide(step.what, step.text)

    def do_wait(self, step: Step) -> None:
        self._place().wait(step.what)

    def do_picture(self, step: Step) -> None:
        self._code = self._place().code() or self._code
        made = self._place().picture()
        assert 5_000 < len(made) < MOST_BYTES, f"{len(made)} bytes"
        self.taken.add(step.what)
        if folder := os.environ.get(WANTED):
            (Path(folder) / f"{step.what}.jpg").write_bytes(made)


def environment(folder: Path) -> Mapping[str, str]:
    """Return the variables of a shell in which this tree's commands answer by their names."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name, package in COMMANDS.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {package}.cli.main "$@"\n')
        program.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "CROPLIQ": str(ROOT),
        "COLUMNS": "120",
        "NO_PROXY": "*",
    }
