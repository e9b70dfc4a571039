"""OpenSSF's own verifier reads our signatures: `model_signing verify key` on an unpacked bundle."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.signed_bundles import full_files
from support.small_bundles import bright_manifest

from deploy.bundles.keys import generate_key, load_private_key
from deploy.bundles.sign import sign_bundle
from edge_app.bundle.archive import write_bundle
from edge_app.bundle.signature import SigningTerms
from edge_app.bundle.trusted_keys import parse_moment

MODEL_SIGNING = Path(sys.executable).with_name("model_signing")
FIXTURE = Path(__file__).parents[2] / "fixtures" / "signed_v1"

pytestmark = pytest.mark.needs("the extra dev")


def model_signing(folder: Path, key: Path) -> subprocess.CompletedProcess[str]:
    """Run OpenSSF's command on a folder that holds its own bundle.sig."""
    return subprocess.run(
        [
            *(str(MODEL_SIGNING), "verify", "key", str(folder)),
            *("--signature", str(folder / "bundle.sig"), "--public_key", str(key)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """Return a freshly signed bundle, unpacked by tar, with its key beside it."""
    write_bundle(tmp_path / "a.bundle", bright_manifest(), full_files())
    generate_key(tmp_path, "key", b"secret", parse_moment("2100-01-01", "test"))
    key = load_private_key(tmp_path / "key.key", b"secret")
    terms = SigningTerms(expires_at=parse_moment("2100-01-01", "test"), allow_back=True)
    sign_bundle(tmp_path / "a.bundle", key, tmp_path / "signed.bundle", terms)
    folder = tmp_path / "unpacked"
    folder.mkdir()
    subprocess.run(["tar", "-xf", str(tmp_path / "signed.bundle"), "-C", str(folder)], check=True)
    return folder


def test_openssf_accepts_our_signature(unpacked: Path) -> None:
    """What `edge-deploy sign` wrote is a model signature to OpenSSF's tool, terms and all."""
    done = model_signing(unpacked, unpacked.parent / "key.pub")
    assert (done.returncode, done.stdout) == (0, "Verification succeeded\n"), done.stderr


def test_openssf_accepts_the_signed_fixture() -> None:
    """The committed folder verifies with the command its README names."""
    done = model_signing(FIXTURE / "unpacked", FIXTURE / "signed_v1.pub")
    assert (done.returncode, done.stdout) == (0, "Verification succeeded\n"), done.stderr


def flip(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:20] + bytes([data[20] ^ 1]) + data[21:])


@pytest.mark.parametrize(
    ("what", "tamper", "told"),
    [
        ("a flipped byte", lambda f: flip(f / "inspector.onnx"), "Hash mismatch for"),
        ("an extra file", lambda f: (f / "extra.bin").write_bytes(b"x"), "Extra files found"),
        ("a missing file", lambda f: (f / "report.html").unlink(), "Missing files"),
        (
            "another key",
            lambda f: shutil.copy(FIXTURE / "signed_v1.pub", f.parent / "key.pub"),
            "Key mismatch",
        ),
    ],
)
def test_openssf_refuses_a_tampered_bundle(
    unpacked: Path, what: str, tamper: Callable[[Path], object], told: str
) -> None:
    """Each alteration of the folder, and a wrong key, is refused by OpenSSF's tool too."""
    tamper(unpacked)
    done = model_signing(unpacked, unpacked.parent / "key.pub")
    assert done.returncode == 1
    assert told in done.stderr
