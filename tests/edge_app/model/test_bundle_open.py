"""What `run` and the doctor accept, by what the configuration says about trust."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from support.signed_bundles import Signer, write_signed
from support.small_bundles import bright_manifest, write_bright_bundle, write_pictures

from deploy.bundles.keys import generate_key, load_private_key
from edge_app.bundle.archive import Bundle
from edge_app.bundle.signature import SigningTerms
from edge_app.bundle.trusted_keys import parse_moment
from edge_app.config.load import config_of
from edge_app.config.model import BundleConfig
from edge_app.doctor.checks import check_bundle
from edge_app.errors import BundleError
from edge_app.model.open_for_device import how_signed, open_bundle
from edge_app.mqtt.topics import DeviceName

EDGE_APP = str(Path(sys.executable).with_name("edge-app"))
HERE = DeviceName("graz", "l2", "d3")


@pytest.fixture
def ours(tmp_path: Path) -> Signer:
    """The signer whose key is in the device's folder."""
    generate_key(tmp_path / "keys", "ours", None, None)
    return Signer("ours", load_private_key(tmp_path / "keys" / "ours.key", None))


def opened(path: Path, keys: bool, allow_unsigned: bool) -> Bundle:
    folder = path.parent / "keys" if keys else None
    config = BundleConfig(path=path, trusted_keys_dir=folder, allow_unsigned=allow_unsigned)
    return open_bundle(path, config, HERE)


def test_a_trusted_signature_is_enough(tmp_path: Path, ours: Signer) -> None:
    """With the keys configured a signed bundle opens, and it is said whose key it was."""
    for allow_unsigned in (False, True):
        bundle = opened(write_signed(tmp_path / "a.bundle", ours), True, allow_unsigned)
        assert how_signed(bundle) == f"by key {ours.key_id[:16]}"


def test_an_unsigned_bundle_needs_permission(tmp_path: Path, ours: Signer) -> None:
    """Unsigned bundles open only where the configuration allows them."""
    path = write_bright_bundle(tmp_path / "a.bundle")
    assert how_signed(opened(path, False, True)) == how_signed(opened(path, True, True)) == "no"
    with pytest.raises(BundleError, match="it is not signed"):
        opened(path, True, False)
    with pytest.raises(BundleError, match="nothing vouches for it"):
        opened(path, False, False)


def test_permission_for_unsigned_is_none_for_a_wrong_signature(
    tmp_path: Path, ours: Signer
) -> None:
    """A stranger's signature is refused even where unsigned bundles are allowed."""
    path = write_signed(tmp_path / "a.bundle", Signer("stranger"))
    with pytest.raises(BundleError, match="not trusted here"):
        opened(path, True, True)
    assert how_signed(opened(path, False, True)).startswith("not checked")


def test_a_bundle_for_another_device_is_refused(tmp_path: Path, ours: Signer) -> None:
    """Targets count at every start, signed or not."""
    manifest = bright_manifest().model_copy(update={"targets": ("graz/l2/d4",)})
    path = write_signed(tmp_path / "a.bundle", ours, manifest)
    with pytest.raises(BundleError, match="this device is graz/l2/d3"):
        opened(path, True, False)


def test_an_expired_bundle_goes_on_judging(
    tmp_path: Path, ours: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    """A line does not stop at a date: what is in use stays in use, with a warning."""
    terms = SigningTerms(expires_at=parse_moment("2020-01-01", "test"))
    path = write_signed(tmp_path / "a.bundle", ours, terms=terms)
    with caplog.at_level(logging.WARNING):
        assert opened(path, True, False).verified is not None
    assert "still judging with an expired bundle" in caplog.text


@pytest.mark.parametrize(
    ("signer", "allow_unsigned", "state", "told"),
    [
        ("ours", False, "ok", "signed: by key"),
        ("stranger", True, "fail", "not trusted here"),
        (None, False, "fail", "it is not signed"),
        (None, True, "warning", "signed: no"),
    ],
)
def test_the_doctor_says_who_vouches(
    tmp_path: Path, ours: Signer, signer: str | None, allow_unsigned: bool, state: str, told: str
) -> None:
    """The doctor opens the bundle as `run` would and names the key."""
    path = tmp_path / "a.bundle"
    if signer is None:
        write_bright_bundle(path)
    else:
        write_signed(path, ours if signer == "ours" else Signer(signer))
    document = {
        "device": {"site": "graz", "line": "l2", "device": "d3"},
        "bundle": {
            "path": "a.bundle",
            "trusted_keys_dir": "keys",
            "allow_unsigned": allow_unsigned,
        },
        "camera": [{"name": "cam1", "url": "folder:in"}],
    }
    check = check_bundle(config_of(document, tmp_path, "test"))
    assert (check.state, told in check.detail) == (state, True), check


def test_the_doctor_misses_the_keys(tmp_path: Path) -> None:
    """A folder of keys that is not there is a failed check with its reason."""
    write_bright_bundle(tmp_path / "a.bundle")
    document = {
        "device": {"site": "graz", "line": "l2", "device": "d3"},
        "bundle": {"path": "a.bundle", "trusted_keys_dir": "keys"},
        "camera": [{"name": "cam1", "url": "folder:in"}],
    }
    check = check_bundle(config_of(document, tmp_path, "test"))
    assert check.state == "fail"
    assert "trusted keys in" in check.detail


def inspect(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [EDGE_APP, "inspect", str(folder / "in"), "--bundle", str(folder / "a.bundle"), *more],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_inspect_can_ask_for_a_signature(tmp_path: Path, ours: Signer) -> None:
    """`inspect --keys` judges with a trusted bundle and refuses an unsigned one."""
    write_pictures(tmp_path / "in", 1, {1})
    write_signed(tmp_path / "a.bundle", ours)
    done = inspect(tmp_path, "--keys", str(tmp_path / "keys"))
    assert done.returncode == 0
    assert done.stdout.startswith("NG")
    write_bright_bundle(tmp_path / "a.bundle")
    assert inspect(tmp_path).returncode == 0
    refused = inspect(tmp_path, "--keys", str(tmp_path / "keys"))
    assert refused.returncode == 2
    assert "it is not signed" in refused.stderr
