"""install.sh prints the first engineer's code while the device has none."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support.install_station import InstallStation

from edge_app.accounts.directory import Directory
from edge_app.accounts.people_file import PeopleFile
from edge_app.errors import AccountError

CALL = 'release="$HERE"; tell_first_engineer'


def release(folder: Path) -> Path:
    """Make a release whose command is this repository's."""
    command = folder / "release" / "bin" / "edge-app"
    command.parent.mkdir(parents=True)
    root = Path(__file__).parents[3]
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -m edge_app.cli.main "$@"\n'
    )
    command.chmod(0o755)
    return folder / "release"


def test_an_upgrade_prints_the_code_until_there_is_an_engineer(tmp_path: Path) -> None:
    """The code works; each run makes a new one that voids the one before; afterwards nothing is
    said. The folder is the page's alone."""
    station = InstallStation(tmp_path / "device")
    here = release(tmp_path)
    codes = []
    for _ in range(2):
        done = station.run(here, call=CALL)
        assert done.returncode == 0, done.stderr
        assert "until then it only shows" in done.stdout
        codes += re.findall(r": ([A-Z2-9-]{19})$", done.stdout, re.MULTILINE)
    state = tmp_path / "device" / "page-state"
    assert state.stat().st_mode & 0o777 == 0o700
    directory = Directory.of(PeopleFile(state))
    with pytest.raises(AccountError, match="not valid"):
        directory.redeem(codes[0], "eva", "four unlikely words here", "console")
    assert directory.redeem(codes[1], "eva", "four unlikely words here", "console").name == "eva"
    done = station.run(here, call=CALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
