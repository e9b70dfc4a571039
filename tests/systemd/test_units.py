"""The shipped units as systemd's own tools see them."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
UNITS = ROOT / "systemd"
OURS = re.compile(
    r"(?:systemctl [a-z-]+(?: --?[a-z]+)*|journalctl(?: --?[a-z]+)* -u) "
    r"((?:edge|cropliq)[\w.@-]*\w)"
    r"|\b((?:edge|cropliq)[\w@-]*\.service)\b"
)
"""A unit of ours, as a command or with its ending; other vendors' units are none of ours."""
COMMAND = "/opt/cropliq-edge/venv/bin/edge-app"
MAX_EXPOSURE = {"edge-app": 4.0, "edge-app-agent": 3.0, "edge-app-page": 2.0}
"""0 is shut, 10 is open to everything; the bounds are the product's promise."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def exposure(unit: Path) -> float:
    """Return systemd's rating of a unit."""
    done = analyze("security", "--offline=true", "--no-pager", str(unit))
    told = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert told is not None, done.stdout + done.stderr
    return float(told[1])


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", MAX_EXPOSURE)
def test_a_unit_has_nothing_systemd_complains_of(name: str, tmp_path: Path) -> None:
    """`systemd-analyze verify` is silent once the command it starts exists."""
    text = (UNITS / f"{name}.service").read_text()
    assert f"ExecStart={COMMAND} " in text
    unit = tmp_path / f"{name}.service"
    unit.write_text(text.replace(COMMAND, "/bin/true"))
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize(("name", "bound"), MAX_EXPOSURE.items())
def test_a_unit_gives_away_no_more_than_promised(name: str, bound: float) -> None:
    """`systemd-analyze security` rates its exposure at most as the product says."""
    assert exposure(UNITS / f"{name}.service") <= bound


@pytest.mark.needs("systemd-analyze")
def test_a_jetsons_unit_keeps_the_promise_too(tmp_path: Path) -> None:
    """With what install.sh adds on a Jetson the exposure is still within the bound."""
    unit = tmp_path / "edge-app.service"
    texts = [(UNITS / f).read_text() for f in ("edge-app.service", "edge-app-jetson.conf")]
    unit.write_text("\n".join(texts))
    assert exposure(unit) <= MAX_EXPOSURE["edge-app"]


@pytest.mark.parametrize("name", MAX_EXPOSURE)
def test_a_service_reads_file_names_as_utf8_in_any_locale(name: str) -> None:
    """A machine set up with LANG=de_AT.ISO-8859-1 hands that on; "Prüf" in the configuration would
    then be another folder than the one on the disk."""
    assert "Environment=PYTHONUTF8=1" in (UNITS / f"{name}.service").read_text().splitlines()


@pytest.mark.parametrize("name", MAX_EXPOSURE)
def test_no_restart_limit_ends_a_service_for_good(name: str) -> None:
    """Restarted always, without a start limit: a line is never left alone."""
    lines = (UNITS / f"{name}.service").read_text().splitlines()
    assert {"Restart=always", "StartLimitIntervalSec=0", "Type=notify"} <= set(lines)
    assert any(line.startswith("WatchdogSec=") for line in lines)


@pytest.mark.parametrize("name", ["edge-app", "edge-app-agent"])
def test_child_processes_may_make_themselves_small(name: str) -> None:
    """The engine's builder and the bundle's trial lower their priority; @resources forbids it."""
    lines = (UNITS / f"{name}.service").read_text().splitlines()
    filters = [line for line in lines if line.startswith("SystemCallFilter=")]
    forbidding = next(i for i, line in enumerate(filters) if "@resources" in line)
    assert any("setpriority" in line for line in filters[forbidding + 1 :])


def calls_of(group: str) -> set[str]:
    """Return the system calls of a group, by systemd's own tables."""
    told = analyze("syscall-filter", group).stdout.splitlines()
    names = [line.strip() for line in told[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(calls_of(n) if n.startswith("@") else {n} for n in names))


def allowed_calls(unit: Path) -> set[str]:
    """Return what a unit's SystemCallFilter lines leave, in their order (systemd.exec(5))."""
    allowed: set[str] = set()
    for line in unit.read_text().splitlines():
        if line.startswith("SystemCallFilter="):
            words = line.partition("=")[2].removeprefix("~").split()
            named = set().union(*(calls_of(w) if w.startswith("@") else {w} for w in words))
            allowed = allowed - named if line.startswith("SystemCallFilter=~") else allowed | named
    return allowed


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("name", ["edge-app", "edge-app-agent"])
def test_a_service_may_ask_whether_its_clock_is_right(name: str) -> None:
    """adjtimex(3) is the call clock_adjtime since glibc 2.32; a clock whose state is not known
    is not right: every alert says so, and things go for their age by a clock nobody has set."""
    unit = UNITS / f"{name}.service"
    assert {"adjtimex", "clock_adjtime"} <= allowed_calls(unit)
    assert "clock_settime" not in allowed_calls(unit)
    assert "ProtectClock=yes" not in unit.read_text().splitlines()


def texts() -> Iterator[tuple[Path, str]]:
    """Yield what people read: documents, scripts, units, examples, and the strings in the code."""
    for pattern in (
        "README.md",
        "docs/**/*.md",
        "packaging/*.sh",
        "systemd/*",
        "edge_app/**/*.toml",
    ):
        for path in sorted(ROOT.glob(pattern)):
            yield path, path.read_text(encoding="utf-8")
    for folder in ("edge_app", "export", "deploy", "calibration", "packaging"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for text in strings(ast.parse(path.read_text(encoding="utf-8"))):
                yield path, text


def strings(tree: ast.Module) -> Iterator[str]:
    """Yield a file's string literals; adjacent ones, f-strings among them, are one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "{}" for v in node.values]
            yield "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_unit_that_a_message_or_document_names_exists() -> None:
    """Whoever types `systemctl` or `journalctl` as told finds a unit of that name."""
    named = [
        (path, (found[1] or found[2]).removesuffix(".service"))
        for path, text in texts()
        for found in OURS.finditer(text)
    ]
    assert {name for _, name in named} >= set(MAX_EXPOSURE)
    units = {path.stem for path in UNITS.glob("*.service")}
    assert [(path.name, name) for path, name in named if name not in units] == []
