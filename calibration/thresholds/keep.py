"""A changed bundle takes its place; the one that was there is kept beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_app.bundle.archive import read_bundle, write_bundle
from edge_app.bundle.manifest import Manifest
from edge_app.errors import BundleError, OutputError

SUFFIX = ".bak"


@dataclass(frozen=True, slots=True)
class WriteRules:
    """How a changed bundle is written.

    Attributes:
        is_accepted: a person accepts that golden defects are no longer found.
        is_dry_run: everything is computed and checked, nothing is written.
        keeps_backup: what the new bundle replaces is kept as NAME.bak.
    """

    is_accepted: bool = False
    is_dry_run: bool = False
    keeps_backup: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """Attributes: sha256 of the bundle, "" on a dry run; backup of what it replaced, if any."""

    sha256: str
    backup: Path | None


def check_out(out: Path) -> None:
    """Refuse, before the work, a name under which no bundle can be written.

    Raises:
        OutputError: a folder or another file is in the way, or nothing can be written there.
    """
    if out.is_dir():
        raise OutputError(f"--out {out} is a folder. Expected the name of a bundle file.")
    if out.exists():
        try:
            out.open("rb").close()
            read_bundle(out)
        except OSError as error:
            raise OutputError(
                f"--out {out} cannot be read: {error.strerror or error}. It may be a bundle, so it "
                "is not overwritten. Check its rights, or name another file."
            ) from error
        except BundleError as error:
            raise OutputError(
                f"--out {out} exists and is no bundle: it is not overwritten. Name another file."
            ) from error
    nearest = next(p for p in out.absolute().parents if p.exists())
    probe = nearest / f".{out.name}.probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"Nothing can be written to {nearest}: {error.strerror or error}. Name another --out."
        ) from error


def write_changed(
    out: Path, manifest: Manifest, files: Mapping[str, bytes], rules: WriteRules
) -> Written:
    """Write a bundle as the rules say.

    Raises:
        BundleError: see `write_bundle`.
    """
    if rules.is_dry_run:
        return Written("", None)
    backup = _backed_up(out) if rules.keeps_backup else None
    return Written(write_bundle(out, manifest, files), backup)


def _backed_up(out: Path) -> Path | None:
    """Copy a file to the first free NAME.bak, NAME.bak2, ...; None where there is none."""
    if not out.is_file():
        return None
    number = 1
    while (backup := out.with_name(f"{out.name}{SUFFIX}{number if number > 1 else ''}")).exists():
        if backup.read_bytes() == out.read_bytes():
            return backup
        number += 1
    shutil.copyfile(out, backup)
    return backup
