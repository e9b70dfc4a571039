"""install.sh on folders of a test's: its own functions, with other places and no accounts."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import tarfile
from pathlib import Path

INSTALL_SH = Path(__file__).parents[2] / "packaging" / "install.sh"
FOLDER = "cropliq-edge-device"


class InstallStation:
    """A device's folders below one, and archives that are unpacked beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix, self.etc, self.units = folder / "opt", folder / "etc", folder / "units"
        self.units.mkdir(parents=True, exist_ok=True)

    def unpack(self, archive: Path, into: str = "here") -> Path:
        """Unpack an archive as `tar -xf` does, over what is there."""
        with tarfile.open(archive) as tar:
            tar.extractall(self.folder / into, filter="data")
        return self.folder / into / FOLDER

    def run(
        self, here: Path, *options: str, call: str = 'main "$@"', umask: str = "022"
    ) -> subprocess.CompletedProcess[str]:
        """Run the archive's own script, or one call of its functions.

        Args:
            here: the unpacked archive.
            call: what to run after the functions have been defined.
        """
        text = INSTALL_SH.read_text().rsplit('main "$@"', 1)[0]
        group = grp.getgrgid(os.getgid()).gr_name
        user = pwd.getpwuid(os.getuid()).pw_name
        places = (
            f'HERE="{here}" PREFIX="{self.prefix}" CONFIG="{self.etc}" UNITS="{self.units}" '
            f'COMMAND="{self.folder}/bin/edge-app" GROUP={group} TMPDIR="{self.folder}" '
            f'PAGE={user} PAGE_GROUP={group} PAGE_STATE="{self.folder}/page-state"'
        )
        apart = "make_users() { :; }\nsystemd_runs() { false; }\nid() { echo 0; }"
        return subprocess.run(
            ["sh", "-c", f"umask {umask}\n{text}\n{apart}\n{places}\n{call}", "sh", *options],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
