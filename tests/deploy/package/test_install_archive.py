"""What install.sh takes from an archive: what is listed and signed by a key that counts."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.install_station import INSTALL_SH, InstallStation

from deploy.bundles.keys import generate_key, load_private_key
from deploy.package import archive as package_archive
from deploy.package.archive import PackageOptions, write_package
from edge_app.bundle.trusted_keys import parse_moment

pytestmark = pytest.mark.needs("openssl")

CHECK = """unsigned=no archive= key= key_id= drop_extras=no python=python3
{}check_archive
{}(cd "$HERE" && find . -type f)"""
WHEEL = "cropliq_edge_device-1-py3-none-any.whl"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two signers' archives and an unsigned one; the wheel is a stand-in."""
    folder = tmp_path_factory.mktemp("desk")

    def wheel_in(wheels: Path) -> Path:
        (wheels / WHEEL).write_bytes(b"a wheel")
        return wheels / WHEEL

    def pins(*arguments: object) -> None:
        assert isinstance(arguments[-1], Path)
        arguments[-1].write_text("numpy==2.0 --hash=sha256:00\n")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package_archive, "build_device_wheel", wheel_in)
        patch.setattr(package_archive, "pin_dependencies", pins)
        for name, ends in (("ours", None), ("theirs", None), ("old", "2020-01-01")):
            moment = parse_moment(ends, "test") if ends else None
            generate_key(folder / name, name, None, moment)
            key = load_private_key(folder / name / f"{name}.key", None)
            out = folder / f"{name}.tar"
            write_package(PackageOptions(out, folder / name, signer=key, extras=("rtsp",)))
        write_package(PackageOptions(folder / "unsigned.tar", folder / "ours"))
    return folder


@pytest.fixture
def station(tmp_path: Path) -> InstallStation:
    return InstallStation(tmp_path)


def check(
    station: InstallStation, here: Path, options: str = ""
) -> subprocess.CompletedProcess[str]:
    return station.run(here, call=CHECK.format(f"{options}\n", ""))


def pin(station: InstallStation, public: Path) -> None:
    """Let the device trust a key, as an earlier installation leaves it."""
    folder = station.etc / "trusted_keys"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(public, folder)


def key_id(public: Path) -> str:
    return next(
        line.split()[1] for line in public.read_text().splitlines() if line.startswith("key-id:")
    )


def test_the_first_installation_takes_the_key_that_is_named(
    station: InstallStation, desk: Path
) -> None:
    """By its file or by its id; without either it says whose it is, and what to compare."""
    here = station.unpack(desk / "ours.tar")
    ours = desk / "ours" / "ours.pub"
    for named in (f"key={ours}", f"key_id={key_id(ours)}"):
        done = check(station, here, named)
        assert done.returncode == 0, done.stderr
        assert "compare this id" not in done.stdout
    done = check(station, here)
    assert done.returncode == 0, done.stderr
    assert f"signed with the key ours ({key_id(ours)})" in done.stdout
    assert "compare this id" in done.stdout


@pytest.mark.parametrize("named", ["key={}/theirs/theirs.pub", "key_id=" + "ab" * 32])
def test_another_key_than_the_named_one_is_refused(
    station: InstallStation, desk: Path, named: str
) -> None:
    done = check(station, station.unpack(desk / "ours.tar"), named.format(desk))
    assert done.returncode == 1
    assert "not signed with a key that counts here" in done.stderr
    assert "Nothing was changed" in done.stderr


@pytest.mark.parametrize(
    ("archive", "is_taken"),
    [("ours", True), ("theirs", False), ("unsigned", False), ("old", False)],
)
def test_the_devices_own_keys_decide_from_then_on(
    station: InstallStation, desk: Path, archive: str, is_taken: bool
) -> None:
    """Keys inside the archive count for nothing, a missing signature neither."""
    pin(station, desk / "ours" / "ours.pub")
    pin(station, desk / "old" / "old.pub")  # its end has passed
    done = check(station, station.unpack(desk / f"{archive}.tar"))
    assert (done.returncode == 0) is is_taken, done.stderr
    assert not is_taken or "signed with the key ours" in done.stdout


def test_a_revoked_key_signs_nothing(station: InstallStation, desk: Path) -> None:
    pin(station, desk / "ours" / "ours.pub")
    revoked = station.etc / "trusted_keys" / "revoked.txt"
    revoked.write_text(key_id(desk / "ours" / "ours.pub") + "\n")
    assert check(station, station.unpack(desk / "ours.tar")).returncode == 1


def test_an_unsigned_archive_needs_a_word_where_keys_are_trusted(
    station: InstallStation, desk: Path
) -> None:
    """The archive in use may run again; without any key it is taken, and said."""
    here = station.unpack(desk / "unsigned.tar")
    done = check(station, here)
    assert done.returncode == 0, done.stderr
    assert "nothing proves who made it" in done.stdout
    pin(station, desk / "ours" / "ours.pub")
    refused = check(station, here)
    assert refused.returncode == 1
    assert "or say --unsigned" in refused.stderr
    assert check(station, here, "unsigned=yes").returncode == 0
    (station.prefix / "venv").mkdir(parents=True)
    shutil.copy(here / "SHA256SUMS", station.prefix / "venv" / "SHA256SUMS")
    assert check(station, here).returncode == 0


