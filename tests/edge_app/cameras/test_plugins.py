"""Cameras that other packages bring: found, refused and failing each by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.plugin_packages import add_package, python_beside

from edge_app.cameras import registry
from edge_app.cameras.isolation.camera import IsolatedCamera
from edge_app.cameras.plugins import UnusableCamera
from edge_app.cameras.registry import describe_schemes, family_of, open_camera, plugin_reports
from edge_app.config.camera import CameraConfig
from edge_app.doctor.checks import check_camera_plugins
from edge_app.doctor.configured import check_camera
from edge_app.errors import CameraUnavailable, ConfigError

GOOD = """
from edge_app.cameras.isolation.camera import IsolatedDriver
from edge_app.errors import ConfigError
EXAMPLE, MEANING = "{0}:7", "A camera of the plant."
def driver_of(url):
    if url.endswith("?"):
        raise ConfigError(f"Camera {{url!r}}: an option is missing.")
    return IsolatedDriver(url, "{0}_driver", {{"odd": "Steady"}})
"""
BROKEN = {
    "cannot_be_imported": "import a_library_that_nobody_has",
    "leaves": "raise SystemExit(3)",
    "is_no_python": "def (",
    "has_nothing": "",
    "fails": GOOD.format("x") + "def driver_of(url): return 1 / 0",
    "returns_another_thing": GOOD.format("x") + "def driver_of(url): return url",
}


@pytest.fixture
def packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """Return a folder of sys.path, whose plug-ins are looked for anew."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    registry._plugins.cache_clear()
    yield folder
    registry._plugins.cache_clear()


def camera_table(url: str) -> CameraConfig:
    return CameraConfig.model_validate({"name": "cam1", "url": url})


def test_an_installed_plug_in_is_a_camera_like_ours(packages: Path) -> None:
    """Its address opens, is described by --help and passes the configuration and the doctor."""
    add_package(packages, "acme-cropliq", {"acme_one": GOOD.format("acme")}, acme="acme_one")
    camera = open_camera("acme:7", "cam1")
    assert isinstance(camera, IsolatedCamera)
    assert camera.describe().url == "acme:7"
    assert family_of("ACME:7").meaning == "A plug-in of acme-cropliq 1.0."
    assert describe_schemes().splitlines()[-1].endswith("A camera of the plant. (acme-cropliq 1.0)")
    assert check_camera(camera_table("acme:7")).state == "ok"
    assert check_camera_plugins().detail == "acme: (acme-cropliq 1.0)."


def test_what_a_plug_in_refuses_is_refused(packages: Path) -> None:
    """A wrong option is wrong in a plug-in's address as in ours."""
    add_package(packages, "acme-cropliq", {"acme_two": GOOD.format("acme")}, acme="acme_two")
    with pytest.raises(ConfigError, match="an option is missing"):
        open_camera("acme:7?", "cam1")
    with pytest.raises(ConfigError, match="did you mean 'acme'"):
        open_camera("acmee:7", "cam1")


@pytest.mark.parametrize("fault", BROKEN)
def test_a_plug_in_that_fails_costs_its_own_camera(packages: Path, fault: str) -> None:
    """The configuration is read, its camera is away and says why; other plug-ins work."""
    module = f"broken_{fault}"
    add_package(packages, "bad-cropliq", {module: BROKEN[fault]}, bad=module)
    add_package(
        packages, "good-cropliq", {f"good_{fault}": GOOD.format("good")}, good=f"good_{fault}"
    )
    table = camera_table("bad:1")
    camera = open_camera(table.url, "cam1")
    assert isinstance(camera, UnusableCamera)
    with pytest.raises(CameraUnavailable, match=r"'bad' of bad-cropliq 1\.0 cannot be used"):
        camera.open()
    check = check_camera(table)
    assert check.state == "fail"
    assert "bad-cropliq 1.0" in check.detail
    assert isinstance(open_camera("good:1", "cam2"), IsolatedCamera)
    assert "good:7" in describe_schemes()
    assert ("bad" in describe_schemes()) == ("EXAMPLE" in BROKEN[fault])


