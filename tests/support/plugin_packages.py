"""Plug-ins as installed packages: a *.dist-info and modules in a folder."""

from __future__ import annotations

import sys
import sysconfig
import venv
from pathlib import Path

CAMERAS, METHODS = "cropliq_edge.cameras", "cropliq_edge.methods"


def add_package(
    folder: Path, package: str, modules: dict[str, str], group: str = CAMERAS, **names: str
) -> None:
    """Lay a package into a folder of sys.path, as its wheel would.

    Args:
        modules: module name → text.
        group: of its entry points.
        names: their names → what they name.
    """
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [f"[{group}]", *(f"{name} = {value}" for name, value in names.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


def packages_of(folder: Path) -> Path:
    """Return where an environment's packages lie."""
    paths = {"base": str(folder), "platbase": str(folder)}
    scheme = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"  # Python 3.10
    return Path(sysconfig.get_path("purelib", scheme, paths))


def python_beside(folder: Path) -> tuple[Path, Path]:
    """Make an environment that has all this one has; return its Python and its packages' folder.

    What is laid there is found by children that run with -I too.
    """
    venv.create(folder, symlinks=True)
    packages = packages_of(folder)
    here = sysconfig.get_path("purelib")
    (packages / "beside.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return folder / "bin" / Path(sys.executable).name, packages