def changed(here: Path) -> None:
    (here / "systemd" / "edge-app.service").write_text("[Service]\nUser=root\n")


def resigned(here: Path) -> None:
    """The lists are made anew after the change, as an attacker would."""
    changed(here)
    names = [line[66:] for line in (here / "SHA256SUMS").read_text().splitlines()]
    done = subprocess.run(
        ["sha256sum", *names], cwd=here, capture_output=True, text=True, check=True
    )
    (here / "SHA256SUMS").write_text(done.stdout)


def climbing(here: Path) -> None:
    with (here / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  ../evil\n")


def cut(here: Path) -> None:
    (here / "SHA256SUMS.sig").write_bytes((here / "SHA256SUMS.sig").read_bytes()[:-1])


def piped(here: Path) -> None:
    (here / "constraints.txt").unlink()
    os.mkfifo(here / "constraints.txt")


@pytest.mark.parametrize("damage", [changed, resigned, climbing, cut, piped])
def test_whatever_is_changed_is_refused(
    station: InstallStation, desk: Path, damage: Callable[[Path], None]
) -> None:
    """Before anything is made: the device's folders are as they were."""
    pin(station, desk / "ours" / "ours.pub")
    here = station.unpack(desk / "ours.tar")
    damage(here)
    done = station.run(here)
    assert done.returncode == 1, done.stdout
    assert not station.prefix.exists()
    assert sorted(p.name for p in station.etc.iterdir()) == ["trusted_keys"]


def test_only_what_is_listed_is_used(station: InstallStation, desk: Path) -> None:
    """Files of an older archive in the same folder, a stranger's key, a link: named, left alone."""
    here = station.unpack(desk / "ours.tar")
    (here / "wheels" / "cropliq_edge_device-0-py3-none-any.whl").write_bytes(b"older")
    shutil.copy(desk / "theirs" / "theirs.pub", here / "trusted_keys")
    (here / "OFFLINE").symlink_to("/etc/hostname")
    done = check(station, here)
    assert done.returncode == 0, done.stderr
    told = next(line for line in done.stdout.splitlines() if "not used" in line)
    for name in ("cropliq_edge_device-0-", "theirs.pub", "OFFLINE"):
        assert name in told
    used = {line[2:] for line in done.stdout.splitlines() if line.startswith("./")}
    assert used == {line[66:] for line in (here / "SHA256SUMS").read_text().splitlines()} | {
        "SHA256SUMS",
        "SHA256SUMS.sig",
    }


def test_the_installed_script_checks_an_archive_before_it_unpacks_it(
    station: InstallStation, desk: Path
) -> None:
    """`--archive`: the script inside does not run where the device's keys say no."""
    pin(station, desk / "ours" / "ours.pub")
    mark = station.folder / "ran"
    for name in ("theirs", "ours"):
        here = station.unpack(desk / f"{name}.tar", into=name)
        (here / "install.sh").write_text(f"touch {mark}\n")
        subprocess.run(
            ["tar", "-C", str(here.parent), "-cf", f"{here.parent}.tar", here.name], check=True
        )
        done = station.run(here, "--archive", f"{here.parent}.tar")
        assert done.returncode == 1
        assert not mark.exists()
    done = station.run(here, "--archive", str(desk / "unsigned.tar"))
    assert "not signed" in done.stderr
    done = station.run(here, "--archive", "/dev/null")
    assert done.returncode == 1
    assert "no archive of ours" in done.stderr or "no SHA256SUMS" in done.stderr


@pytest.mark.parametrize("umask", ["022", "027", "077"])
def test_the_services_accounts_can_read_what_is_installed(
    station: InstallStation, desk: Path, umask: str
) -> None:
    """Whatever the umask of the shell, and whatever an earlier installation has left shut."""
    here = station.unpack(desk / "ours.tar")
    shut = station.prefix / "releases"
    shut.mkdir(parents=True)
    shut.chmod(0o700)
    fill = (
        'fill_environment() { mkdir -p "$release/bin"; '
        'install -m 0700 /bin/true "$release/bin/edge-app"; touch "$release/complete"; }\n'
        "choose_extras\nmake_environment\n"
    )
    done = station.run(here, call=CHECK.format("", fill), umask=umask)
    assert done.returncode == 0, done.stderr
    for path in (station.prefix, *station.prefix.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o055 == 0o055 if path.is_dir() else mode & 0o044 == 0o044, path
    assert (station.prefix / "install.sh").read_bytes() == INSTALL_SH.read_bytes()


def test_help_tells_every_option() -> None:
    text = INSTALL_SH.read_text()
    shown = subprocess.run(
        ["sh", str(INSTALL_SH), "--help"], capture_output=True, text=True, check=True
    ).stdout
    for option in ("python", "key", "key-id", "unsigned", "drop-extras", "archive", "uninstall"):
        assert f"--{option}" in shown
        assert f"--{option})" in text or f"--{option}|" in text or f"|--{option}" in text