def test_a_triggered_camera_whose_plug_in_fails_keeps_its_configuration(packages: Path) -> None:
    """How it is triggered only the plug-in knows: the table is not refused for it."""
    add_package(packages, "bad-cropliq", {"broken_now": "1 / 0"}, bad="broken_now")
    table = {"name": "cam1", "url": "bad:1", "trigger_listen": "127.0.0.1:5001"}
    assert CameraConfig.model_validate(table).trigger_address == ("127.0.0.1", 5001)


def test_our_own_names_cannot_be_taken(packages: Path) -> None:
    """basler: stays ours, and the doctor says what was left out."""
    add_package(packages, "thief", {"thief": GOOD.format("basler")}, basler="thief")
    assert family_of("basler:").module == "edge_app.cameras.basler"
    check = check_camera_plugins()
    assert check.state == "warning"
    assert "'basler' of thief 1.0 is left out: CropLiq Edge has cameras" in check.detail


def test_of_two_with_one_name_neither_is_taken(packages: Path) -> None:
    """Which one would be chance; each names the other."""
    for package in ("acme-one", "acme-two"):
        module = package.replace("-", "_")
        add_package(packages, package, {module: GOOD.format("acme")}, acme=module)
    with pytest.raises(CameraUnavailable, match=r"acme-two 1\.0 brings one of that name too"):
        open_camera("acme:1", "cam1").open()
    assert [bool(report.problem) for report in plugin_reports()] == [True, True]


def test_a_name_that_no_address_can_hold_is_said(packages: Path) -> None:
    add_package(packages, "acme-cropliq", {"acme_3": GOOD.format("a")}, **{"acme-gige": "acme_3"})
    (report,) = plugin_reports()
    assert "lower-case letters and digits" in report.problem


def test_damaged_metadata_of_another_package_is_no_end(packages: Path) -> None:
    """A *.dist-info whose entry points cannot be read: our cameras open all the same."""
    add_package(packages, "odd-cropliq", {})
    (packages / "odd_cropliq-1.0.dist-info" / "entry_points.txt").write_bytes(b"[\xff\nx = ")
    assert family_of("sim:tapered").scheme == "sim"
    with pytest.raises(ConfigError, match="unknown scheme 'acme'"):
        open_camera("acme:1", "cam1")
    assert "sim:tapered" in describe_schemes()


STEADY = """
import time
from edge_app.cameras.isolation.raw import RawFrame
class Steady:
    count = 0
    def open(self): pass
    def read(self, timeout_s):
        time.sleep(0.02)
        self.count += 1
        {fault}
        level = 60 + self.count % 100
        rows = bytes([level] * 160 + [250 - level] * 160) * 240
        return RawFrame(rows, (240, 320), 320, "Mono8", time.monotonic_ns(), self.count)
    def trigger(self): pass
    def close(self): pass
def make_source(settings): return Steady()
"""
COMMAND = "from edge_app.cli.main import main; raise SystemExit(main())"


def edge_app(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-c", COMMAND, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_an_installed_plug_in_runs_in_its_child_and_may_die_there(tmp_path: Path) -> None:
    """Real processes: pictures come; a driver that aborts is told as any camera's."""
    python, packages = python_beside(tmp_path / "device")
    modules = {"acme": GOOD.format("acme"), "acme_driver": STEADY.format(fault="")}
    add_package(packages, "acme-cropliq", modules, acme="acme")
    fault = "import os; self.count < 3 or os.abort()"
    modules = {"dies": GOOD.format("dies"), "dies_driver": STEADY.format(fault=fault)}
    add_package(packages, "dies-cropliq", modules, dies="dies")
    add_package(packages, "bad-cropliq", {"bad": "import nothing_like_it"}, bad="bad")

    done = edge_app(python, "camera", "test", "acme:7", "--seconds", "1")
    assert "320 x 240" in done.stdout, done.stdout + done.stderr
    died = edge_app(python, "camera", "test", "dies:7", "--seconds", "2")
    assert died.returncode != 0
    assert "its driver's process has ended (signal 6)" in died.stdout + died.stderr
    away = edge_app(python, "camera", "test", "bad:1", "--seconds", "1")
    assert "No module named 'nothing_like_it'" in away.stdout + away.stderr
    assert "Traceback" not in died.stderr + away.stderr
    listed = edge_app(python, "camera", "list").stdout
    assert "acme (acme-cropliq 1.0): a plug-in, not searched; e.g. acme:7" in listed
    assert "bad (bad-cropliq 1.0): The camera plug-in 'bad'" in listed
