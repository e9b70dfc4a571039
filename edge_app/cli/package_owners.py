"""Whose a package is: pip writes one distribution's files over another's without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge_app.errors import ConfigError

OURS = ("cropliq-edge", "cropliq-edge-device")


def run_unshared(main_file: str, work: Callable[[], int]) -> int:
    """Return a command's exit code, if its package is ours alone.

    Args:
        main_file: `__file__` of PACKAGE/cli/main.py.

    Raises:
        ConfigError: another distribution has files in the package.
    """
    package = Path(main_file).resolve().parents[1]
    refuse_shared(package.name, package.parent)
    return work()


def refuse_shared(package: str, folder: Path) -> None:
    """Return if no other distribution has files in a package of ours.

    Only the records beside the package are read: `importlib.metadata.packages_distributions`,
    which looks at every file of everything installed, takes 0.6 s in a training environment.

    Args:
        package: a top-level package, e.g. export.
        folder: where it lies, e.g. site-packages.

    Raises:
        ConfigError: another one has; it is named.
    """
    others = [name for name in _owners(package, folder) if _plain(name) not in OURS]
    if others:
        raise ConfigError(
            f"The package `{package}` in {folder} is ours, and {', '.join(others)} has files in it "
            "too: one has written over the other, so nothing is run. Install CropLiq Edge in an "
            "environment of its own: uv tool install cropliq-edge, or python -m venv."
        )


def _owners(package: str, folder: Path) -> list[str]:
    """Return the distributions whose record names a file of the package, NAME VERSION each."""
    found = []
    for record in sorted(folder.glob("*.dist-info/RECORD")):
        try:
            text = record.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if text.startswith(f"{package}/") or f"\n{package}/" in text:
            found.append(record.parent.name.removesuffix(".dist-info").replace("-", " ", 1))
    return found


def _plain(owner: str) -> str:
    return owner.partition(" ")[0].lower().replace("_", "-")
