"""A package that two distributions have written to is not run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.plugin_packages import python_beside

from edge_app.cli.package_owners import refuse_shared
from edge_app.errors import ConfigError

ROOT = Path(__file__).parents[3]
COMMANDS = {
    "export": "edge-export check-data .",
    "calibration": "edge-calibrate thresholds x.bundle --source sim:tapered",
    "deploy": "edge-deploy verify x.bundle --keys .",
}


def install(folder: Path, name: str, *files: str) -> None:
    """Lay a distribution's record beside a package, as pip does."""
    info = folder / f"{name}.dist-info"
    info.mkdir(parents=True)
    lines = [*files, f"{info.name}/RECORD"]
    (info / "RECORD").write_text("".join(f"{line},sha256=x,1\n" for line in lines))


def test_our_own_package_is_run(tmp_path: Path) -> None:
    """Both of our distributions may have it, others only names that begin alike."""
    install(tmp_path, "cropliq_edge-0.2.0", "export/__init__.py")
    install(tmp_path, "cropliq_edge_device-0.2.0", "export/__init__.py")
    install(tmp_path, "exporters-1.0", "exporters/__init__.py", "data/export/a.py")
    refuse_shared("export", tmp_path)


@pytest.mark.parametrize("files", [("export/__init__.py",), ("a.py", "export/other.py")])
def test_another_distributions_files_in_it_are_named(tmp_path: Path, files: tuple[str]) -> None:
    """Whether it wrote over a file of ours or beside them."""
    install(tmp_path, "cropliq_edge-0.2.0", "export/__init__.py")
    install(tmp_path, "excel_export-3.1", *files)
    with pytest.raises(ConfigError, match=r"excel_export 3\.1 has files in it too"):
        refuse_shared("export", tmp_path)


def test_a_record_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "odd-1.0.dist-info" / "RECORD").mkdir(parents=True)
    install(tmp_path, "bytes-1.0")
    (tmp_path / "bytes-1.0.dist-info" / "RECORD").write_bytes(b"\xff\xfe\x00")
    refuse_shared("export", tmp_path)


@pytest.mark.parametrize("package", COMMANDS)
def test_the_command_refuses_in_one_sentence(tmp_path: Path, package: str) -> None:
    """Beside another's record: exit code 2 before anything is done; --help answers."""
    python, packages = python_beside(tmp_path / "env")
    shutil.copytree(ROOT / package, packages / package)
    install(packages, f"{package}-7.0", f"{package}/__init__.py")
    name, *arguments = COMMANDS[package].split()
    program = (
        f"import sys; sys.path.insert(0, {str(packages)!r}); sys.argv[0] = {name!r}; "
        f"from {package}.cli.main import main; sys.exit(main())"
    )
    for words, code in ((arguments, 2), (["--help"], 0)):
        done = subprocess.run(
            [str(python), "-c", program, *words],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
    done = subprocess.run(
        [str(python), "-c", program, *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr.count("\n") == 1
    assert f"{package} 7.0 has files in it too" in done.stderr
