"""What install.sh leaves compiled: services may not write into their release."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from support.install_station import InstallStation

import edge_app


def test_every_module_of_ours_is_compiled_whatever_roots_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PYTHONDONTWRITEBYTECODE set, as many containers do, no module is left to be compiled
    at every start."""
    release = tmp_path / "release"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", release], check=True, timeout=60)
    site = next((release / "lib").glob("python*/site-packages"))
    package = Path(edge_app.__path__[0])
    shutil.copytree(package, site / "edge_app", ignore=shutil.ignore_patterns("__pycache__"))
    libraries = Path(sysconfig.get_path("platlib"))
    (site / "libraries.pth").write_text(f"{libraries}\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "elsewhere"))

    done = InstallStation(tmp_path / "device").run(
        tmp_path, call=f'release="{release}"\nload_and_compile'
    )

    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(sys, "pycache_prefix", None)
    modules = sorted((site / "edge_app").rglob("*.py"))
    assert len(modules) > 200
    assert [m for m in modules if not Path(cache_from_source(str(m))).is_file()] == []


def test_a_package_that_does_not_load_is_not_called_installed(tmp_path: Path) -> None:
    """A release without its libraries fails here, before anything is switched."""
    release = tmp_path / "release"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", release], check=True, timeout=60)

    done = InstallStation(tmp_path / "device").run(
        tmp_path, call=f'release="{release}"\nload_and_compile'
    )

    assert done.returncode != 0
    assert "edge_app" in done.stderr
