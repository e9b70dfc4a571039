"""Where install.sh puts the keys of an archive: its own functions, on folders of the test's."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.bundles.keys import generate_key
from deploy.package.keys import copy_keys

INSTALL_SH = Path(__file__).parents[3] / "packaging" / "install.sh"
OLD, NEW = "ab" * 32, "cd" * 32


class Station:
    """An unpacked archive (`here`) and a device's configuration folder (`etc`)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.here, self.etc = folder, folder / "here", folder / "etc"
        self.here.mkdir()
        (self.etc / "trusted_keys").mkdir(parents=True)
        (self.etc / "edge-app.toml").write_text("")
        python = folder / "release" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)

    def pack(self, name: str, revoked: str = "") -> None:
        """Put one operator's key, and a list of revoked ones, into the archive."""
        source = self.folder / name
        generate_key(source, name, None, None)
        if revoked:
            (source / "revoked.txt").write_text(revoked)  # the last line may lack its end
        copy_keys(None, source, self.here)

    def run(self, call: str) -> subprocess.CompletedProcess[str]:
        """Run one of the installer's functions with our folders and group."""
        text = INSTALL_SH.read_text().rsplit('main "$@"', 1)[0]
        group = grp.getgrgid(os.getgid()).gr_name
        ours = f'HERE="{self.here}" CONFIG="{self.etc}" release="{self.folder}/release"'
        return subprocess.run(
            ["sh", "-c", f"{text}\n{ours} GROUP={group}\n{call}"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


@pytest.mark.parametrize(
    ("named", "folder"),
    [
        ("", "operator_keys"),
        ('[agent]\noperator_keys_dir = "people"\n', "people"),
        ('[agent]\noperator_keys_dir = "{etc}/elsewhere"\n', "elsewhere"),
    ],
)
def test_operators_keys_go_where_the_configuration_looks(
    station: Station, named: str, folder: str
) -> None:
    """The folder it names, relative or absolute; else the usual one, with the line to add."""
    (station.etc / "edge-app.toml").write_text(named.format(etc=station.etc))
    station.pack("anna")
    for _ in range(2):  # again changes nothing
        done = station.run("add_operators")
        assert done.returncode == 0, done.stderr
        installed = station.etc / folder
        assert [p.name for p in installed.iterdir()] == ["anna.pub"]
        assert installed.stat().st_mode & 0o777 == 0o750
        assert (installed / "anna.pub").stat().st_mode & 0o777 == 0o640
    line = f'operator_keys_dir = "{station.etc}/operator_keys"'
    assert (line in done.stdout) is (named == "")


def test_a_configuration_that_is_no_toml_is_told(station: Station) -> None:
    """Where the keys belong is not guessed: the file is named, and nothing is put anywhere."""
    (station.etc / "edge-app.toml").write_text("[agent\n")
    station.pack("anna")
    done = station.run("add_operators")
    assert done.returncode == 1
    assert f"{station.etc}/edge-app.toml cannot be read" in done.stderr
    assert not (station.etc / "operator_keys").exists()


def test_keys_of_the_device_stay_and_what_was_revoked_stays_revoked(station: Station) -> None:
    """A later archive adds its keys and revocations to those that are there."""
    operators = station.etc / "operator_keys"
    operators.mkdir()
    (operators / "berta.pub").write_text("a key that is there\n")
    (operators / "revoked.txt").write_text(OLD)
    station.pack("anna", revoked=NEW)
    assert station.run("add_operators").returncode == 0
    assert {p.name for p in operators.iterdir()} == {"anna.pub", "berta.pub", "revoked.txt"}
    assert (operators / "revoked.txt").read_text().split() == [OLD, NEW]
