"""What `edge-deploy package` puts into a device's archive, and that install.sh guards itself."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

import deploy.cli.main
from deploy.bundles.keys import generate_key
from deploy.package import archive as package_archive
from deploy.package.wheels import Target, requirements_of

EDGE_DEPLOY = str(Path(sys.executable).with_name("edge-deploy"))
FOLDER = "cropliq-edge-device"


def edge_deploy(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGE_DEPLOY, *map(str, args)], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive without dependencies: a trusted, a revoked and an operator's key."""
    folder = tmp_path_factory.mktemp("package")
    key = generate_key(folder / "keys", "line-2", None, None)
    generate_key(folder / "operators", "shift-1", None, None)
    (folder / "keys" / "revoked.txt").write_text("ab" * 32 + "\n")
    done = edge_deploy(
        "package", "--out", folder / "install.tar", "--keys", folder / "keys",
        "--operator-keys", folder / "operators",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (folder / "keys" / "line-2.pub").exists(), key
    return folder / "install.tar"


def members(archive: Path) -> dict[str, bytes]:
    """Return name below the archive's folder → content."""
    with tarfile.open(archive) as tar:
        contents = {m.name: tar.extractfile(m) for m in tar}
        return {n.removeprefix(f"{FOLDER}/"): f.read() for n, f in contents.items() if f}


def test_everything_a_device_needs_is_inside_and_listed(archive: Path) -> None:
    """Installer, units, example, public keys and wheel; SHA256SUMS covers every other file."""
    files = members(archive)
    (wheel,) = (name for name in files if name.startswith("wheels/"))
    assert set(files) == {
        "SHA256SUMS", "EXTRAS", "constraints.txt", "edge-app.example.toml", "install.sh",
        "keep_extras.py", wheel,
        "systemd/edge-app.service", "systemd/edge-app-agent.service",
        "systemd/edge-app-page.service",
        "systemd/edge-app-jetson.conf",
        "trusted_keys/line-2.pub", "trusted_keys/revoked.txt", "operator_keys/shift-1.pub",
    }  # fmt: skip
    listed = {
        name: digest
        for digest, name in (line.split("  ") for line in files["SHA256SUMS"].decode().splitlines())
    }
    digests = {n: hashlib.sha256(c).hexdigest() for n, c in files.items() if n != "SHA256SUMS"}
    assert listed == digests


def test_every_library_has_one_version_and_its_digests(archive: Path) -> None:
    """pip then takes no other file, whatever the index offers; no extra came uninvited."""
    entries = members(archive)["constraints.txt"].decode().replace("\\\n", "").splitlines()
    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ ", entry), entry
        assert re.search(r" --hash=sha256:[0-9a-f]{64}", entry), entry
    assert not {"av", "pypylon", "pillow-heif"} & {entry.split("=")[0] for entry in entries}
    assert members(archive)["EXTRAS"] == b""


@pytest.mark.slow
def test_extras_are_pinned_with_the_rest(tmp_path: Path) -> None:
    """`--extras` adds their libraries, and the archive says which they are."""
    key = generate_key(tmp_path / "keys", "line-2", None, None)
    done = edge_deploy(
        "package", "--out", tmp_path / "i.tar", "--keys", tmp_path / "keys",
        "--sign-with", tmp_path / "keys" / "line-2.key", "--extras", "basler,rtsp",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = members(tmp_path / "i.tar")
    names = {line.split("=")[0] for line in files["constraints.txt"].decode().splitlines()}
    assert {"av", "pypylon", "numpy"} <= names
    assert files["EXTRAS"] == b"basler\nrtsp\n"
    assert key.has_signed(files["SHA256SUMS"], files["SHA256SUMS.sig"])


def test_a_signer_whom_no_device_would_trust_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next archive would be refused everywhere: told before anything is built or fetched."""
    generate_key(tmp_path / "keys", "ours", None, None)
    generate_key(tmp_path / "other", "theirs", None, None)
    monkeypatch.setattr(package_archive, "build_device_wheel", lambda _: pytest.fail("too late"))
    words = [
        "package", "--out", tmp_path / "i.tar", "--keys", tmp_path / "keys",
        "--sign-with", tmp_path / "other" / "theirs.key",
    ]  # fmt: skip
    assert deploy.cli.main.main([str(word) for word in words]) == 2
    assert "is not among the trusted keys" in capsys.readouterr().err
    assert not (tmp_path / "i.tar").exists()


def test_no_private_key_and_no_training_code_is_inside(archive: Path) -> None:
    """The wheel holds edge_app alone; of the keys folder only the public halves come along."""
    files = members(archive)
    assert not any(b"PRIVATE KEY" in content for content in files.values())
    (wheel,) = (content for name, content in files.items() if name.startswith("wheels/"))
    tops = {n.split("/")[0] for n in zipfile.ZipFile(BytesIO(wheel)).namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"edge_app"}


def test_the_device_needs_no_training_package_and_no_windows(archive: Path, tmp_path: Path) -> None:
    """Neither torch nor ultralytics nor onnx; OpenCV without libGL."""
    (name,) = (n for n in members(archive) if n.startswith("wheels/"))
    wheel = tmp_path / Path(name).name
    wheel.write_bytes(members(archive)[name])
    needed = {line.split(">")[0].split("=")[0].split("[")[0] for line in requirements_of(wheel)}
    assert "opencv-python-headless" in needed
    assert not needed & {"torch", "torchvision", "ultralytics", "onnx", "opencv-python", "amqtt"}


def test_nothing_of_the_workstation_is_in_the_archive(archive: Path) -> None:
    """Owners and times are neutral: the archive says nothing about who made it and where."""
    with tarfile.open(archive) as tar:
        facts = {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in tar}
        modes = {m.name.removeprefix(f"{FOLDER}/"): m.mode for m in tar}
    assert facts == {(0, 0, "", "", 0)}
    assert modes["install.sh"] == 0o755


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_archive_is_refused_before_anything_happens(
    archive: Path, tmp_path: Path, damage: str
) -> None:
    """install.sh checks every file's digest first."""
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    victim = tmp_path / FOLDER / "systemd" / "edge-app.service"
    if damage == "changed":
        victim.write_text(victim.read_text().replace("ProtectHome=yes", "ProtectHome=no"))
    else:
        victim.unlink()
    done = subprocess.run(
        ["sh", "-c", f'id() {{ echo 0; }}; set --; . "{tmp_path / FOLDER / "install.sh"}"'],
        capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path / FOLDER,
    )  # fmt: skip
    assert done.returncode == 1
    assert "damaged or incomplete" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--python", "3.10"], "without it the device"),
        (["--keys", "."], "holds no public key"),
        (["--keys", "gone"], "cannot be listed: No such file"),
        (["--offline", "--platform", "riscv64"], "invalid choice"),
        (["--extras", "basler,rtps"], "did you mean 'rtsp'?"),
        (["--extras", ""], "unknown extra ''"),
        (["--sign-with", "a.key"], "needs --keys"),
    ],
)
def test_a_wrong_use_says_what_to_do(tmp_path: Path, arguments: list[str], told: str) -> None:
    """Bad arguments end the command with one message, and no archive is left behind."""
    done = subprocess.run(
        [EDGE_DEPLOY, "package", "--out", "install.tar", *arguments],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == []


def test_a_private_key_under_a_public_name_is_refused(tmp_path: Path) -> None:
    """A folder where the private key was renamed to .pub is not packed."""
    generate_key(tmp_path / "keys", "a", None, None)
    (private,) = (p for p in (tmp_path / "keys").iterdir() if p.suffix != ".pub")
    private.rename(private.with_name("b.pub"))
    done = edge_deploy("package", "--out", tmp_path / "i.tar", "--keys", tmp_path / "keys")
    assert done.returncode == 2
    assert "public keys only" in done.stderr
    assert not (tmp_path / "i.tar").exists()


def test_a_key_with_both_powers_is_refused(tmp_path: Path) -> None:
    """Who changes products shall not sign models: a key in both folders is named."""
    generate_key(tmp_path / "keys", "anna", None, None)
    folder = tmp_path / "keys"
    done = edge_deploy(
        "package", "--out", tmp_path / "i.tar", "--keys", folder, "--operator-keys", folder
    )
    assert done.returncode == 2
    assert "The key anna (" in done.stderr
    assert "could sign bundles as well as commands" in done.stderr
    assert not (tmp_path / "i.tar").exists()


def test_a_key_that_no_device_could_read_is_refused(tmp_path: Path) -> None:
    """A misspelt line before a key would end the agent at its start: it is told on the station."""
    generate_key(tmp_path / "operators", "anna", None, None)
    file = tmp_path / "operators" / "anna.pub"
    file.write_text("expire: 2028-01-31\n" + file.read_text())
    operators = ("--operator-keys", tmp_path / "operators")
    done = edge_deploy("package", "--out", tmp_path / "i.tar", *operators)
    assert done.returncode == 2
    assert "'expire: 2028-01-31' is not understood" in done.stderr
    assert not (tmp_path / "i.tar").exists()


def test_a_target_names_every_platform_its_wheels_may_carry() -> None:
    """pip takes exact tags only: each glibc from 2.17 to 2.28 is listed, newest first."""
    target = Target("3.10", "aarch64")
    assert str(target) == "python 3.10 aarch64"
    assert target.pip_platforms[0] == "manylinux_2_28_aarch64"
    assert "manylinux_2_17_aarch64" in target.pip_platforms
    assert "manylinux2014_aarch64" in target.pip_platforms
