"""`edge-deploy keygen | sign | verify` on real keys and bundles."""

from __future__ import annotations

import io
import stat
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from support.signed_bundles import full_files
from support.small_bundles import bright_manifest

from deploy.bundles.sign import WORKSTATION_LIMITS
from deploy.cli.main import main
from edge_app.bundle.archive import write_bundle
from edge_app.bundle.trusted_keys import load_trust
from edge_app.bundle.verify import read_contents, verify_bundle

EDGE_DEPLOY = str(Path(sys.executable).with_name("edge-deploy"))


def edge_deploy(
    folder: Path, *args: str, passphrase: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command's own main in a folder: a process of its own costs a second each."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.delenv("CROPLIQ_KEY_PASSPHRASE", raising=False)
        if passphrase is not None:
            patch.setenv("CROPLIQ_KEY_PASSPHRASE", passphrase)
        code = main(list(args))
    return subprocess.CompletedProcess(list(args), code, out.getvalue(), err.getvalue())


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Return a workstation's folder with an unsigned bundle and a key pair."""
    write_bundle(tmp_path / "a.bundle", bright_manifest(), full_files())
    done(edge_deploy(tmp_path, "keygen", "--out", "keys", "--name", "line1"))
    return tmp_path


def sign(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return edge_deploy(
        folder, "sign", "a.bundle", "--key", "keys/line1.key", "--out", "s.bundle", *more
    )


def test_what_is_signed_is_verified(desk: Path) -> None:
    """A new key, a signature and a check: three commands, and the digest is the file's own."""
    told = done(sign(desk))
    checked = done(
        subprocess.run(
            [EDGE_DEPLOY, "verify", "s.bundle", "--keys", "keys"],
            cwd=desk,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    )
    verified = verify_bundle(desk / "s.bundle", load_trust(desk / "keys"))
    assert f"sha256   {verified.sha256}" in told
    assert f"signed   by key {verified.key_id}" in checked
    assert "product  bright, serial 1" in checked


def test_signing_changes_no_other_byte(desk: Path) -> None:
    """The unsigned file stands unchanged behind its signature, however often it is signed."""
    unsigned = (desk / "a.bundle").read_bytes()
    done(sign(desk))
    done(edge_deploy(desk, "sign", "s.bundle", "--key", "keys/line1.key", "--out", "s.bundle"))
    offset = read_contents(desk / "s.bundle", WORKSTATION_LIMITS, None, False).body_offset
    assert offset % 512 == 0
    assert (desk / "s.bundle").read_bytes()[offset:] == unsigned
    assert (desk / "a.bundle").read_bytes() == unsigned


def test_private_keys_are_private(desk: Path) -> None:
    """The private key's file is its owner's alone, and no key is ever overwritten."""
    assert stat.S_IMODE((desk / "keys" / "line1.key").stat().st_mode) == 0o600
    before = (desk / "keys" / "line1.key").read_bytes()
    again = edge_deploy(desk, "keygen", "--out", "keys", "--name", "line1")
    assert again.returncode == 2
    assert "exists already; nothing was overwritten" in again.stderr
    assert (desk / "keys" / "line1.key").read_bytes() == before


def test_a_passphrase_comes_from_a_file_or_the_environment(desk: Path) -> None:
    """An encrypted key opens with its passphrase from either place, and with no other."""
    (desk / "secret").write_text("correct horse\nsecond line\n")
    done(edge_deploy(desk, "keygen", "--out", "k", "--passphrase-file", "secret"))
    assert b"ENCRYPTED" in (desk / "k" / "bundle-signing.key").read_bytes()
    order = ("sign", "a.bundle", "--key", "k/bundle-signing.key", "--out", "s.bundle")
    assert "Password was not given" in edge_deploy(desk, *order).stderr
    assert "passphrase is wrong" in edge_deploy(desk, *order, passphrase="wrong").stderr
    assert not (desk / "s.bundle").exists()
    done(edge_deploy(desk, *order, passphrase="correct horse"))
    done(edge_deploy(desk, *order, "--passphrase-file", "secret"))


def test_terms_are_part_of_the_signature(desk: Path) -> None:
    """Expiry and the permission to go back are signed and shown."""
    told = done(sign(desk, "--expires", "2100-01-31", "--allow-back"))
    assert "expires  2100-01-31 00:00 UTC (its signature)" in told
    assert "allows   returning to it from a newer serial" in told
    verified = verify_bundle(desk / "s.bundle", load_trust(desk / "keys"))
    assert verified.allow_back
    assert verified.expiry is not None


def test_a_keys_end_is_shown(desk: Path) -> None:
    """`keygen --expires` limits what the key vouches for, on every device that has it."""
    done(edge_deploy(desk, "keygen", "--out", "k", "--expires", "2100-01-31"))
    done(
        edge_deploy(desk, "sign", "a.bundle", "--key", "k/bundle-signing.key", "--out", "s.bundle")
    )
    told = done(edge_deploy(desk, "verify", "s.bundle", "--keys", "k"))
    assert "expires  2100-01-31 00:00 UTC (the key bundle-signing)" in told


def test_verify_tells_whose_device_it_is_for(desk: Path) -> None:
    """`verify --device` refuses what the device would refuse."""
    manifest = bright_manifest().model_copy(update={"targets": ("graz/*/*",)})
    write_bundle(desk / "a.bundle", manifest, full_files())
    done(sign(desk))
    order = ("verify", "s.bundle", "--keys", "keys", "--device")
    done(edge_deploy(desk, *order, "graz/l2/d3"))
    refused = edge_deploy(desk, *order, "linz/l2/d3")
    assert refused.returncode == 1
    assert "this device is linz/l2/d3" in refused.stderr


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("verify", "a.bundle", "--keys", "keys"), "it is not signed"),
        (("verify", "gone.bundle", "--keys", "keys"), "No such file or directory (gone.bundle)"),
        (("verify", "a.bundle", "--keys", "gone"), "keys in gone cannot be read"),
        (("sign", "a.bundle", "--key", "gone.key", "--out", "s"), "gone.key cannot be read"),
        (("sign", "a.bundle", "--key", "keys/line1.pub", "--out", "s"), "not a private key"),
        (("sign", "gone.bundle", "--key", "keys/line1.key", "--out", "s"), "cannot be read"),
        (("sign", "cut.bundle", "--key", "keys/line1.key", "--out", "s"), "is cut off"),
        (
            ("sign", "a.bundle", "--key", "keys/line1.key", "--out", "a.bundle/s"),
            "cannot be written",
        ),
        (
            (
                "sign",
                "a.bundle",
                "--key",
                "keys/line1.key",
                "--out",
                "s",
                "--expires",
                "2020-01-01",
            ),
            "has passed already",
        ),
        (("keygen", "--out", "k", "--expires", "tomorrow"), "'tomorrow' is no date"),
        (("keygen", "--out", "k", "--name", "../k"), "is not a key name"),
        (("keygen", "--out", "a.bundle"), "a.bundle exists already"),
        (("keygen", "--out", "k", "--passphrase-file", "gone"), "gone cannot be read"),
    ],
)
def test_mistakes_are_explained(desk: Path, args: tuple[str, ...], told: str) -> None:
    """Each mistake ends with code 2 (a bundle that is merely unsigned: 1), one message and
    nothing written."""
    (desk / "cut.bundle").write_bytes((desk / "a.bundle").read_bytes()[:3000])
    before = sorted(p for p in desk.rglob("*") if p.name != "cut.bundle")
    result = edge_deploy(desk, *args)
    assert result.returncode == (1 if told == "it is not signed" else 2)
    assert told in result.stderr
    assert "Traceback" not in result.stderr
    assert sorted(p for p in desk.rglob("*") if p.name != "cut.bundle") == before
