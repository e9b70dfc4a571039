"""An upgrade takes no camera away: what a release has beyond its dependencies is carried over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "packaging" / "keep_extras.py"
NEEDS = ("numpy>=1", 'av>=13; extra == "rtsp"', 'pypylon>=4; extra == "basler"')


class Release:
    """A virtual environment with libraries as pip records them."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        self.python = folder / "bin" / "python"
        (self.site,) = folder.glob("lib/python3*/site-packages")

    def add(self, name: str, *needs: str, extras: tuple[str, ...] = ()) -> None:
        """Install a library of one module, one folder of shared objects and one command."""
        module = name.replace("-", "_")
        info = self.site / f"{module}-1.0.dist-info"
        info.mkdir()
        (self.site / f"{module}.py").write_text(f"name = {name!r}\n")
        (self.site / f"{module}.libs").mkdir()
        (self.site / f"{module}.libs" / "lib.so").write_bytes(b"\x7fELF")
        lines = [f"Name: {name}", "Version: 1.0", "Metadata-Version: 2.1"]
        lines += [f"Provides-Extra: {extra}" for extra in extras]
        lines += [f"Requires-Dist: {need}" for need in needs]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        files = (f"{module}.py", f"{module}.libs/lib.so", f"{info.name}/METADATA",
                 f"{info.name}/RECORD", "../../../bin/tool")  # fmt: skip
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))

    def keep(self, *arguments: str | Path) -> list[str]:
        done = subprocess.run(
            [self.python, SCRIPT, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.split()


@pytest.fixture
def old(tmp_path: Path) -> Release:
    release = Release(tmp_path / "old")
    release.add("cropliq-edge-device", *NEEDS, extras=("rtsp", "basler"))
    release.add("numpy")
    return release


def test_a_release_knows_its_extras(old: Release) -> None:
    """However they came; an extra that is not there is none."""
    assert old.keep("list") == []
    old.add("av")
    assert old.keep("list") == ["rtsp"]


def test_a_camera_plug_in_is_kept_with_what_it_needs(old: Release, tmp_path: Path) -> None:
    """Its entry point comes along; what only a workstation has is not looked for."""
    old.add("acme-cameras", "acme-sdk>=2", "cropliq-edge")
    old.add("acme-sdk")
    info = old.site / "acme_cameras-1.0.dist-info"
    (info / "entry_points.txt").write_text("[cropliq_edge.cameras]\nacme = acme_cameras\n")
    with (info / "RECORD").open("a") as record:
        record.write(f"{info.name}/entry_points.txt,,\n")
    assert old.keep("list") == ["plugin:acme-cameras"]
    new = Release(tmp_path / "new")
    new.add("cropliq-edge-device", *NEEDS, extras=("rtsp", "basler"))
    old.keep("copy", new.site, "plugin:acme-cameras")
    assert new.keep("list") == ["plugin:acme-cameras"]
    subprocess.run([new.python, "-c", "import acme_cameras, acme_sdk"], check=True)


def test_an_extra_is_copied_with_what_it_needs(old: Release, tmp_path: Path) -> None:
    """Modules, shared objects and records; what the new release has already stays its own."""
    old.add("av", "helper>=1", "numpy>=1")
    old.add("helper")
    new = Release(tmp_path / "new")
    new.add("cropliq-edge-device", *NEEDS, extras=("rtsp", "basler"))
    (new.site / "numpy.py").write_text("newer = True\n")
    old.keep("copy", new.site, "rtsp")
    assert new.keep("list") == ["rtsp"]
    said = subprocess.run(
        [new.python, "-c", "import av, helper, numpy; print(av.name, helper.name, numpy.newer)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "av helper True\n"
    assert (new.site / "av.libs" / "lib.so").read_bytes() == b"\x7fELF"
